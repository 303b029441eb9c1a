"""Promises about the whole package, read off its source and a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend.support import REPOSITORY

SOURCES = sorted((REPOSITORY / "mlbackend").rglob("*.py"))
UNSAFE_MODULES = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            called = node.func
            assert not (isinstance(called, ast.Name) and called.id in UNSAFE_CALLS)
            assert not (
                isinstance(called, ast.Attribute)
                and called.attr == "load"
                and isinstance(called.value, ast.Name)
                and called.value.id == "torch"
            )


def test_the_server_listens_before_torch_is_imported() -> None:
    code = (
        "import sys, mlbackend.server.app, mlbackend.__main__; "
        "print([name for name in ('torch', 'transformers', 'cv2', 'label_studio_sdk') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
