"""Who may import whom, proven in fresh interpreters: every module of a tower is imported, then sys.modules is read."""

import ast
import importlib.util
import json
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
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
        ("annotator", set(), {"torch", "transformers", "label_studio_sdk", "pandas", "cv2", "matplotlib"}),
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
    # boto3 is imported by s3.py when a bucket is first asked for, and not before.
    assert named - set(sys.stdlib_module_names) <= {
        *("toolbox", "numpy", "pycocotools", "httpx", "PIL"),
        *("boto3", "botocore"),
    }
    assert "boto3" not in loaded
    assert loaded & (TOWERS | {"django", "celery", "torch", "scipy", "rest_framework"}) == set()


def _names_imported(node: ast.AST) -> list[str]:
    """The first names of an absolute import; a relative one stays in the package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_formats_and_masks_are_plain_python():
    formats = [f"annotator.data.formats.{name}" for name in ("recognise", "label_studio", "__main__")]
    formats.append("annotator.data.export_layouts")
    program = f"import {', '.join(formats)}, annotator.data.sources, annotator.data.image_probe, sys\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "print(*sys.modules)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"django", "celery", "torch", "label_studio_sdk"} & set(done.stdout.split()) == set()


def test_web_process_starts_without_the_heavy_libraries():
    program = "import annotator.wsgi, sys, django.urls; django.urls.get_resolver().url_patterns; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "transformers", "pandas", "cv2", "matplotlib"} & set(done.stdout.split()) == set()


def test_trainer_starts_without_the_web_side():
    program = (
        "import sys, runpy; sys.argv = ['training', '--help']\ntry: runpy.run_module('training', run_name='__main__')\n"
    )
    program += "except SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"django", "celery", "annotator"} & set(done.stdout.split()) == set()


# From left to right: a room may import those before it. What lies at the top of annotator/ (addresses, commands) may
# import all; settings, the Celery application, the models and the door to the ML backend may be imported by all.
ROOMS = [
    *("common", "jobs", "queue", "concepts", "data", "review", "registry", "predict", "label_studio", "people"),
    *("home", "operations"),
]
BASE = {"models", "settings", "celery", "ml_client", "apps"}
# Imports against that order, each with its reason.
EXCEPTIONS = {
    ("settings", "jobs"): "the settings register the broker's transport",
    ("queue", "registry"): "the queue's page says which words the serving model was never taught",
}
BACKEND_ROOMS = ["errors", "store", "model", "settings", "serving", "server", "label_studio"]
BACKEND_EXCEPTIONS = {
    ("server", "label_studio"): "the app mounts Label Studio's routes",
    ("settings", "label_studio"): "where images may be fetched from is a setting",
}


def _imports(tower: str) -> dict[str, set[str]]:
    """{module: modules of the same tower that it imports}, read from the source, imports inside functions included."""
    paths = {_module(path): path for path in (ROOT / tower).rglob("*.py") if "migrations" not in path.parts}
    return {name: _imported(name, path, set(paths)) for name, path in paths.items()}


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(name: str, path: Path, known: set[str]) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names}
    return (found & known) - {name}


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_rooms_import_only_the_rooms_before_them():
    wrong = set()
    for module, imported in _imports("annotator").items():
        room = _room(module)
        rooms = {_room(other) for other in imported} - BASE - {room, ""}
        if room in ROOMS:
            wrong |= {(room, other) for other in rooms if other not in ROOMS[: ROOMS.index(room)]}
        elif room in BASE - {"apps", "ml_client"}:
            wrong |= {(room, other) for other in rooms}
    assert wrong == set(EXCEPTIONS)


def test_every_room_has_a_place_in_the_order():
    packages = {path.parent.name for path in (ROOT / "annotator").glob("*/__init__.py")}
    assert packages - set(ROOMS) == {"models", "migrations", "management", "templatetags"}


def test_the_backends_rooms_import_only_the_rooms_before_them():
    wrong = set()
    for module, imported in _imports("mlbackend").items():
        room = _room(module)
        if room in BACKEND_ROOMS:
            allowed = {"", *BACKEND_ROOMS[: BACKEND_ROOMS.index(room) + 1]}
            wrong |= {(room, _room(other)) for other in imported if _room(other) not in allowed}
    assert wrong == set(BACKEND_EXCEPTIONS)


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_no_modules_import_each_other_in_a_circle(tower):
    graph = {name: {other for other in imported if other != tower} for name, imported in _imports(tower).items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
