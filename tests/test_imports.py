"""Who may import whom, proven in fresh interpreters: every module of a tower is imported, then sys.modules is read."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import importlib, json, os, pkgutil, sys
tower = sys.argv[1]
if tower == "annotator":
    os.environ["DJANGO_SETTINGS_MODULE"] = "annotator.settings"
    import django
    django.setup()
package = importlib.import_module(tower)
names = [module.name for module in pkgutil.walk_packages(package.__path__, tower + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(json.dumps({"imported": names, "loaded": sorted(sys.modules)}))
"""
TOWERS = {"annotator", "mlbackend", "training"}


def _loaded(tower: str) -> tuple[list[str], set[str]]:
    """The tower's modules, and the first names of everything that importing them loaded."""
    command = [sys.executable, "-c", PROGRAM, tower]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["imported"], {name.partition(".")[0] for name in answer["loaded"]}


@pytest.mark.parametrize(
    ("tower", "may", "never"),
    [
        ("annotator", set(), {"torch", "transformers", "label_studio_sdk", "pandas", "cv2"}),
        ("mlbackend", set(), {"django", "celery"}),
        ("training", {"mlbackend"}, {"django", "celery"}),
    ],
)
def test_tower_imports_only_what_it_may(tower, may, never):
    modules, loaded = _loaded(tower)
    assert len(modules) > 10
    assert loaded & (TOWERS - {tower} - may) == set()
    assert loaded & never == set()


def test_toolbox_is_a_leaf():
    """Beyond the standard library it names these alone, and what httpx and pycocotools load is no tower."""
    modules, loaded = _loaded("toolbox")
    named = {
        name.partition(".")[0]
        for path in (ROOT / "toolbox").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _names_imported(node)
    }
    assert "toolbox.files" in modules
    assert named - set(sys.stdlib_module_names) <= {"toolbox", "numpy", "pycocotools", "httpx"}
    assert loaded & (TOWERS | {"django", "celery", "torch", "scipy", "rest_framework"}) == set()


def _names_imported(node: ast.AST) -> list[str]:
    """The first names of an absolute import; a relative one stays in the package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_formats_and_masks_are_plain_python():
    formats = [f"annotator.data.formats.{name}" for name in ("coco", "yolo", "labelme", "saco", "label_studio")]
    program = f"import {', '.join(formats)}, annotator.data.sources, annotator.data.image_probe, sys\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "print(*sys.modules)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"django", "celery", "torch", "label_studio_sdk"} & set(done.stdout.split()) == set()


def test_web_process_starts_without_the_heavy_libraries():
    program = "import annotator.wsgi, sys, django.urls; django.urls.get_resolver().url_patterns; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "transformers", "pandas", "cv2"} & set(done.stdout.split()) == set()


def test_trainer_starts_without_the_web_side():
    program = (
        "import sys, runpy; sys.argv = ['training', '--help']\ntry: runpy.run_module('training', run_name='__main__')\n"
    )
    program += "except SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"django", "celery", "annotator"} & set(done.stdout.split()) == set()
