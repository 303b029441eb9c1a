"""The door to the training tower: run `python -m training <verb>` as a child and follow its events.

The child has a session of its own, so that it is stopped with everything it started; low priority and one thread, so
that clicks stay quick beside it; and it dies with the worker that started it.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.common.errors import JobCancelled, RoostError
from toolbox.events import Event
from toolbox.processes import child_command, jemalloc_environment, together_command

NICENESS = 10
KILL_AFTER_SECONDS = 10.0
# Once it says that it is saving, it has let go of the card and only writes.
SAVE_SECONDS = 600.0
LOOK_EVERY_SECONDS = 0.25
TAIL_LINES = 20


class TrainerError(RoostError):
    """The trainer refused its input or failed; the message is its own sentence."""

    code = "training_failed"
    http_status = 500


def run_trainer(
    verb: str,
    config: dict,
    out_dir: Path,
    on_event: Callable[[dict], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict:
    """Run a verb of docs/contracts.md in `out_dir`, pass every event on, and return its manifest.

    JobCancelled when should_stop said so (the trainer has then written a checkpoint), TrainerError when it failed.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    config_path = out_dir / f"{verb}.config.json"
    config_path.write_text(json.dumps(config, indent=1))
    command = [*trainer_command(verb), verb, "--config", str(config_path), "--out", str(out_dir), *launch(verb)]
    with (out_dir / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            child_command(command, nice=NICENESS),
            stdout=subprocess.PIPE,
            stderr=log,
            env=trainer_environment(),
            cwd=settings.BASE_DIR,
            start_new_session=True,
        )
    watch = _Watch(child, should_stop or (lambda: False))
    try:
        events = _follow(child, on_event or (lambda event: None), watch)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=KILL_AFTER_SECONDS)
    finally:
        watch.end()
    return _result(verb, child.returncode, events, out_dir, stopped=watch.stopped)


def trainer_command(verb: str) -> list[str]:
    """Several processes train under torchrun, which looks at the GPUs itself; all else is the work of one.

    A command of one's own has to start them itself, and a cluster's job its own.
    """
    command = list(settings.TRAINER_COMMAND)
    if verb != "train" or settings.TRAIN_PROCESSES == 1:
        return command
    if settings.TRAIN_LAUNCH:
        raise TrainerError(
            "ROOST_TRAIN_PROCESSES is for runs on this machine: unset it and say launch_gpus in ROOST_TRAIN_LAUNCH.",
            code="bad_trainer_command",
        )
    if command[1:] != ["-m", "training"]:
        raise TrainerError(
            "ROOST_TRAIN_PROCESSES is for the trainer as shipped: unset it, or ROOST_TRAINER_COMMAND.",
            code="bad_trainer_command",
        )
    return [*together_command(command[0], settings.TRAIN_PROCESSES), *command[1:]]


def launch(verb: str) -> list[str]:
    """The arguments that send what needs a GPU to the cluster; a plan and a report need none and are made here."""
    is_heavy = verb not in ("plan", "report")
    return ["--use-cluster", "1", *settings.TRAIN_LAUNCH] if settings.TRAIN_LAUNCH and is_heavy else []


def trainer_environment() -> dict[str, str]:
    """This process's environment with one thread a library, and jemalloc."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, "PYTHONUNBUFFERED": "1", **threads, **jemalloc_environment()}


class _Watch:
    """Asks should_stop while the child runs; stops its whole session when told to, or when only helpers are left."""

    def __init__(self, child: subprocess.Popen, should_stop: Callable[[], bool]) -> None:
        self.stopped = False
        self.is_saving = threading.Event()
        self._child, self._should_stop = child, should_stop
        self._over, self._asked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look, name=f"watch of {child.pid}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The child has closed its output, or its reader failed: let nothing of it live on."""
        self._over.set()
        self._thread.join()
        _stop_session(self._child, self.is_saving)

    def stop(self) -> None:
        """At the next look, whatever should_stop says."""
        self._asked.set()

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_SECONDS):
            self.stopped = self._asked.is_set() or self._should_stop()
            if self.stopped or self._child.poll() is not None:
                _stop_session(self._child, self.is_saving)
                return


def _stop_session(child: subprocess.Popen, is_saving: threading.Event) -> None:
    """SIGTERM to the session unless its leader has ended, SIGKILL after a while to all that is left."""
    if child.poll() is None:
        _signal_session(child, signal.SIGTERM)
    for seconds in (KILL_AFTER_SECONDS, SAVE_SECONDS):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=seconds)
        if not is_saving.is_set():
            break
    _signal_session(child, signal.SIGKILL)
    child.wait()


def _signal_session(child: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _follow(child: subprocess.Popen, on_event: Callable[[dict], None], watch: _Watch) -> dict[str, dict]:
    """Pass events on until the child closes its output; the last event of each kind."""
    last: dict[str, dict] = {}
    for event in _events(child):
        last[event["event"]] = event
        if event["event"] == Event.SAVING:
            watch.is_saving.set()
        try:
            on_event(event)
        except JobCancelled:
            watch.stop()  # and hear it out: it saves what it has
    return last


def _events(child: subprocess.Popen) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a library's print is no event
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            yield event


def _result(verb: str, status: int, events: dict[str, dict], out_dir: Path, *, stopped: bool) -> dict:
    if stopped:
        raise JobCancelled(f"training {verb} was stopped")
    if status == 0 and Event.DONE in events:
        manifest = events[Event.DONE].get("manifest")
        return manifest if isinstance(manifest, dict) else json.loads((out_dir / "manifest.json").read_text())
    if Event.ERROR in events:
        error = events[Event.ERROR]
        raise TrainerError(str(error.get("message")), code=str(error.get("code") or TrainerError.code))
    raise TrainerError(
        f"The trainer ({verb}) ended with status {status} and did not say why. The end of its log:\n{_tail(out_dir)}"
    )


def _tail(out_dir: Path) -> str:
    with (out_dir / "log.txt").open(errors="replace") as log:
        return "".join(deque(log, TAIL_LINES)).strip()
