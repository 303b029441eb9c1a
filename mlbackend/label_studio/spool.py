"""Webhook events on disk until the annotator's task takes them in; nothing but ids is stored of an event.

One JSON file an event, named so that a sorted listing is the order of arrival. Whoever drains reads, acts by pulling
from Label Studio through its API, and deletes. The folder is bounded: when it is full, events are refused.

As a program (`python -m mlbackend.label_studio.spool`) it makes an event on stdin as small as what is kept of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlbackend.errors import ApiError, bad_request
from toolbox.files import make_folder, write_json

ANNOTATION_EVENTS = frozenset(
    {
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATION_DELETED",
        "ANNOTATIONS_DELETED",
    }
)
TRAINING_EVENTS = frozenset({"START_TRAINING"})
IDS_KEPT = 100
REPOSITORY = Path(__file__).resolve().parents[2]


class Spool:
    def __init__(self, folder: Path, most_files: int) -> None:
        self._folder, self._most = folder, most_files
        self._lock = threading.Lock()

    def put(self, alias: str, event: dict[str, Any], *, authenticated: bool) -> str | None:
        """The event's id, or None for an action that nobody waits for; ApiError 429 when the spool is full."""
        action = event.get("action")
        if action not in ANNOTATION_EVENTS | TRAINING_EVENTS:
            return None
        record = {
            "received_at": datetime.now(UTC).isoformat(),
            "alias": alias,
            **slim_event(event),
            "authenticated": authenticated,
        }
        event_id = uuid.uuid4().hex
        with self._lock:
            self._write(f"{time.time_ns():020d}-{event_id}.json", record)
        return event_id

    def _write(self, name: str, record: dict[str, Any]) -> None:
        make_folder(self._folder)
        if sum(1 for entry in os.scandir(self._folder) if entry.name.endswith(".json")) >= self._most:
            raise ApiError(
                429,
                "overloaded",
                "The spool of webhook events is full: is the annotator's worker running?",
                retry_after_s=60,
            )
        write_json(self._folder / name, record)


def slim_event(event: dict[str, Any]) -> dict[str, Any]:
    """Action and ids, which is all that is kept; of a slim event, the same."""
    return {
        "action": event.get("action"),
        "project": _first(_ids(event.get("project"))),
        "tasks": _ids(event.get("task"), event.get("tasks")),
        "annotations": _ids(event.get("annotation"), event.get("annotations")),
    }


def read_aside(body: bytes) -> dict[str, Any]:
    """A large event in a process of its own: 50 MB of JSON would hold up every click for seconds, and nobody who sends
    events need show a token."""
    done = subprocess.run(
        [sys.executable, "-m", "mlbackend.label_studio.spool"],
        input=body,
        capture_output=True,
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise bad_request("The event is not a valid JSON object.")
    return dict(json.loads(done.stdout))


def _ids(*values: Any) -> list[int]:
    """Whole-number ids of one object or a list of them, whatever else the event claims."""
    found: list[int] = []
    for value in values:
        for item in value if isinstance(value, list) else [value]:
            number = item.get("id") if isinstance(item, dict) else item
            if type(number) is int and 0 < number < 2**63:
                found.append(number)
    return found[:IDS_KEPT]


def _first(ids: list[int]) -> int | None:
    return ids[0] if ids else None


if __name__ == "__main__":
    os.nice(10)
    received = json.load(sys.stdin.buffer)
    print(json.dumps(slim_event(received)))
