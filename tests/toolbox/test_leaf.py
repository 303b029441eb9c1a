"""The leaf: all three towers may import it, so it imports next to nothing."""

import ast
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "toolbox"
MODULES = sorted(FOLDER.rglob("*.py"))
MAY = {"toolbox", "numpy", "pycocotools", "httpx"}
ONE_FILE_MAY = {"pixels.py": {"PIL"}}  # docs/decisions/0017-one-reading-of-pixels.md
LATER = {"s3.py": {"boto3", "botocore"}}  # optional packages, when they are first asked for


def _imported(nodes) -> set[str]:
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in names} | {
        (node.module or "toolbox").partition(".")[0]
        for node in nodes
        if isinstance(node, ast.ImportFrom) and not node.level
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_toolbox_imports_next_to_nothing(path):
    tree = ast.parse(path.read_text())
    foreign = _imported(list(ast.walk(tree))) - set(sys.stdlib_module_names) - MAY
    foreign -= ONE_FILE_MAY.get(path.name, set())
    assert foreign <= LATER.get(path.name, set())
    assert not foreign & _imported(tree.body)


def test_toolbox_is_not_empty():
    assert {"s3.py", "checked_http.py", "studio_images.py"} <= {path.name for path in MODULES}
