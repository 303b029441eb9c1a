"""What the benchmarks of the ML backend share: models, pictures, a server, percentiles, results with their hardware."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
DEMO = REPOSITORY / "mlbackend" / "weights" / "demo"
SIDE_PX = 768
CACHE = Path(os.environ.get("ROOST_TEST_CACHE") or Path.home() / ".cache" / "roost-tests")


def model_folder(name: str) -> Path:
    """`demo`, `full` (SAM 3 at its real size with random weights: speed does not depend on them), or a folder."""
    return {"demo": lambda: DEMO, "full": full_size_folder}.get(name, lambda: Path(name))()


def full_size_folder() -> Path:
    """Built once, 3.4 GB; the tokenizer is the demo's, over bytes."""
    folder = CACHE / "sam3-random"
    if not (folder / "config.json").is_file():
        from transformers.models.sam3.configuration_sam3 import Sam3Config

        from mlbackend.model.network import Sam3Network
        from training.demo.architecture import write_tokenizer

        torch.manual_seed(0)
        write_tokenizer(folder)
        Sam3Network.from_config(Sam3Config()).save(folder)
    return folder


def picture(seed: int, model: str = "demo") -> np.ndarray:
    """768 x 768 px: a barn for the demo model, smooth random shades for others (whose masks are then large)."""
    if model == "demo":
        from training.demo.scenes import draw_scene

        return draw_scene(1_900_000 + seed, "easy", SIDE_PX).image_HWC
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def store_picture(var: Path, seed: int, model: str = "demo") -> str:
    file = io.BytesIO()
    Image.fromarray(picture(seed, model)).save(file, "JPEG", quality=90)
    sha256 = hashlib.sha256(file.getvalue()).hexdigest()
    path = var / "images" / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    return sha256


def timed_ms(function: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(values_ms, p)), 2) for p in (50, 95, 99)}


def environment() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.strip()
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def write_result(name: str, result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: bench/results/{path.name}")


@contextmanager
def server(var: Path, folder: Path, **environ: str) -> Iterator[str]:
    """The backend in a process of its own, serving the folder as version `bench`; its base URL."""
    models = var / "models"
    models.mkdir(parents=True, exist_ok=True)
    if not (models / "bench").exists():
        (models / "bench").symlink_to(folder.resolve(), target_is_directory=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {"ROOST_VAR": str(var), "ROOST_MLBACKEND_PORT": str(port), "ROOST_DEFAULT_MODEL": "bench"}
    env |= environ
    process = subprocess.Popen([sys.executable, "-m", "mlbackend"], env=env, cwd=REPOSITORY)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_ready(url: str, process: subprocess.Popen[bytes], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url + "/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the backend did not become ready")
