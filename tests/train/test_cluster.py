"""--use-cluster 1: the real submitit, with its local and debug executors, and a stand-in for Slurm's sbatch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_until
from tests.train.snapshots import Snapshot, events_of, tiny_model
from training.cluster import Job, command_of, parameters, submit
from training.config import Config, read_config
from training.errors import Refused

pytest.importorskip("submitit", reason="submitit is not installed (requirements-extras.txt)")
ROOT = Path(__file__).resolve().parents[2]


def config(**changes: Any) -> Config:
    return Config(snapshot="s", images="i", **({"launch_on": "slurm"} | changes))


def stand_in(folder: Path, sbatch: str) -> str:
    """A PATH on which sbatch does what is said, and keeps the script that it was given."""
    folder.mkdir()
    for name, does in (("sbatch", f'cp "$1" {folder}/script\n{sbatch}'), ("srun", "exit 1")):
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_script_has_what_the_config_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", stand_in(tmp_path / "bin", "echo Submitted batch job 4711"))
    asked = config(launch_partition="gpu", launch_account="barn", launch_qos="night", launch_minutes=90, launch_gpus=2)
    job = submit(Job(["true"]), asked, tmp_path / "run")
    assert job.job_id == "4711"
    lines = (tmp_path / "bin" / "script").read_text().splitlines()
    assert {
        "#SBATCH --partition=gpu",
        "#SBATCH --account=barn",
        "#SBATCH --qos=night",
        "#SBATCH --time=90",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --requeue",
        "#SBATCH --job-name=roost",
    } <= set(lines)


def test_what_is_not_asked_for_is_left_to_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", stand_in(tmp_path / "bin", "echo Submitted batch job 1"))
    submit(Job(["true"], requeue=False), config(launch_requeue=False, launch_gpus=0), tmp_path / "run")
    script = (tmp_path / "bin" / "script").read_text()
    assert "#SBATCH --no-requeue" in script
    assert not any(f"--{name}" in script for name in ("partition", "account", "qos", "gpus"))


def test_refusal_of_sbatch_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PATH", stand_in(tmp_path / "bin", "echo sbatch: error: invalid partition specified >&2; exit 1")
    )
    with pytest.raises(Refused, match=r"took no job: .*invalid partition"):
        submit(Job(["true"]), config(launch_partition="nowhere"), tmp_path / "run")


def test_several_gpus_are_several_processes_of_a_train_run() -> None:
    two = command_of("train", config(launch_gpus=2), Path("/run"), "/c.json", ["steps=3"])
    assert two[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = ["--use-cluster", "0"]
    assert two[8:] == ["-m", "training", "train", "--config", "/c.json", "--out", "/run", *here, "steps=3"]
    assert command_of("gate", config(launch_gpus=2), Path("/run"), None, [])[1:4] == ["-m", "training", "gate"]
    assert parameters(config(launch_gpus=2, threads=4))["cpus_per_task"] == 8


def launched(out: Path, *more: str, path: str | None = None, **given: Any) -> subprocess.CompletedProcess[str]:
    out.mkdir(parents=True, exist_ok=True)
    (out / "asked.json").write_text(json.dumps(given))
    command = [sys.executable, "-m", "training", "train", "--config", str(out / "asked.json"), "--out", str(out), *more]
    environment = {**os.environ, "ROOST_NO_JEMALLOC": "1", "PATH": path or os.environ["PATH"]}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_cluster_without_slurm_is_one_sentence(tmp_path: Path) -> None:
    given = {"snapshot": "s", "images": "i", "base_model": "m", "launch": "slurm"}
    ended = launched(tmp_path, "--use-cluster", "1", path="/nowhere", **given)
    error = json.loads(ended.stdout)
    assert (ended.returncode, error["event"], error["code"]) == (2, "error", "no_slurm")
    assert "sbatch, which is not on PATH" in error["message"]


def test_cluster_that_no_choice_names_is_one_sentence(tmp_path: Path) -> None:
    ended = launched(tmp_path, "--use-cluster", "1", snapshot="s", images="i", base_model="m")
    error = json.loads(ended.stdout)
    assert (ended.returncode, error["code"]) == (2, "no_cluster")
    assert "add launch=slurm" in error["message"]


def test_choice_of_the_launch_group_says_where_and_keys_the_rest() -> None:
    needed = ["snapshot=s", "images=i", "base_model=b"]
    asked = read_config("train", None, [*needed, "launch=slurm", "launch_partition=gpu"])
    assert (asked.launch_on, asked.launch_partition, asked.threads, asked.nice) == ("slurm", "gpu", 4, 0)
    usual = read_config("train", None, needed)
    assert (usual.launch_on, usual.launch_partition, usual.threads) == ("here", None, 1)
    assert asked.decisive() == usual.decisive()


def test_gate_and_evaluation_can_be_sent_to_the_cluster_too() -> None:
    needed = ["snapshot=s", "images=i", "champion=a", "challenger=b", "baseline=c"]
    gate = read_config("gate", None, [*needed, "launch=slurm", "launch_account=barn"])
    assert (gate.launch_on, gate.launch_account, gate.memory_mib) == ("slurm", "barn", 8192)
    with pytest.raises(Refused, match="'loss' has no effect on `gate`"):
        read_config("gate", None, [*needed, "launch=slurm", "loss=public"])
    with pytest.raises(Refused, match="has no choice 'lsf'"):
        read_config("evaluate", None, ["snapshot=s", "images=i", "model=m", "launch=lsf"])


def test_job_trains_in_a_process_of_its_own_and_its_events_are_passed_on(tmp_path: Path) -> None:
    made = Snapshot(tmp_path).add_scenes("train", "easy", 4).add_scenes("val", "easy", 2).freeze()
    given = {
        "snapshot": str(made.folder),
        "images": str(made.images),
        "base_model": str(tiny_model(tmp_path / "model")),
    }
    given |= {"steps": 2, "batch_pairs": 4, "launch_on": "local", "launch_gpus": 0, "device": "cpu", "nice": 0}
    ended = launched(tmp_path / "run", "--use-cluster", "1", **given)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert lines == (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    assert events_of(lines, "done")
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_refused_job_says_why(tmp_path: Path) -> None:
    given = {"snapshot": "nowhere", "images": "nowhere", "base_model": "nowhere", "launch_on": "debug"}
    ended = launched(tmp_path, "--use-cluster", "1", **given, launch_gpus=0, device="cpu")
    errors = events_of([line for line in ended.stdout.splitlines() if line.startswith("{")], "error")
    assert (ended.returncode, [error["code"] for error in errors]) == (2, ["bad_model"])


WORKER = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def checkpoint(*_):
    time.sleep(1)
    (folder / "checkpoint").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, checkpoint)
if (folder / "checkpoint").exists():
    sys.exit(0)
(folder / "started").touch()
time.sleep(600)
"""


def warned(folder: Path, *, requeue: bool) -> Any:
    """A job that was warned at its work, as Slurm does before it takes the machine away, and has ended."""
    job = submit(Job([sys.executable, "-c", WORKER, str(folder)], requeue), config(launch_on="local"), folder)
    wait_until((folder / "started").exists)
    task = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()[0]
    os.kill(int(task), signal.SIGUSR2)
    wait_until(job.done)
    assert (folder / "checkpoint").exists()
    return job


def test_warned_job_checkpoints_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    assert warned(tmp_path, requeue=True).result() == 0


def test_warned_job_that_is_not_to_be_requeued_checkpoints_and_ends(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="not requeued"):
        warned(tmp_path, requeue=False).result()
