"""A run as a job of a Slurm cluster, by submitit: `--use-cluster 1`, told how by the config's launch_* keys.

The job is this program without that switch, under torchrun where it has several GPUs. Whoever launched it follows its
events and ends as it ends; stopped, it cancels the job. Before its time is over, and when it makes room for another,
Slurm warns the job: the run checkpoints, and with launch_requeue the job is queued again and goes on from there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolbox.processes import together_command
from training.config import Config
from training.errors import Refused, Stopped, TrainingError
from training.launch import StopRequest
from training.occupancy import Say, check_free

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
LOOK_EVERY_S = 0.5
WARN_BEFORE_S = 120
REQUEUED_AT_MOST = 100


@dataclass
class Job:
    """What runs on the cluster: the command as a child, which is given time to checkpoint when Slurm warns."""

    command: list[str]
    requeue: bool = True
    folder: str = field(default_factory=os.getcwd)  # what a config's relative paths start from
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self) -> int:
        """The exit status; a run's own sentence is among its events."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._child = subprocess.Popen(self.command, cwd=self.folder, env=environment)
        return self._child.wait()

    def checkpoint(self) -> Any:
        """Called by submitit at the warning: the job to queue again, or None."""
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._child.pid, signal.SIGTERM)
                # Not Popen.wait(), whose lock the interrupted call holds.
                os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Job(self.command, self.requeue, self.folder)) if self.requeue else None


def command_of(verb: str, config: Config, out: Path, file: str | None, overrides: Sequence[str]) -> list[str]:
    """As the job runs it; several GPUs are several processes of a train run."""
    command = [sys.executable, "-m", "training"]
    if verb == "train" and config.launch_gpus > 1:
        command = [*together_command(sys.executable, config.launch_gpus), "-m", "training"]
    config_file = ["--config", str(Path(file).resolve())] if file else []
    return [*command, verb, *config_file, "--out", str(out.resolve()), "--use-cluster", "0", *overrides]


def run_on_cluster(job: Job, config: Config, out: Path, stop: StopRequest, say: Say) -> int:
    """Submit, follow, and end as the job does; Refused before that when it cannot be submitted."""
    if config.launch_on == "here":
        raise Refused(
            "no_cluster",
            "--use-cluster 1 needs to know where: add launch=slurm, or a choice of your own below training/conf. "
            "--use-cluster 0 runs here.",
        )
    check_free(out, say)
    heard = _Tail(out / "events.jsonl", copies=config.launch_on != "debug")
    submitted = submit(job, config, out)
    log.info("job %s: its logs are in %s", submitted.job_id, out / "launch")
    cancelled = False
    while not submitted.done():
        heard.pass_on()
        if stop and not cancelled:
            submitted.cancel(check=False)
            cancelled = True
        time.sleep(LOOK_EVERY_S)
    heard.pass_on()
    if cancelled:
        raise Stopped
    return _status(submitted, heard)


def submit(job: Job, config: Config, out: Path) -> Any:
    """submitit's job, queued."""
    submitit = _submitit()
    if config.launch_on == "slurm":
        _check_slurm()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    folder = out.resolve() / "launch"
    folder.mkdir(parents=True, exist_ok=True)
    again = {"slurm_max_num_timeout": REQUEUED_AT_MOST if config.launch_requeue else 0}
    executor = submitit.AutoExecutor(folder, cluster=config.launch_on, **again)
    executor.update_parameters(**parameters(config))
    try:
        return executor.submit(job)
    except (submitit.core.utils.FailedSubmissionError, submitit.core.utils.FailedJobError, OSError) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise Refused("cluster_refused", f"sbatch took no job: {words[-1]}. See the config's launch_* keys.") from None


def parameters(config: Config) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "roost",
        "timeout_min": config.launch_minutes,
        "slurm_signal_delay_s": WARN_BEFORE_S,
        "cpus_per_task": max(1, config.threads) * max(1, config.launch_gpus),
        "slurm_additional_parameters": {"requeue" if config.launch_requeue else "no-requeue": True},
    }
    if config.launch_gpus:
        given["gpus_per_node"] = config.launch_gpus
    for name in ("partition", "account", "qos"):
        if value := getattr(config, f"launch_{name}"):
            given[f"slurm_{name}"] = value
    return given


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise Refused(
            "no_submitit",
            "--use-cluster 1 needs the package submitit: pip install -r requirements-extras.txt.",
        ) from None
    return submitit


def _check_slurm() -> None:
    for name in ("sbatch", "srun"):
        if shutil.which(name) is None:
            raise Refused(
                "no_slurm",
                f"--use-cluster 1 needs Slurm's {name}, which is not on PATH: launch from a login node of the cluster, "
                "or run here with --use-cluster 0.",
            )


def _status(submitted: Any, heard: _Tail) -> int:
    """The job's; its last sentence is passed on where it could not write it to the run's folder."""
    try:
        status = int(submitted.result())
    except Exception as error:  # submitit's errors hold the job's whole log
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrainingError(
            "cluster_job_failed",
            f"Job {submitted.job_id} ended without a result: {first} Logs: {submitted.paths.stderr}",
        ) from None
    if status and not heard.has_error:
        raise TrainingError(
            "cluster_job_failed",
            _last_sentence(submitted) or f"Job {submitted.job_id} ended with {status}; log: {submitted.paths.stderr}",
        )
    return status


def _last_sentence(submitted: Any) -> str | None:
    for line in reversed((submitted.stdout() or "").splitlines()):
        if line.startswith('{"event":"error"'):
            return str(json.loads(line)["message"])
    return None


class _Tail:
    """What is added to a run's list of events from now on, copied to stdout unless the job writes there itself."""

    def __init__(self, path: Path, *, copies: bool = True) -> None:
        self._copies = copies
        self._path, self._at, self.has_error = path, path.stat().st_size if path.is_file() else 0, False

    def pass_on(self) -> None:
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._at += len(whole) + len(newline)
        for line in whole.decode().splitlines():
            self.has_error |= line.startswith('{"event":"error"')
            if self._copies:
                print(line, flush=True)
