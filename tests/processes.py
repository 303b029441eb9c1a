"""Starting real processes from tests, and waiting for what they do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# How long a test waits for what has to happen. A busy machine needs minutes where an idle one needs a second.
PATIENCE_S = 300.0


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Poll until the condition holds; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.05)


@contextmanager
def celery_worker(
    name: str, *, queues: str = "default", app: str = "tests.slow_jobs", lease_seconds: int = 2, **settings: str
) -> Iterator[subprocess.Popen]:
    """A worker process of its own on the test's database and broker; killed at the end, if it still lives.

    `settings`: more environment variables, for instance another broker.
    """
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "annotator.settings",
        "ROOST_JOB_LEASE_SECONDS": str(lease_seconds),
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    options = ["-P", "threads", "-c", "1", "-Q", queues, "-n", f"{name}@test", "--without-gossip", "--without-mingle"]
    log = Path(os.environ["ROOST_VAR"]) / f"{name}.log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", app, "worker", "-l", "info", *options],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
    try:
        wait_until(lambda: "ready." in log.read_text() or worker.poll() is not None)
        assert worker.poll() is None, log.read_text()
        yield worker
    finally:
        if worker.poll() is None:
            worker.send_signal(signal.SIGKILL)
        worker.wait()
