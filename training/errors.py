"""How a run ends when it does not end well. The exit status is part of the contract with whoever started it."""

from __future__ import annotations

from typing import Any


class TrainingError(Exception):
    """code is for the program that started us, the message for a person: what is wrong and what to do."""

    exit_status = 1

    def __init__(self, code: str, message: str, *, settings: dict[str, Any] | None = None) -> None:
        """settings: those that another run had better be given, where it is known."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.settings = settings or {}


class Refused(TrainingError):
    """The config, the snapshot or a model cannot be worked with as it is; nothing was computed."""

    exit_status = 2


class Stopped(TrainingError):
    """SIGTERM: the run has checkpointed and can be resumed."""

    exit_status = 143

    def __init__(self) -> None:
        super().__init__("stopped", "Stopped on request; run the same command again to go on from the checkpoint.")
