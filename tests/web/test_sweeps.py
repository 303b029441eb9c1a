"""What every worker does now and then: each work in its turn, and none that fails stops the others."""

import threading
import time
from queue import Queue

import pytest

from annotator.apps import REGISTERING
from annotator.data.leftovers import unfinished_expire
from annotator.data.trash import trash_empty
from annotator.data.uploads import uploads_expire
from annotator.jobs import kinds
from annotator.jobs.kinds import SWEEPS, sweep_every
from annotator.registry.run_retention import runs_tidy
from annotator.registry.triggers import retrains_look


def registered(work, seconds: float, *, apart: bool = False):
    """As a worker would call it, and no longer there afterwards."""
    sweep_every(seconds, apart=apart)(work)
    return SWEEPS.pop()


def test_work_is_done_at_the_first_sweep_and_then_once_in_its_time():
    done: list[float] = []
    sweep = registered(lambda: done.append(time.monotonic()), 0.2)
    assert (sweep(), sweep(), len(done)) == ([], [], 1)
    time.sleep(0.25)
    sweep()
    sweep()
    assert len(done) == 2


def test_work_apart_is_not_waited_for_and_not_begun_twice():
    begun: Queue[threading.Thread] = Queue()
    ends = threading.Event()

    def work() -> None:
        begun.put(threading.current_thread())
        ends.wait(10)

    sweep = registered(work, 0.0, apart=True)
    sweep()
    first = begun.get(timeout=10)
    sweep()
    ends.set()
    first.join(10)
    assert begun.empty()
    sweep()
    assert begun.get(timeout=10) is not first


def test_work_apart_that_fails_is_in_the_log_and_has_its_next_turn(caplog):
    begun: Queue[threading.Thread] = Queue()

    def broken() -> None:
        begun.put(threading.current_thread())
        raise OSError("the disk is gone")

    sweep = registered(broken, 0.0, apart=True)
    for _ in range(2):
        sweep()
        begun.get(timeout=10).join(10)
    assert [record.exc_info[0] for record in caplog.records if record.name == kinds.__name__] == [OSError, OSError]


def test_work_that_fails_in_the_sweep_lets_the_next_turn_come():
    def broken() -> None:
        raise OSError("the disk is gone")

    sweep = registered(broken, 0.0)
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            sweep()


def test_every_worker_tidies_and_looks_for_retrains():
    works = [getattr(sweep, "_work", None) for sweep in SWEEPS]
    for work in (trash_empty, uploads_expire, unfinished_expire, runs_tidy, retrains_look):
        assert (works.count(work), work.__module__ in REGISTERING) == (1, True)
