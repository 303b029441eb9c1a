"""Looking at feeds: what is new there, and the next step of what came. Every worker's sweeper calls it.

Each step is a row's state, so a restart goes on where the last worker was. The look itself lists a place, which may be
slow, so it has a thread of its own.
"""

import logging
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from annotator.common.batches import batched
from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.kinds import sweep
from annotator.jobs.services import job_enqueue
from annotator.models import Feed, FeedFile, Job
from annotator.queue.mining import mining_start
from toolbox.pixels import IMAGE_ENDINGS

from .buckets import is_bucket
from .feed_import import key_of
from .feed_judging import feed_judge
from .named_sources import source_of_job

log = logging.getLogger(__name__)

ROWS_A_COMMIT = 500
_looking = threading.Lock()


@sweep
def feeds_sweep() -> list[int]:
    """Have the feeds looked at whose turn it is; none of the jobs is known yet when this answers."""
    if _due().exists() and _looking.acquire(blocking=False):
        threading.Thread(target=_look_and_close, name="feeds", daemon=True).start()
    return []


def _look_and_close() -> None:
    try:
        feeds_look()
    finally:
        connection.close()
        _looking.release()


def feeds_look() -> int:
    """Look at every feed whose turn it is; how many. Two workers never look at one feed at once."""
    looked = 0
    for feed in _due():
        turn = Feed.objects.filter(pk=feed.pk, next_look_at=feed.next_look_at)
        if turn.update(next_look_at=timezone.now() + timedelta(seconds=feed.interval_seconds)):
            feed_look(feed=feed)
            looked += 1
    return looked


def _due() -> QuerySet[Feed]:
    return Feed.objects.filter(enabled=True, next_look_at__lte=timezone.now()).select_related("project")


def feed_look(*, feed: Feed) -> None:
    """One look, whoever's turn it is; a place that can't be read is told on the feed and tried again."""
    error, others = "", feed.others
    try:
        if feed.place:
            others = _note(feed)
        _go_on(feed)
    except RoostError as refused:
        error = str(refused)
    except OSError as trouble:
        error = f"{feed.place} can't be read: {trouble.strerror or trouble}."
    Feed.objects.filter(pk=feed.pk).update(looked_at=Now(), error=error, others=others)


def _note(feed: Feed) -> int:
    """Write down what lies there; how many files are not named like images."""
    known = {key: (mark, state) for key, mark, state in feed.files.values_list("key", "mark", "state")}
    others = 0
    params = {"path": feed.place, "named_by_person": feed.named_by_person}
    with source_of_job(params, may_be_empty=True) as source:
        named = [name for name in source.names if name.lower().endswith(IMAGE_ENDINGS) and _can_be_kept(name)]
        others = len(source.names) - len(named) + len(source.problems)
        for some in batched(_news(feed, named, known), ROWS_A_COMMIT):
            with transaction.atomic():
                FeedFile.objects.bulk_create(
                    some,
                    update_conflicts=True,
                    unique_fields=["feed", "key"],
                    update_fields=["mark", "state", "changed_at"],
                )
    return others


def _news(feed: Feed, names: list[str], known: dict[str, tuple[str, str]]) -> Iterator[FeedFile]:
    """New and changed files as seen; those that stood still since the last look as ready."""
    state = FeedFile.State
    for name in names:
        key, mark = key_of(name), _mark(feed.place, name)
        if mark is None:
            continue  # gone since it was listed
        was_mark, was = known.get(key, ("", ""))
        if not was or mark != was_mark:
            new = state.READY if is_bucket(feed.place) else state.SEEN  # an object is there whole or not at all
        elif was == state.SEEN:
            new = state.READY
        else:
            continue
        yield FeedFile(feed=feed, key=key, name=name, mark=mark, state=new)


def _can_be_kept(name: str) -> bool:
    """A database holds no half characters, which old disks have in names."""
    return name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name) and len(name) <= 1024


def _mark(place: str, name: str) -> str | None:
    if is_bucket(place):
        return "object"
    try:
        found = os.stat(Path(place) / name, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return f"{found.st_size} {found.st_mtime_ns}"


def _go_on(feed: Feed) -> None:
    """Import what is ready; mine what came; judge what was mined. Each waits for the one before."""
    project, jobs = feed.project, Job.objects.filter(project=feed.project, state__in=Job.IN_FLIGHT)
    if feed.files.filter(state=FeedFile.State.READY).exists():
        if not jobs.filter(kind=Job.Kind.FEED, params__feed=feed.pk).exists():
            job_enqueue(project=project, kind=Job.Kind.FEED, params={"feed": feed.pk})
        return
    feed.refresh_from_db()
    if feed.needs_mining:
        _mine(feed)
    elif not jobs.filter(kind=Job.Kind.MINE).exists():
        feed_judge(feed=feed)


def _mine(feed: Feed) -> None:
    """With the next look if somebody else's mining is under way: it may have begun before the images came."""
    try:
        with transaction.atomic():
            Feed.objects.filter(pk=feed.pk).update(needs_mining=False)
            mining_start(project=feed.project, user=None)
    except ConflictError:
        log.debug("feed %s waits for the mining under way", feed.pk)
    except RoostError as error:
        if error.code != "nothing_to_mine":
            raise
        Feed.objects.filter(pk=feed.pk).update(needs_mining=False)
