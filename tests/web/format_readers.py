"""The formats' own readers in an environment of their own, beside this one's packages.

ROOST_TEST_FORMAT_READERS=1 python -m tests.web.format_readers  # installs them ahead of the tests, as .ci/run does

Label Studio's, which its SDK brings, and pycocotools are among this environment's own.
"""

import fcntl
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

CACHE = Path(os.environ.get("ROOST_TEST_CACHE") or Path.home() / ".cache" / "roost-tests")
FOLDER = CACHE / "format-readers-2"
INSTALL_SECONDS = 900
READERS = ("supervision==0.31.2", "ultralytics==8.4.190", "labelme==6.3.1")
# Only what their parts that read labels import and this environment lacks; never a second torch or OpenCV.
NEEDED = (
    *("pydeprecate==0.14.0", "defusedxml==0.7.1", "matplotlib==3.11.2", "contourpy==1.3.3", "kiwisolver==1.5.1"),
    *("cycler==0.12.1", "fonttools==4.68.0", "pyparsing==3.3.3", "psutil==7.2.2", "ultralytics-thop==2.2.3"),
    *("imgviz==2.1.0", "cmap==0.6.2", "loguru==0.7.3", "tifffile==2026.3.3"),
)
# LabelMe's windows are of Qt; its files are read and its masks are drawn without it.
QT = ("__init__", "QtCore", "QtGui", "QtWidgets")


class ReadersMissing(Exception):
    """They are not here; the text says why."""


def readers_python() -> list[str]:
    """The command that runs Python with the readers; installed only when asked for."""
    whole = FOLDER / "installed"
    if not whole.is_file():
        if os.environ.get("ROOST_TEST_FORMAT_READERS") != "1":
            raise ReadersMissing(f"none under {FOLDER}; set ROOST_TEST_FORMAT_READERS=1 to install them there")
        CACHE.mkdir(parents=True, exist_ok=True)
        with FOLDER.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # somebody may be installing them just now
            if not whole.is_file():
                _install()
                whole.touch()
    paths = [str(FOLDER), sysconfig.get_paths()["purelib"]]
    return ["env", f"PYTHONPATH={os.pathsep.join(paths)}", f"YOLO_CONFIG_DIR={FOLDER}", sys.executable, "-c"]


def read_by(program: str, folder: Path) -> Any:
    """What a program prints as its last line, JSON, after it read the folder; skips the test without the readers."""
    try:
        command = readers_python()
    except ReadersMissing as missing:
        pytest.skip(f"the formats' readers: {missing}")
    done = subprocess.run([*command, program, str(folder)], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def _install() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(FOLDER)]
    wanted = [*command, *READERS, *NEEDED]
    done = subprocess.run(wanted, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode:
        raise ReadersMissing(f"they could not be installed: {done.stderr.strip().splitlines()[-1:]}")
    _stand_in()


def _stand_in() -> None:
    """For what is imported and never used."""
    # Ultralytics asks for the version of torchvision when it is imported; reading labels needs none of it.
    named = FOLDER / "torchvision-0.0.0.dist-info" / "METADATA"
    named.parent.mkdir(exist_ok=True)
    named.write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.0.0\n")
    (FOLDER / "PyQt5").mkdir(exist_ok=True)
    for name in QT:
        (FOLDER / "PyQt5" / f"{name}.py").touch()


if __name__ == "__main__":
    try:
        print(" ".join(readers_python()))
    except ReadersMissing as missing:
        sys.exit(str(missing))
