"""The events that the ML backend leaves in the spool -> rows that say which Label Studio tasks to look at.

An event is nothing but a reason to go and look: of all it says only ids are read, and what they mean is asked of Label
Studio itself. A file is deleted when its requests are stored; what can't be read is put aside and stands in nobody's
way.
"""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.kinds import sweep
from annotator.jobs.services import job_enqueue
from annotator.models import Job, LabelStudioAnswer, LabelStudioLink

from .links import ALL_TASKS, links_due, pull_request_add

log = logging.getLogger(__name__)

ANNOTATION_EVENTS = {
    *("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "ANNOTATIONS_DELETED")
}
START_TRAINING = "START_TRAINING"
FILES_A_SWEEP = 500
MOST_EVENT_BYTES = 64 * 1024
IDS_KEPT = 100  # the backend keeps no more; so many may have been cut off
MOST_REQUESTS = 1000  # of so many at once a pull of everything, page by page, is the shorter way
REFUSED_KEPT = 1000


class EventRefused(RoostError):
    """A file that is no event Roost acts on."""


@dataclass(frozen=True)
class Event:
    action: str
    project: int
    tasks: tuple[int, ...]
    annotations: tuple[int, ...]


@sweep
def label_studio_sweep() -> list[int]:
    """Take in what lies in the spool and start a pull wherever one is due; the jobs that were started."""
    spool_take_in()
    started = []
    for link in links_due():
        try:
            started.append(job_enqueue(project=link.project, kind=Job.Kind.LABEL_STUDIO).pk)
        except ConflictError:
            log.debug("project %s has a pull under way", link.project_id)
    return started


def spool_take_in() -> int:
    """How many events became requests. Safe to be cut off anywhere, and to be done by two workers at once."""
    files: dict[int, dict[Path, Event]] = defaultdict(dict)
    for path in sorted(Path(settings.LABEL_STUDIO_SPOOL).glob("*.json"))[:FILES_A_SWEEP]:
        try:
            event = event_read(path)
        except FileNotFoundError:
            continue  # another worker was quicker
        except EventRefused as error:
            _put_aside(path, str(error))
            continue
        files[event.project][path] = event
    taken = 0
    for project, events in files.items():
        taken += _ring(project, list(events.values()))
        for path in events:
            path.unlink(missing_ok=True)
    return taken


def event_read(path: Path) -> Event:
    """EventRefused says what is wrong with the file; format: docs/label-studio.md."""
    if path.is_symlink() or path.stat().st_size > MOST_EVENT_BYTES:
        raise EventRefused("it is no file of the size of an event")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise EventRefused("it is not JSON") from None
    if not isinstance(value, dict):
        raise EventRefused("it is no event")
    action = value.get("action")
    if not isinstance(action, str) or action not in ANNOTATION_EVENTS | {START_TRAINING}:
        raise EventRefused("its action is unknown")
    if action == START_TRAINING and value.get("authenticated") is not True:
        raise EventRefused("it asks for training without the backend's token")
    project = _ids([value.get("project")])[0]
    return Event(action, project, _ids(value.get("tasks")), _ids(value.get("annotations")))


def _ids(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > IDS_KEPT:
        raise EventRefused("its ids are no list of ids")
    if any(type(value) is not int or not 0 < value < 2**63 for value in values):
        raise EventRefused("an id in it is none")
    return tuple(dict.fromkeys(values))


@transaction.atomic
def _ring(project: int, events: Sequence[Event]) -> int:
    link = LabelStudioLink.objects.filter(number=project).first()
    if link is None:
        log.info("Nobody here is linked to Label Studio's project %s: %s events dropped.", project, len(events))
        return 0
    if any(event.action == START_TRAINING for event in events):
        LabelStudioLink.objects.filter(pk=link.pk, training_asked_at__isnull=True).update(training_asked_at=Now())
    pull_request_add(link=link, numbers=sorted(_tasks(link, [one for one in events if one.action != START_TRAINING])))
    return len(events)


def _tasks(link: LabelStudioLink, events: Sequence[Event]) -> set[int]:
    tasks = {number for event in events for number in event.tasks}
    annotations = {number for event in events for number in event.annotations}
    cut_off = any(IDS_KEPT in (len(event.tasks), len(event.annotations)) for event in events)
    if cut_off or len(tasks) + len(annotations) > MOST_REQUESTS:
        return {ALL_TASKS}
    # A deletion names annotations alone: those that something was taken from are known here.
    known = LabelStudioAnswer.objects.filter(source__link=link, number__in=annotations)
    return tasks | set(known.values_list("source__number", flat=True))


def _put_aside(path: Path, why: str) -> None:
    folder = path.parent / "refused"
    folder.mkdir(exist_ok=True)
    log.warning("Label Studio event %s is put aside under refused/: %s.", path.name, why)
    try:
        os.replace(path, folder / path.name)
    except FileNotFoundError:
        return
    for oldest in sorted(folder.iterdir())[:-REFUSED_KEPT]:
        oldest.unlink(missing_ok=True)
