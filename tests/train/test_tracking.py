"""Runs kept by MLflow, W&B and TensorBoard: read back by each one's own reader; what they do never changes a run."""

from __future__ import annotations

import importlib.util
import json
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.processes import wait_until
from tests.train.snapshots import Snapshot, tiny_model
from tests.train.test_command_line import run
from toolbox.events import Event
from training.tracking import following
from training.tracking.lineage import ROOT, code_revision

NEEDED = {
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard",),
}
NAMES = list(NEEDED)
LOSSES = {"loss/total", "loss/presence", "loss/class", "loss/box", "loss/giou", "loss/mask", "loss/dice"}
FIGURES = LOSSES | {"train/learning_rate", "val/cgf1", "val/pmf1", "val/il_mcc", "val/il_fpr"}
STEPS = 12  # losses are told at steps 5, 10 and 12: images a second need two of them


def lacking(name: str) -> str:
    return " ".join(package for package in NEEDED[name] if importlib.util.find_spec(package) is None)


def need(name: str) -> None:
    if missing := lacking(name):
        pytest.skip(f"not installed: {missing} (requirements-extras.txt)")


@pytest.fixture(autouse=True)
def _nobody_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 5).add_scenes("val", "easy", 3).freeze()
    config = {
        "snapshot": str(made.folder),
        "images": str(made.images),
        "features": str(root / "features"),
        "base_model": str(tiny_model(root / "model")),
        "steps": STEPS,
        "batch_pairs": 4,
        "validate_every": 6,
        "checkpoint_every": 6,
        "sample_pairs": 3,
        "data_revision": "b" * 40,
        "device": "cpu",
    }
    return SimpleNamespace(root=root, config=config, hash=json.loads((made.folder / "manifest.json").read_text()))


@pytest.fixture(scope="module")
def plain(world: SimpleNamespace) -> bytes:
    """The weights of the run that nobody follows."""
    status, events = run("train", world.root / "plain", **world.config)
    assert status == 0
    assert Event.TRACKER not in {event["event"] for event in events}
    return weights(world.root / "plain")


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def told(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == Event.TRACKER]


def values_of(events: list[dict[str, Any]], kind: str, name: str) -> list[tuple[int, float]]:
    return [(event["step"], event[name]) for event in events if event["event"] == kind]


@pytest.fixture(scope="module")
def followed(world: SimpleNamespace) -> tuple[Path, list[dict[str, Any]]]:
    """One run with every tracker that is installed."""
    out = world.root / "followed"
    names = [name for name in NAMES if not lacking(name)]
    status, events = run("train", out, **world.config, trackers=names, tracking_project="barn")
    assert status == 0
    assert {(event["tracker"], event["state"]) for event in told(events)} == {(name, "on") for name in names}
    return out, events


def test_mlflow_gives_the_run_back(followed: tuple[Path, list[dict[str, Any]]], world: SimpleNamespace) -> None:
    need("mlflow")
    from mlflow.tracking import MlflowClient

    out, events = followed
    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'tracking' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("barn")
    (kept,) = client.search_runs([experiment.experiment_id])
    assert (kept.info.status, kept.info.run_name) == ("FINISHED", "followed")
    assert kept.data.metrics.keys() >= FIGURES | {"train/images_per_s"}
    history = {name: client.get_metric_history(kept.info.run_id, name) for name in ("loss/total", "val/cgf1")}
    assert [(m.step, m.value) for m in history["loss/total"]] == values_of(events, "loss", "total")
    assert [(m.step, m.value) for m in history["val/cgf1"]] == values_of(events, "validation", "cgf1")
    assert (kept.data.params["batch_pairs"], kept.data.params["seed"]) == ("4", "0")
    assert kept.data.tags["snapshot_hash"] == world.hash["content_hash"]
    assert (kept.data.tags["data_revision"], kept.data.tags["code_revision"]) == ("b" * 40, code_revision(ROOT))
    files = {found.path for found in client.list_artifacts(kept.info.run_id)}
    assert files == {"config.yaml", "manifest.json", "samples"}
    sheets = [found.path for found in client.list_artifacts(kept.info.run_id, "samples")]
    assert {Path(path).suffix for path in sheets} == {".json", ".png"}
    manifest = Path(client.download_artifacts(kept.info.run_id, "manifest.json", str(out.parent)))
    assert manifest.read_bytes() == (out / "manifest.json").read_bytes()


def test_event_file_gives_the_run_back(followed: tuple[Path, list[dict[str, Any]]], world: SimpleNamespace) -> None:
    need("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, events = followed
    kept = EventAccumulator(str(out / "tracking" / "tensorboard" / "barn" / "followed")).Reload()
    tags = kept.Tags()
    assert set(tags["scalars"]) >= FIGURES | {"train/images_per_s"}
    assert tags["images"] == ["samples"]
    for name, kind, key in (("loss/total", "loss", "total"), ("val/cgf1", "validation", "cgf1")):
        found = [(one.step, one.value) for one in kept.Scalars(name)]
        assert found == [(step, pytest.approx(value)) for step, value in values_of(events, kind, key)]
    texts = {tag: kept.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    assert "| batch_pairs | 4 |" in texts["hyperparameters/text_summary"]
    assert world.hash["content_hash"] in texts["lineage/text_summary"]
    assert "batch_pairs: 4" in texts["files/config.yaml/text_summary"]
    assert texts["ended/text_summary"] == "finished"


def records(path: Path) -> Iterator[bytes]:
    """W&B's own log: a 7 byte header, then blocks of 32 KiB with CRC (4), length (2, little-endian) and type (1)."""
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def offline_run(folder: Path) -> SimpleNamespace:
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    found = SimpleNamespace(history=[], config={}, files=path.parent / "files", exit=None, run=None)
    for data in records(path):
        record = wandb_internal_pb2.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = record.history.item
            found.history.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
        elif kind == "run":
            found.run = record.run
            found.config = {one.key: json.loads(one.value_json) for one in record.run.config.update}
        elif kind == "exit":
            found.exit = record.exit.exit_code
    return found


def test_offline_folder_gives_the_run_back(followed: tuple[Path, list[dict[str, Any]]], world: SimpleNamespace) -> None:
    need("wandb")
    out, events = followed
    kept = offline_run(out / "tracking")
    assert (kept.run.project, kept.run.display_name, kept.exit) == ("barn", "followed", 0)
    assert {name for row in kept.history for name in row} >= FIGURES | {"train/images_per_s"}
    losses = [(row["step"], row["loss/total"]) for row in kept.history if "loss/total" in row]
    assert losses == values_of(events, "loss", "total")
    assert (kept.config["batch_pairs"], kept.config["lineage"]["snapshot_hash"]) == ("4", world.hash["content_hash"])
    assert {"config.yaml", "manifest.json"} <= {path.name for path in kept.files.iterdir()}
    assert list(kept.files.rglob("samples*.png"))


def test_followed_run_is_equal_to_the_bit_and_done_is_its_last_word(
    followed: tuple[Path, list[dict[str, Any]]], plain: bytes
) -> None:
    out, events = followed
    assert weights(out) == plain
    assert events[-1]["event"] == "done"


def test_resolved_config_lies_with_the_run_and_is_a_config(world: SimpleNamespace, plain: bytes) -> None:
    from training.config import read_config

    kept = world.root / "plain" / "config.yaml"
    assert yaml.safe_load(kept.read_text()) == read_config("train", kept).plain()
    assert yaml.safe_load(kept.read_text())["clip_norm"] == 1.0


def _breaking(kind: type, method: str, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own method works so often, then raises."""
    real: Callable[..., Any] = getattr(kind, method)
    calls = []

    def breaks(*words: Any, **more: Any) -> Any:
        calls.append(method)
        if len(calls) > after:
            raise RuntimeError("the store is gone")
        return real(*words, **more)

    monkeypatch.setattr(kind, method, breaks)


def break_mid_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "mlflow":
        from mlflow.tracking import MlflowClient

        _breaking(MlflowClient, "log_batch", 3, monkeypatch)
    elif name == "wandb":
        from wandb.sdk.wandb_run import Run

        _breaking(Run, "log", 2, monkeypatch)
    else:
        from torch.utils.tensorboard import SummaryWriter

        _breaking(SummaryWriter, "add_scalar", 6, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_tracker_that_breaks_in_the_middle_changes_no_bit_and_is_told_once(
    world: SimpleNamespace, plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    need(name)
    break_mid_run(name, monkeypatch)
    status, events = run("train", tmp_path, **world.config, trackers=[name])
    assert status == 0
    assert [event["state"] for event in told(events)] == ["on", "failed"]
    assert "RuntimeError: the store is gone" in told(events)[1]["message"]
    assert weights(tmp_path) == plain


@pytest.mark.parametrize("name", NAMES)
def test_tracker_that_cannot_begin_is_told_once_and_the_others_go_on(
    world: SimpleNamespace, plain: bytes, tmp_path: Path, name: str
) -> None:
    need(name)
    (tmp_path / "file").write_text("no folder can be made here")
    status, events = run(
        "train", tmp_path / "out", **world.config, trackers=[name], tracking_folder=str(tmp_path / "file")
    )
    assert status == 0
    assert [(event["tracker"], event["state"]) for event in told(events)] == [(name, "failed")]
    assert weights(tmp_path / "out") == plain


def test_server_that_is_away_fails_no_run(world: SimpleNamespace, plain: bytes, tmp_path: Path) -> None:
    need("mlflow")
    status, events = run("train", tmp_path, **world.config, trackers=["mlflow"], mlflow_uri="http://127.0.0.1:9")
    assert status == 0
    assert [event["state"] for event in told(events)] == ["failed"]
    assert weights(tmp_path) == plain


def test_key_without_a_server_leaves_the_run_offline(
    world: SimpleNamespace, plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    status, events = run("train", tmp_path, **world.config, trackers=["wandb"])
    assert status == 0
    (event,) = told(events)
    assert event["state"] == "on"
    assert "server could not be used" in event["message"]
    assert [row["step"] for row in offline_run(tmp_path / "tracking").history if "loss/total" in row] == [5, 10, 12]
    assert weights(tmp_path) == plain


def test_tracker_that_begins_after_the_run_is_over_says_no_more(
    world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    need("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    begin, may_begin = SummaryWriter.__init__, threading.Event()

    def hangs(*words: Any, **more: Any) -> None:
        may_begin.wait()
        begin(*words, **more)

    monkeypatch.setattr(SummaryWriter, "__init__", hangs)
    monkeypatch.setattr(following, "FINISH_WITHIN_S", 0.1)
    status, events = run("train", tmp_path, **world.config, trackers=["tensorboard"])
    assert (status, [event["state"] for event in told(events)], events[-1]["event"]) == (0, ["slow"], "done")
    may_begin.set()
    wait_until(lambda: "tracker tensorboard" not in {thread.name for thread in threading.enumerate()})
    assert "closed file" not in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_absent_package_is_named_with_what_brings_it(
    world: SimpleNamespace, plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import sys

    hidden = {"mlflow": "mlflow.tracking", "wandb": "wandb", "tensorboard": "torch.utils.tensorboard"}[name]
    monkeypatch.setitem(sys.modules, hidden, None)  # as Python has it for a module that cannot be imported
    status, events = run("train", tmp_path, **world.config, trackers=[name])
    assert status == 0
    assert [event["state"] for event in told(events)] == ["absent"]
    assert "pip install -r requirements-extras.txt" in told(events)[0]["message"]
    assert weights(tmp_path) == plain


def test_resumed_run_is_one_run_in_mlflow(world: SimpleNamespace, tmp_path: Path) -> None:
    need("mlflow")
    from mlflow.tracking import MlflowClient

    config = world.config | {"trackers": ["mlflow"], "tracking_project": "barn"}
    assert run("train", tmp_path, **config)[0] == 0
    assert run("train", tmp_path, **config)[0] == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}")
    (kept,) = client.search_runs([client.get_experiment_by_name("barn").experiment_id])
    assert kept.info.status == "FINISHED"


def test_unknown_tracker_is_refused_before_the_run(world: SimpleNamespace, tmp_path: Path) -> None:
    status, events = run("train", tmp_path, **world.config, trackers=["neptune"])
    assert (status, events[-1]["code"]) == (2, "bad_config")
    assert "'trackers' is one of mlflow, wandb, tensorboard" in events[-1]["message"]


def test_refused_run_ends_as_failed(world: SimpleNamespace, tmp_path: Path) -> None:
    need("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    status, _ = run("train", tmp_path, **(world.config | {"base_model": "nowhere"}), trackers=["tensorboard"])
    assert status == 2
    kept = EventAccumulator(str(tmp_path / "tracking" / "tensorboard" / "roost" / tmp_path.name)).Reload()
    assert kept.Tensors("ended/text_summary")[0].tensor_proto.string_val[0] == b"failed"


def test_sheet_shows_truth_and_sight_side_by_side(world: SimpleNamespace, plain: bytes, tmp_path: Path) -> None:
    need("tensorboard")
    assert run("train", tmp_path, **world.config, trackers=["tensorboard"])[0] == 0
    (first, *_) = sorted((tmp_path / "samples" / "tensorboard").glob("*.png"))
    rows = json.loads(first.with_suffix(".json").read_text())
    with Image.open(first) as sheet:
        assert sheet.width == 480
        assert len(rows) == 3
        assert sheet.height == sum(16 + round(240 * row["height"] / row["width"]) for row in rows)
