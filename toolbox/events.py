"""What the trainer tells whoever started it: the names of its events, one JSON object a line (docs/contracts.md)."""

from enum import StrEnum


class Event(StrEnum):
    PROGRESS = "progress"
    LOSS = "loss"
    VALIDATION = "validation"
    CHECKPOINT = "checkpoint"
    SAVING = "saving"
    PROMPT = "prompt"
    VIEWS = "views"
    CLICKS = "clicks"
    SAMPLE = "sample"
    RUN = "run"
    WARNING = "warning"
    GPU = "gpu"
    TRACKER = "tracker"
    ERROR = "error"
    DONE = "done"
