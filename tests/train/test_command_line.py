"""`python -m training` as its callers see it: events, files, exit statuses, signals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import PATIENCE_S, wait_until
from tests.train.snapshots import Snapshot, tiny_model
from toolbox.gate_policy import Policy
from training.__main__ import perform
from training.gate_rows import decide_rows
from training.speed import Speed

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ROOST_NO_JEMALLOC": "1"}
KEYS_OF_A_MODEL = {"cgf1", "pmf1", "il_mcc", "il_fpr", "f1_at_50", "by_source", "by_concept"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 5).add_scenes("val", "easy", 3).add_scenes("holdout", "hard", 4)
    made.freeze()
    folders = {"snapshot": made.folder, "images": made.images, "model": tiny_model(root / "model"), "root": root}
    return {key: str(folder) for key, folder in folders.items()} | {"features": str(root / "features")}


def command(verb: str, out: Path, **config: Any) -> list[str]:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "asked.json"
    path.write_text(json.dumps(config))
    return [sys.executable, "-m", "training", verb, "--config", str(path), "--out", str(out)]


def run(verb: str, out: Path, **config: Any) -> tuple[int, list[dict[str, Any]]]:
    """In this process, since importing torch anew takes seconds; the tests of signals start real ones."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = perform(command(verb, out, **config, nice=0)[3:])
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    assert all({"event", "at"} <= event.keys() for event in events)
    return status, events


def shared(world: dict[str, str]) -> dict[str, str]:
    return {key: world[key] for key in ("snapshot", "images", "features")}


def short(world: dict[str, str], **changes: Any) -> dict[str, Any]:
    given = {"base_model": world["model"], "steps": 4, "batch_pairs": 4, "validate_every": 2, "checkpoint_every": 2}
    return shared(world) | given | changes


def test_training_tells_its_story_and_leaves_a_model(world: dict[str, str], tmp_path: Path) -> None:
    asked = command("train", tmp_path, **short(world))
    ended = subprocess.run(asked, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0, ended.stderr
    told = {event["event"] for event in events}
    assert {"progress", "loss", "validation", "checkpoint", "sample", "warning", "done"} == told
    warned = [event["code"] for event in events if event["event"] == "warning"]
    assert warned == ["presence_not_calibrated"], "val has too few pairs for it"
    loss = next(event for event in events if event["event"] == "loss")
    assert {"step", "total", "presence", "class", "box", "giou", "mask", "dice"} <= loss.keys()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    promised = {"model", "weights_hash", "backbone_hash", "snapshot_hash", "metrics", "config", "seconds"}
    assert promised <= manifest.keys()
    assert events[-1] == {**events[-1], "event": "done", "manifest": str(tmp_path / "manifest.json")}
    assert [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()] == events


def test_evaluation_leaves_predictions_and_the_26_figures(world: dict[str, str], tmp_path: Path) -> None:
    status, _ = run("evaluate", tmp_path, **shared(world), model=world["model"], split="holdout", keep_score=0.0)
    assert status == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert len(manifest["metrics"]) == 26
    assert set(manifest["by_source"]) == {"hard"}
    predictions = json.loads((tmp_path / "predictions.json").read_text())
    assert {"image_id", "category_id", "score", "segmentation", "bbox"} == set(predictions[0])
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert all(0 <= row["presence"] <= 1 for row in rows)
    measures = json.loads((tmp_path / "measures.json").read_text())
    assert measures["n"]["pairs"] == len(rows) == manifest["pairs"]
    assert measures["figures"]["pmf1"]["value"] == pytest.approx(manifest["summary"]["pmf1"], abs=1e-6)
    assert set(measures["by"]["source"]) == {"hard"}
    assert sum(one["n"] for one in measures["calibration"]["bins"]) == len(rows)


def test_model_against_itself_is_not_promoted(world: dict[str, str], tmp_path: Path) -> None:
    models = dict.fromkeys(("champion", "challenger", "baseline"), world["model"])
    status, events = run("gate", tmp_path, **shared(world), **models)
    assert (status, events[-1]["code"]) == (2, "too_few_scenes")
    status, _ = run("gate", tmp_path, **shared(world), **models, policy={"min_scenes": 1})
    assert status == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    rows, speed = json.loads((tmp_path / "rows.json").read_text()), Speed.of(manifest["speed"])
    assert speed.is_same
    again = decide_rows(rows, Policy(**manifest["policy"]), speed=speed)
    assert {
        key: manifest[key] for key in ("decision", "reasons", "rules", "bootstrap", "delta_cgf1")
    }.items() <= again.items()
    assert manifest["decision"] in ("reject", "undecided")
    assert manifest["reasons"]
    assert manifest["champion"].keys() >= KEYS_OF_A_MODEL
    assert {"low", "high", "rounds", "confidence"} == manifest["bootstrap"].keys()
    assert len(json.loads((tmp_path / "report.json").read_text())["champion"]["samples"]) == 8
    for role in models:
        assert {path.name for path in (tmp_path / role).iterdir()} == {"predictions.json", "rows.json", "measures.json"}
        rows = json.loads((tmp_path / role / "rows.json").read_text())
        assert [row["id"] for row in rows] == [row["id"] for row in json.loads((tmp_path / "rows.json").read_text())]


def test_another_network_than_the_champions_is_timed(world: dict[str, str], tmp_path: Path) -> None:
    other = shutil.copytree(world["model"], tmp_path / "with_cls")
    config = json.loads((other / "config.json").read_text())
    config["prompt_has_cls"] = not config.get("prompt_has_cls", False)  # one token more or less in every prompt
    (other / "config.json").write_text(json.dumps(config))
    models = dict.fromkeys(("champion", "baseline"), world["model"]) | {"challenger": str(other)}
    policy = {"min_scenes": 1, "speed_ratio": 1.05}
    status, events = run("gate", tmp_path / "gate", **shared(world), **models, policy=policy)
    assert status == 0
    assert [event["step"] for event in events if event.get("phase") == "speed"] == list(range(1, 13))
    manifest = json.loads((tmp_path / "gate" / "manifest.json").read_text())
    assert manifest["speed"]["encode"]["rounds"] == manifest["speed"]["click"]["rounds"] == 12
    (rule,) = [rule for rule in manifest["rules"] if rule["name"] == "speed"]
    assert "times as long" in rule["words"]


def test_holdout_without_negatives_is_refused_by_name(world: dict[str, str], tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("holdout", "easy", 3, negatives=0).freeze()
    models = dict.fromkeys(("champion", "challenger", "baseline"), world["model"])
    changed = {"snapshot": str(made.folder), "images": str(made.images)}
    status, events = run("gate", tmp_path / "out", **(shared(world) | changed), **models)
    assert (status, events[-1]["event"], events[-1]["code"]) == (2, "error", "ungateable_holdout")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("train", {"lerning_rate": 1}, "bad_config"),
    ("train", {"snapshot": "nowhere"}, "absent_snapshot"),
    ("train", {"base_model": "nowhere"}, "bad_model"),
    ("train", {"device": "cuda"}, "no_gpu"),
    ("train", {"images": "nowhere"}, "absent_image"),
]


@pytest.mark.parametrize(("verb", "change", "code"), REFUSED, ids=[code for _, _, code in REFUSED])
def test_what_cannot_be_done_is_refused_with_status_2(
    world: dict[str, str], tmp_path: Path, verb: str, change: dict[str, Any], code: str
) -> None:
    if code == "no_gpu":
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
    status, events = run(verb, tmp_path / "out", **(short(world) | change))
    assert (status, events[-1]["event"], events[-1]["code"]) == (2, "error", code)
    assert not (tmp_path / "out" / "manifest.json").exists()


def started(world: dict[str, str], out: Path, **changes: Any) -> subprocess.Popen[str]:
    """A run that has trained a few steps of a great many."""
    asked = command("train", out, **short(world, steps=100_000, validate_every=50_000, **changes))
    child = subprocess.Popen(asked, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line)["event"] == "loss":
            return child
    raise AssertionError("the run ended before its first step")


def test_sigterm_checkpoints_and_exits_143(world: dict[str, str], tmp_path: Path) -> None:
    child = started(world, tmp_path, checkpoint_every=50_000)
    child.send_signal(signal.SIGTERM)
    assert child.stdout is not None
    events = [json.loads(line) for line in child.stdout]
    assert child.wait(timeout=PATIENCE_S) == 143
    assert [event["event"] for event in events[-2:]] == ["checkpoint", "error"]
    assert Path(events[-2]["path"]).is_file()


def test_killed_run_goes_on_from_its_last_checkpoint(world: dict[str, str], tmp_path: Path) -> None:
    child = started(world, tmp_path)
    child.kill()
    child.wait()
    steps = [json.loads(path.read_text())["step"] for path in (tmp_path / "checkpoints").glob("step-*.json")]
    again = started(world, tmp_path)
    again.kill()
    again.wait()
    losses = [e for e in map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines()) if e["event"] == "loss"]
    assert losses[-1]["step"] > max(steps) >= 2


def test_run_ends_when_its_parent_dies(world: dict[str, str], tmp_path: Path) -> None:
    asked = command("train", tmp_path, **short(world, steps=100_000, validate_every=50_000, checkpoint_every=50_000))
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess as s; p = s.Popen({asked!r}); print(p.pid, flush=True); p.wait()",
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    for line in parent.stdout:
        if json.loads(line)["event"] == "loss":
            break
    parent.kill()
    parent.wait()
    wait_until(lambda: not _is_alive(child))
    assert list((tmp_path / "checkpoints").glob("step-*.json"))


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_help_names_the_verbs() -> None:
    asked = [sys.executable, "-m", "training", "--help"]
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(verb in told.stdout for verb in ("train", "evaluate", "gate"))
