"""A real Label Studio in an environment and a data folder of its own, for one test session.

ROOST_TEST_LABEL_STUDIO=1 python -m tests.backend.label_studio_server  # installs it ahead of the tests, as .ci/run does
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annotator.operations.loop.stack import free_port
from tests.processes import PATIENCE_S

VERSION = "1.23.2"
INSTALL_SECONDS = 1800
CACHE = Path(os.environ.get("ROOST_TEST_CACHE") or Path.home() / ".cache" / "roost-tests")


@dataclass(frozen=True)
class LabelStudio:
    url: str
    token: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Token {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:2000]!r}") from None
        return json.loads(text) if text else None

    def upload(self, project: int, name: str, data: bytes) -> None:
        """Import a picture as a person would: a multipart upload, which Label Studio then serves itself."""
        boundary = secrets.token_hex(16)
        body = (
            (
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                f"Content-Type: image/png\r\n\r\n"
            ).encode()
            + data
            + f"\r\n--{boundary}--\r\n".encode()
        )
        request = urllib.request.Request(f"{self.url}/api/projects/{project}/import", data=body)
        request.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
        request.add_header("Authorization", f"Token {self.token}")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert answer.status == 201


class LabelStudioMissing(Exception):
    """It is not here; the text says why."""


def installed_python() -> Path:
    """The environment's interpreter; installed only when asked for, since it takes minutes and a gigabyte."""
    environment = CACHE / f"ls-{VERSION}"
    python, whole = environment / "bin" / "python", environment / "installed"
    if whole.is_file():
        return python
    if os.environ.get("ROOST_TEST_LABEL_STUDIO") != "1":
        raise LabelStudioMissing(f"none under {CACHE}; set ROOST_TEST_LABEL_STUDIO=1 to install it there")
    CACHE.mkdir(parents=True, exist_ok=True)
    with environment.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody may be installing it just now
        if not whole.is_file():
            _install(environment, python)
            whole.touch()
    return python


def _install(environment: Path, python: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"label-studio=={VERSION}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode:
        raise LabelStudioMissing(f"it could not be installed: {done.stderr.strip().splitlines()[-1:]}")


@contextmanager
def running_label_studio(folder: Path) -> Iterator[LabelStudio]:
    """Loopback is blocked by default since 1.23, for backends and for webhooks: both are opened for the test."""
    try:
        python = installed_python()
    except LabelStudioMissing as missing:
        pytest.skip(f"Label Studio {VERSION}: {missing}")
    port, token = free_port(), secrets.token_hex(20)
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("ROOST_", "DJANGO_", "PYTHON", "DATABASE"))
    }
    env |= {
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_RATE": "0",
        "FRONTEND_SENTRY_RATE": "0",
        "HOME": str(folder),
        "LABEL_STUDIO_HOST": f"http://localhost:{port}",
    }
    log = (folder / "label-studio.log").open("wb")
    process = subprocess.Popen(
        [
            python.with_name("label-studio"),
            "start",
            "--no-browser",
            "--port",
            str(port),
            "--internal-host",
            "127.0.0.1",
            "--username",
            "owner@example.com",
            "--password",
            secrets.token_hex(12),
            "--user-token",
            token,
            "--enable-legacy-api-token",
            "--data-dir",
            str(folder / "data"),
        ],
        env=env,
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    server = LabelStudio(f"http://localhost:{port}", token)
    try:
        _wait(server, process, folder / "label-studio.log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _wait(server: LabelStudio, process: subprocess.Popen, log: Path, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(server.url + "/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"Label Studio did not start: {log.read_text(errors='replace')[-3000:]}")


if __name__ == "__main__":
    try:
        print(f"Label Studio {VERSION}: {installed_python()}")
    except LabelStudioMissing as missing:
        sys.exit(f"Label Studio {VERSION}: {missing}")
