"""How long a job bears with an ML backend that starts, is away or is full."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from .errors import BackendError

# Then it says so and can be started again.
WAITS_SECONDS = (1, 2, 4, 8, 15, 30)
WORTH_WAITING = {"overloaded", "loading", "backend_unavailable", "backend_timeout"}
R = TypeVar("R")


def asked_patiently(ask: Callable[[], R], *, wait: Callable[[float, BackendError], object]) -> R:
    """The backend's answer, however long it is busy; BackendError once the waits for any other trouble are used up.

    `wait` is called with the seconds, which are the backend's own where it names them, and what it is waited for; it
    shows that, and leaves by an exception when the job was stopped.
    """
    waits = deque(WAITS_SECONDS)
    while True:
        try:
            return ask()
        except BackendError as error:
            if error.code not in WORTH_WAITING or not waits:
                raise
            seconds = error.retry_after_seconds or waits[0]
            if error.code != "overloaded":  # it works, for others: that is no failure
                waits.popleft()
            wait(seconds, error)
