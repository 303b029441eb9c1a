"""Real small networks, real images and a real server process for the ML backend's tests."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import uvicorn
from PIL import Image

from mlbackend.model.network import Sam3Network
from mlbackend.server.app import build_app
from mlbackend.settings import read_settings
from tests.processes import PATIENCE_S
from training.demo.architecture import demo_config, write_tokenizer

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """On a thread of its own: where a test's browser is open, the main one has a running loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def small_network(seed: int = 0) -> Sam3Network:
    """The demo model's architecture with random weights that answer with uneven masks and scores."""
    torch.manual_seed(seed)
    network = Sam3Network.from_config(demo_config())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 and "backbone" not in name:
                parameter.mul_(2.0)
    return network


def write_version(models: Path, version: str, network: Sam3Network, **manifest: Any) -> Path:
    folder = models / version
    network.save(folder)
    write_tokenizer(folder)
    if manifest:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def noisy_picture(seed: int, *, width: int = 160, height: int = 120) -> np.ndarray:
    """Coarse random patches: no two seeds look alike to the network."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST))


def png_bytes(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def store_bytes(var: Path, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    path = var / "images" / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return sha256


def store_picture(var: Path, seed: int, **size: int) -> str:
    return store_bytes(var, png_bytes(noisy_picture(seed, **size)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """Plain HTTP: (status, JSON, headers)."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self.base_url, self.token = base_url, token

    def call(self, path: str, body: Any = None, *, raw: bytes | None = None) -> tuple[int, Any, Any]:
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        request = urllib.request.Request(self.base_url + path, data=data)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, _json(answer.read()), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read()), error.headers

    def get(self, path: str) -> Any:
        status, body, _ = self.call(path)
        assert status == 200, (status, body)
        return body

    def post(self, path: str, body: Any, expected: int = 200) -> Any:
        status, answer, _ = self.call(path, body)
        assert status == expected, (status, answer)
        return answer

    def wait_health(self, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                assert self.get("/health")["status"] == "UP"
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"nothing listens at {self.base_url}")

    def wait_ready(self, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.call("/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready after {seconds} s: {self.call('/ready')}")


def metric(client: Client, line: str) -> float:
    """A number of /metrics; 0 while it is not there."""
    rows = [row for row in client.get("/metrics").splitlines() if row.startswith(line + " ")]
    return float(rows[0].split()[-1]) if rows else 0.0


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


@contextmanager
def served(var: Path, *, token: str | None = None, wait: bool = True, **environ: str) -> Iterator[Client]:
    """`python -m mlbackend` on a port of its own, stopped at the end."""
    port = free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("ROOST_")}
    env |= {"ROOST_VAR": str(var), "ROOST_MLBACKEND_PORT": str(port), "PYTHONPATH": str(REPOSITORY)} | environ
    if token:
        env["ROOST_MLBACKEND_TOKEN"] = token
    log = (var / "mlbackend.log").open("ab")
    process = subprocess.Popen([sys.executable, "-m", "mlbackend"], env=env, cwd=REPOSITORY, stdout=log, stderr=log)
    try:
        client = Client(f"http://127.0.0.1:{port}", token)
        if wait:
            client.wait_ready()
        yield client
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@contextmanager
def served_here(var: Path, *, wait: bool = True, **environ: str) -> Iterator[Client]:
    """The same server over real HTTP on a thread of this process, where torch is already imported."""
    settings = read_settings({"ROOST_VAR": str(var)} | environ)
    config = uvicorn.Config(build_app(settings), host="127.0.0.1", port=free_port(), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        client = Client(f"http://127.0.0.1:{config.port}", settings.token)
        client.wait_health()
        if wait:
            client.wait_ready()
        yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 1.0
