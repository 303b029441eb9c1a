"""The formats' own readers in an environment of their own, beside this one's packages.

ROOST_TEST_FORMAT_READERS=1 python -m tests.web.format_readers  # installs them ahead of the tests: about a minute
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

CACHE = Path(os.environ.get("ROOST_TEST_CACHE") or Path.home() / ".cache" / "roost-tests")
FOLDER = CACHE / "format-readers-1"
READERS = ("supervision==0.31.2", "ultralytics==8.4.190")
# Only what their parts that read labels import and this environment lacks; never a second torch or OpenCV.
NEEDED = (
    *("pydeprecate==0.14.0", "defusedxml==0.7.1", "matplotlib==3.11.2", "contourpy==1.3.3", "kiwisolver==1.5.1"),
    *("cycler==0.12.1", "fonttools==4.68.0", "pyparsing==3.3.3", "psutil==7.2.2", "ultralytics-thop==2.2.3"),
)


class ReadersMissing(Exception):
    """They are not here; the text says why."""


def readers_python() -> list[str]:
    """The command that runs Python with the readers; installed only when asked for."""
    if not (FOLDER / "installed").is_file():
        if os.environ.get("ROOST_TEST_FORMAT_READERS") != "1":
            raise ReadersMissing(f"none under {FOLDER}; set ROOST_TEST_FORMAT_READERS=1 to install them there")
        _install()
    paths = [str(FOLDER), sysconfig.get_paths()["purelib"]]
    return ["env", f"PYTHONPATH={os.pathsep.join(paths)}", f"YOLO_CONFIG_DIR={FOLDER}", sys.executable, "-c"]


def _install() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(FOLDER)]
    done = subprocess.run([*command, *READERS, *NEEDED], check=False, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise ReadersMissing(f"they could not be installed: {done.stderr.strip().splitlines()[-1:]}")
    # Ultralytics asks for the version of torchvision when it is imported; reading labels needs none of it.
    named = FOLDER / "torchvision-0.0.0.dist-info" / "METADATA"
    named.parent.mkdir(exist_ok=True)
    named.write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.0.0\n")
    (FOLDER / "installed").touch()


if __name__ == "__main__":
    try:
        print(" ".join(readers_python()))
    except ReadersMissing as missing:
        sys.exit(str(missing))
