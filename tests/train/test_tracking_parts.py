"""What following a run is made of, without a run: events heard, the lineage, a picture, the GPU's figures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from toolbox.weights_hash import folder_weights_hash
from training.config import Config
from training.events import silent
from training.tracking.base import RunFacts
from training.tracking.gpu import Gpu
from training.tracking.lineage import ROOT, lineage
from training.tracking.tensorboard import TensorboardTracker


def test_listener_hears_every_event() -> None:
    heard: list[dict[str, Any]] = []
    events = silent()
    events.listen(heard.append)
    events("progress", step=1, of=2)
    assert [one["event"] for one in heard] == ["progress"]


def test_shipped_model_has_its_weights_hash_in_the_lineage() -> None:
    """It has a card where versions that were trained here have a manifest."""
    demo = ROOT / "mlbackend" / "weights" / "demo"
    config = Config(snapshot="", images="", base_model=str(demo))
    assert lineage(config)["base_weights_hash"] == folder_weights_hash(demo)


def test_picture_among_the_files_is_an_image_in_tensorboard(tmp_path: Path) -> None:
    """views.png is one: read as text it ended the tracker."""
    pytest.importorskip("tensorboard", reason="not installed: tensorboard (requirements-extras.txt)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Image.new("RGB", (4, 3), (200, 10, 10)).save(tmp_path / "views.png")
    tracker = TensorboardTracker()
    facts = RunFacts("one", "barn", tmp_path, params={}, lineage={}, mlflow_uri=None, resumed_id=None)
    place = tracker.start(facts).place
    tracker.file(tmp_path / "views.png")
    tracker.finish("finished")
    kept = EventAccumulator(place).Reload()
    (image,) = kept.Images("files/views.png")
    assert (image.width, image.height) == (4, 3)


def test_gpu_s_figures_are_read() -> None:
    import torch

    if not torch.cuda.is_available() or importlib.util.find_spec("pynvml") is None:
        pytest.skip("no GPU here, or no nvidia-ml-py")
    torch.zeros(64 * 1024**2, device="cuda")
    figures = Gpu(torch.cuda.get_device_properties(0)).figures()
    assert 64 < figures["memory_used_mib"] <= figures["memory_total_mib"]
    assert 0 < figures["temperature_c"] < 120
    assert 0 <= figures["utilisation_percent"] <= 100
