import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.urls import reverse

from annotator.common.errors import JobCancelled
from annotator.jobs.services import JobContext
from annotator.models import Job
from annotator.registry import trainer_process
from annotator.registry.run_log import RunLog
from annotator.registry.trainer_process import TrainerError, run_trainer
from tests import factories
from tests.processes import ROOT, wait_until
from toolbox.processes import jemalloc_path


@pytest.fixture(autouse=True)
def _stand_in(settings):
    settings.TRAINER_COMMAND = [sys.executable, str(ROOT / "tests" / "stand_in_trainer.py")]


def _alive(path: Path) -> bool:
    status = Path(f"/proc/{path.read_text()}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_manifest_and_events_come_back(tmp_path):
    events = []
    manifest = run_trainer("train", {"act": "finish"}, tmp_path, events.append)
    assert manifest["metrics"] == {"cgf1": 0.5}
    assert [event["event"] for event in events] == ["progress", "done"]


def test_trainer_runs_at_low_priority_with_one_thread(tmp_path):
    manifest = run_trainer("train", {"act": "finish"}, tmp_path)
    assert (manifest["nice"], manifest["threads"]) == (max(os.nice(0), trainer_process.NICENESS), "1")


def test_several_processes_train_under_torchrun_and_one_does_all_else(settings):
    settings.TRAIN_PROCESSES, settings.TRAINER_COMMAND = 2, ["python", "-m", "training"]
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--shutdown-timeout", "600"]
    assert trainer_process.trainer_command("train") == ["python", *together, "-m", "training"]
    assert trainer_process.trainer_command("gate") == ["python", "-m", "training"]


def test_several_processes_of_a_command_of_ones_own_are_refused(settings, tmp_path):
    settings.TRAIN_PROCESSES = 2
    with pytest.raises(TrainerError, match="ROOST_TRAINER_COMMAND"):
        run_trainer("train", {"act": "finish"}, tmp_path)


def test_worker_sends_what_needs_a_gpu_to_the_cluster_and_plans_here(settings):
    settings.TRAIN_LAUNCH = ["launch=slurm", "launch_partition=gpu"]
    sent = ["--use-cluster", "1", "launch=slurm", "launch_partition=gpu"]
    assert (trainer_process.launch("train"), trainer_process.launch("gate")) == (sent, sent)
    assert trainer_process.launch("plan") == []
    settings.TRAIN_LAUNCH = []
    assert trainer_process.launch("train") == []


def test_processes_here_and_a_cluster_are_not_both_asked_for(settings):
    settings.TRAIN_PROCESSES, settings.TRAIN_LAUNCH = 2, ["launch=slurm"]
    with pytest.raises(TrainerError, match="launch_gpus in ROOST_TRAIN_LAUNCH"):
        trainer_process.trainer_command("train")


def test_sentence_of_a_job_that_refused_comes_back_through_the_launcher(settings, tmp_path):
    pytest.importorskip("submitit", reason="submitit is not installed (requirements-extras.txt)")
    settings.TRAINER_COMMAND = [sys.executable, "-m", "training"]
    settings.TRAIN_LAUNCH = ["launch_on=local", "launch_gpus=0"]
    asked = {"snapshot": "nowhere", "images": "nowhere", "base_model": "nowhere", "device": "cpu"}
    with pytest.raises(TrainerError) as refused:
        run_trainer("train", asked, tmp_path)
    assert refused.value.code == "bad_model"
    assert list((tmp_path / "launch").glob("*_submitted.pkl"))


def test_refusal_is_told_in_the_trainers_own_sentence(tmp_path):
    with pytest.raises(TrainerError, match=r"The holdout has no negatives; add some\.") as refused:
        run_trainer("gate", {"act": "refuse"}, tmp_path)
    assert refused.value.code == "ungateable_holdout"


def test_crash_brings_the_end_of_the_log(tmp_path):
    with pytest.raises(TrainerError, match="a crash of the stand-in"):
        run_trainer("train", {"act": "crash"}, tmp_path)
    assert "a crash" in (tmp_path / "log.txt").read_text()


def test_stopped_trainer_writes_its_checkpoint_and_leaves_no_helper(tmp_path):
    events = []
    with pytest.raises(JobCancelled):
        run_trainer("train", {"act": "wait"}, tmp_path, events.append, should_stop=lambda: bool(events))
    assert events[-1]["event"] == "checkpoint"
    wait_until(lambda: not _alive(tmp_path / "helper"))


def test_trainer_deaf_to_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_process, "KILL_AFTER_SECONDS", 0.5)
    events = []
    with pytest.raises(JobCancelled):
        run_trainer("train", {"act": "hang"}, tmp_path, events.append, should_stop=lambda: bool(events))
    wait_until(lambda: not _alive(tmp_path / "pid"))
    wait_until(lambda: not _alive(tmp_path / "helper"))


def test_trainer_that_says_it_saves_is_given_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_process, "KILL_AFTER_SECONDS", 1.0)  # it takes three
    events = []
    with pytest.raises(JobCancelled):
        run_trainer("train", {"act": "save"}, tmp_path, events.append, should_stop=lambda: bool(events))
    assert [event["event"] for event in events] == ["progress", "saving", "checkpoint"]


def test_listener_that_is_cancelled_still_hears_what_is_saved(tmp_path):
    events = []

    def listen(event: dict) -> None:
        events.append(event["event"])
        if event["event"] == "progress":
            raise JobCancelled("cancelled")

    with pytest.raises(JobCancelled):
        run_trainer("train", {"act": "save"}, tmp_path, listen)
    assert events == ["progress", "saving", "checkpoint"]


@pytest.mark.django_db
def test_page_says_that_a_cancelled_run_is_being_saved(barn, signed_in):
    job = factories.make_job(barn.project, Job.Kind.RETRAIN, state=Job.State.RUNNING, owner="me", cancel_requested=True)
    run = factories.make_training_run(barn.project, job=job)
    RunLog(run, JobContext(job), verb="train").take({"event": "saving", "step": 7, "bytes": 6_900_000_000})
    page = signed_in(barn.admin).get(reverse("run", args=["barn", run.number])).content.decode()
    assert "Stopping" in page
    assert "Saving step 7 (6.9 GB) to go on from there; the card is free" in page


@pytest.mark.django_db
def test_page_says_that_a_run_waits_for_its_folder(barn, signed_in):
    job = factories.make_job(barn.project, Job.Kind.RETRAIN, state=Job.State.RUNNING, owner="me")
    run = factories.make_training_run(barn.project, job=job)
    told = {"event": "warning", "code": "waits_for_folder", "message": "/runs/7 is being written to by process 9."}
    RunLog(run, JobContext(job), verb="train").take(told)
    page = signed_in(barn.admin).get(reverse("run", args=["barn", run.number])).content.decode()
    assert "/runs/7 is being written to by process 9." in page


def test_failing_listener_leaves_no_trainer_behind(tmp_path):
    def fail(event: dict) -> None:
        raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError, match="database"):
        run_trainer("train", {"act": "wait"}, tmp_path, fail)
    wait_until(lambda: not _alive(tmp_path / "pid"))


def test_trainer_dies_with_its_killed_supervisor(tmp_path, settings):
    program = (
        "import sys, django; django.setup(); from annotator.registry.trainer_process import run_trainer;"
        f"run_trainer('train', {{'act': 'wait'}}, {str(tmp_path)!r})"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "annotator.settings",
        "ROOST_TRAINER_COMMAND": " ".join(settings.TRAINER_COMMAND),
    }
    supervisor = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=ROOT)
    wait_until(lambda: (tmp_path / "helper").exists() and (tmp_path / "helper").read_text())
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    wait_until(lambda: not _alive(tmp_path / "pid"))
    os.kill(int((tmp_path / "helper").read_text()), signal.SIGKILL)


def test_jemalloc_is_preloaded_where_the_machine_has_it():
    library = jemalloc_path()
    if library is None:
        pytest.skip("libjemalloc is not installed on this machine")
    program = "print(open('/proc/self/maps').read())"
    environment = trainer_process.trainer_environment()
    maps = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True).stdout
    assert "jemalloc" in maps


def test_jemalloc_is_left_alone_when_told_so(monkeypatch):
    monkeypatch.setenv("ROOST_NO_JEMALLOC", "1")
    assert trainer_process.jemalloc_environment() == {}


def test_config_reaches_the_trainer_as_a_file(tmp_path):
    before = time.time()
    run_trainer("train", {"act": "finish", "seed": 7}, tmp_path)
    config = tmp_path / "train.config.json"
    assert json.loads(config.read_text()) == {"act": "finish", "seed": 7}
    assert config.stat().st_mtime >= before - 1
