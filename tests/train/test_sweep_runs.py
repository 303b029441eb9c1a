"""Sweeps with real children: what is finished is left alone, whatever was killed; what cannot be is told in time."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, wait_until
from tests.train.snapshots import Snapshot, tiny_model
from training.__main__ import perform
from training.config import config_of
from training.sweep.checks import refusals

DEMO = ROOT / "mlbackend" / "weights" / "demo"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ROOST_NO_JEMALLOC": "1"}
MIB = 2**20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 5).add_scenes("val", "easy", 5).freeze()
    return {"snapshot": str(made.folder), "images": str(made.images), "features": str(root / "features")}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def arguments(folder: Path, world: dict[str, Any], **keys: Any) -> list[str]:
    """The sweep's command line; `base` is over what all of them have."""
    short = {"steps": 4, "batch_pairs": 4, "validate_every": 2, "checkpoint_every": 1, "threads": 1, "nice": 0}
    given = {**keys, "base": world | short | keys.get("base", {})}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(given))
    return ["sweep", "--config", str(folder / "sweep.json"), "--out", str(folder / "out")]


def swept(command: list[str]) -> tuple[int, list[dict[str, Any]]]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROOST_NO_JEMALLOC", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        status = perform(command)
    return status, [json.loads(line) for line in said.getvalue().splitlines()]


def started(command: list[str]) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "training", *command]
    return subprocess.Popen(line, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


def child_of(process: subprocess.Popen[bytes]) -> int:
    """The one that trains: a sweep has one at a time."""
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(pid)


def steps_saved(run: Path) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*.json")]


def is_free(out: Path) -> bool:
    """Whether nobody works in the folder any more, children included."""
    with (out / ".lock").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def times(*folders: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_killed_sweep_goes_on_to_the_table_of_one_that_was_never_stopped(world: dict[str, Any], tmp_path: Path) -> None:
    """First its run is killed, which it tells; then it is killed itself, and its run ends by itself."""
    keys = {
        "grid": {"learning_rate": [3e-4, 1e-3]},
        "base": {"base_model": str(DEMO), "start_share": 0.0},
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    status, events = swept(arguments(whole, world, **keys))
    assert (status, [event["state"] for event in events if event["event"] == "run"]) == (0, ["done", "done"])

    command, out = arguments(parts, world, **keys, keep_models="best"), parts / "out"
    first, second = (out / "runs" / f"learning_rate-{rate}_seed-0" for rate in (0.0003, 0.001))
    sweep = started(command)
    wait_until(lambda: steps_saved(second))
    os.kill(child_of(sweep), signal.SIGKILL)
    assert sweep.wait() == 0
    rows = {row["name"]: row for row in json.loads((out / "sweep.json").read_text())["runs"]}
    assert [rows[run.name]["state"] for run in (first, second)] == ["done", "failed"]
    assert "killed by SIGKILL" in rows[second.name]["message"]
    done = {path: at for path, at in times(first, out / "judged").items() if "model" not in path.parts}
    assert len(done) > 6
    reached = max(steps_saved(second))

    sweep = started(command)
    wait_until(lambda: any(step > reached for step in steps_saved(second)))
    sweep.kill()
    sweep.wait()
    wait_until(lambda: is_free(out))
    assert max(steps_saved(second), default=4) > reached

    status, events = swept(command)
    assert status == 0
    assert {path: times(first, out / "judged").get(path) for path in done} == done
    assert (out / "table.csv").read_text() == (whole / "out" / "table.csv").read_text()
    judged = [json.loads((folder / "out" / "sweep.json").read_text()) for folder in (whole, parts)]
    assert judged[0] == judged[1]
    assert judged[0]["points"][0]["over_base"]["delta"] != 0  # the table says something
    hashes = [
        [
            json.loads((folder / "out" / "runs" / run.name / "manifest.json").read_text())["weights_hash"]
            for run in (first, second)
        ]
        for folder in (whole, parts)
    ]
    assert hashes[0] == hashes[1]
    assert not list(out.glob("runs/*/checkpoints"))
    best = judged[0]["best"]
    assert [path.parent.name for path in out.glob("runs/*/model")] == [f"{best}_seed-0"]
    assert len(list(whole.glob("out/runs/*/model"))) == 2

    before = times(out / "runs", out / "judged")
    assert swept(command)[0] == 0  # nothing is left to do
    assert times(out / "runs", out / "judged") == before


@pytest.mark.slow
def test_run_that_is_refused_is_told_and_sigterm_loses_no_step(
    world: dict[str, Any], tiny: Path, tmp_path: Path
) -> None:
    """The first run's folder holds another run's checkpoint, which the trainer refuses; the second is stopped."""
    base = {"base_model": str(tiny), "steps": 60, "validate_every": 60}
    command = arguments(tmp_path, world, grid={"learning_rate": [1e-3, 1e-4]}, base=base)
    first, second = (tmp_path / "out" / "runs" / f"learning_rate-{rate}_seed-0" for rate in (0.001, 0.0001))
    (first / "checkpoints").mkdir(parents=True)
    (first / "checkpoints" / "step-00000001.json").write_text('{"fingerprint": "another"}')
    sweep = started(command)
    wait_until(lambda: steps_saved(second))
    sweep.send_signal(signal.SIGTERM)
    assert sweep.wait() == 143
    reached = max(steps_saved(second))
    assert 0 < reached < 60
    told_before = (second / "events.jsonl").read_text().count("\n")
    status, events = swept(command)
    assert (status, [event["state"] for event in events if event["event"] == "run"]) == (0, ["refused", "done"])
    assert "foreign_checkpoints" in (tmp_path / "out" / "table.md").read_text()
    again = [json.loads(line) for line in (second / "events.jsonl").read_text().splitlines()[told_before:]]
    assert min(event["step"] for event in again if event["event"] == "loss") > reached


def told(command: list[str]) -> str:
    status, events = swept(command)
    assert (status, events[-1]["event"]) == (2, "error")
    return events[-1]["message"]


def test_second_sweep_in_a_folder_is_refused(
    world: dict[str, Any], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOST_FOLDER_WAIT_SECONDS", "0")
    command = arguments(tmp_path, world, seeds=[0, 1], base={"base_model": str(tiny)})
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "is being written to by another process" in told(command)


def test_folder_of_another_sweep_is_refused_before_anything_begins(
    world: dict[str, Any], tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "runs" / "seed-0").mkdir(parents=True)
    command = arguments(tmp_path, world, seeds=[0, 1], base={"base_model": str(tiny)})
    earlier = config_of("train", json.loads((tmp_path / "sweep.json").read_text())["base"] | {"steps": 8}).plain()
    (out / "runs" / "seed-0" / "asked.json").write_text(json.dumps(earlier))
    assert "other settings (steps was 8, is 4)" in told(command)
    (out / "sweep_of.json").write_text(json.dumps({"snapshot": "another", "base_model": "another"}))
    assert "a sweep with another snapshot and base_model" in told(command)


def test_absent_base_model_is_refused_by_name(world: dict[str, Any], tmp_path: Path) -> None:
    assert "There is no model folder" in told(arguments(tmp_path, world, seeds=[0, 1], base={"base_model": "nowhere"}))


def test_val_without_negatives_is_refused_by_name(tiny: Path, tmp_path: Path) -> None:
    """The trainer would have others stand in for it; a sweep judges by it."""
    made = Snapshot(tmp_path).add_scenes("train", "easy", 8).add_scenes("val", "easy", 2, negatives=0).freeze()
    given = {"snapshot": str(made.folder), "images": str(made.images), "base_model": str(tiny)}
    found = refusals({"a": config_of("train", given)}, "val")
    assert "'val' has" in found[""]
    assert "and 0 negative pairs" in found[""]


def test_absent_image_is_told_before_anything_begins(world: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    config = config_of("train", world | {"base_model": str(tiny), "images": str(tmp_path)})
    assert "is not in" in refusals({"a": config}, "val")[""]


def test_run_that_a_card_is_too_small_for_is_named(world: dict[str, Any], tiny: Path) -> None:
    """Rehearsed against a card that is not here: CUDA's own 734 MB alone are more than the first has."""
    config = config_of("train", world | {"base_model": str(tiny)})
    assert list(refusals({"small": config}, "val", card_bytes=500 * MIB)) == ["small"]
    assert refusals({"large": config}, "val", card_bytes=4000 * MIB) == {}
