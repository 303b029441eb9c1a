"""The GPU's memory, utilisation and temperature as `gpu` events, read through NVML (nvidia-ml-py) by a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolbox.events import Event
from training.config import Config
from training.events import Events

EVERY_S = 10.0
MIB = 1024**2


@contextmanager
def watched_gpu(config: Config, events: Events) -> Iterator[None]:
    """Figures every ten seconds and once at the end; nothing on a machine without a GPU, one sentence without NVML."""
    gpu = _find(config, events)
    if gpu is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_look, args=(gpu, events, over), name="gpu", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)


def _find(config: Config, events: Events) -> Gpu | None:
    import torch

    if config.device == "cpu" or not torch.cuda.is_available():
        return None
    try:
        return Gpu(torch.cuda.get_device_properties(torch.cuda.current_device()))
    except ImportError:
        words = "nvidia-ml-py is not installed: pip install -r requirements-extras.txt."
    except Exception as error:  # a driver of another version, a container without NVML
        words = f"{type(error).__name__}: {error}."
    events(Event.TRACKER, tracker="gpu", state="absent", message=f"The GPU's figures are not recorded. {words}")
    return None


def _look(gpu: Gpu, events: Events, over: threading.Event) -> None:
    try:
        while not over.wait(EVERY_S):
            events(Event.GPU, **gpu.figures())
        events(Event.GPU, **gpu.figures())
    except Exception as error:
        message = f"The GPU's figures are no longer recorded. {type(error).__name__}: {error}."
        events(Event.TRACKER, tracker="gpu", state="failed", message=message)


class Gpu:
    """The device that torch computes on, found by its UUID: NVML counts devices that torch is not shown."""

    def __init__(self, properties: Any) -> None:
        import pynvml

        self._nvml = pynvml
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")

    def figures(self) -> dict[str, float]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        return {
            "memory_used_mib": round(memory.used / MIB),
            "memory_total_mib": round(memory.total / MIB),
            "utilisation_percent": self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu,
            "temperature_c": self._nvml.nvmlDeviceGetTemperature(self._handle, self._nvml.NVML_TEMPERATURE_GPU),
        }
