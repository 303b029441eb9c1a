"""The heavy half of the service, made after the server is already listening: importing this pulls in torch."""

from __future__ import annotations

import torch
from transformers.utils.logging import disable_progress_bar

from mlbackend.serving.engine import Engine
from mlbackend.serving.metrics import Metrics
from mlbackend.serving.registry import Registry
from mlbackend.settings import MIB, Settings


class Core:
    """Construct on the event loop that will use it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        torch.set_num_threads(settings.torch_threads)
        keep_to_share(settings)
        disable_progress_bar()  # of weights being read, which would fill the log
        self.engine = Engine(settings, metrics)
        self.registry = Registry(settings)
        self._register_gauges(metrics)

    def close(self) -> None:
        self.engine.close()
        self.registry.close()

    def _register_gauges(self, metrics: Metrics) -> None:
        engine, registry = self.engine, self.registry
        metrics.gauge("roost_ready", lambda: float(registry.state()[0] == "ready"))
        metrics.gauge("roost_queue_depth_clicks", lambda: float(engine.clicks.depth()))
        metrics.gauge("roost_queue_depth_heavy", lambda: float(engine.heavy.depth()))
        metrics.gauge("roost_heavy_calls", lambda: float(engine.heavy.calls))
        metrics.gauge("roost_heavy_jobs", lambda: float(engine.heavy.jobs))
        metrics.gauge("roost_hot_embedding_bytes", lambda: float(engine.encoder.store.hot.bytes))
        metrics.gauge("roost_warm_embedding_bytes", lambda: float(engine.encoder.store.warm.bytes))
        metrics.gauge("roost_model_bytes", lambda: float(registry.bytes()))
        metrics.gauge("roost_gpu_memory_bytes", _gpu_bytes)


def keep_to_share(settings: Settings) -> None:
    """On a GPU that training uses too: more than ROOST_GPU_MB is never taken. What does not fit is out of memory."""
    if settings.gpu_mb and settings.device != "cpu" and torch.cuda.is_available():
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, settings.gpu_mb * MIB / total))


def _gpu_bytes() -> float:
    return float(torch.cuda.memory_allocated()) if torch.cuda.is_available() else 0.0
