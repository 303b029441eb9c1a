"""Files of feeds become images, each once: a file's state is written in the transaction of its image."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from annotator.common.batches import batched
from annotator.common.errors import ImportRefusedError
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext
from annotator.models import Feed, FeedFile, Job, Project

from .image_store import NewImage, Readable, StoredFile, image_file_store, image_rows_add
from .named_sources import source_of_job
from .scenes import scene_index
from .sources import ImportSource
from .split_plan import SplitPlan

FILES_A_COMMIT = 50
POSTED_MOST = 100


def key_of(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


@job_kind(Job.Kind.FEED)
def feed_run(context: JobContext) -> dict[str, Any]:
    """Import what is ready of one feed; after a crash it goes on with what is not written yet."""
    feed = Feed.objects.select_related("project").get(pk=context.job.params["feed"])
    ready = list(feed.files.filter(state=FeedFile.State.READY).order_by("pk"))
    counts = {"images_added": 0, "images_already_there": 0, "images_refused": 0}
    plan, done = SplitPlan(project=feed.project), 0
    params = {"path": feed.place, "named_by_person": feed.named_by_person}
    with source_of_job(params) as source:
        for some in batched(ready, FILES_A_COMMIT):
            taken = []
            for file in some:
                context.progress_of(done, len(ready), "images")
                done += 1
                taken.append(_taken(source, file))
            for outcome in _write(feed, taken, plan):
                counts[outcome] += 1
    return {**counts, "feed": feed.pk, "source": feed.source}


def _taken(source: ImportSource, file: FeedFile) -> tuple[FeedFile, StoredFile | None]:
    try:
        with source.open(file.name) as stream:
            return file, image_file_store(stream=stream)
    except (ImportRefusedError, KeyError, OSError) as error:
        file.why = str(error) if isinstance(error, ImportRefusedError) else "It is not there, or can't be read."
        return file, None


@transaction.atomic
def _write(feed: Feed, taken: Sequence[tuple[FeedFile, StoredFile | None]], plan: SplitPlan) -> list[str]:
    """One commit: images, and what became of each file."""
    news = [NewImage(stored=stored, name=_short(file.name), source=feed.source) for file, stored in taken if stored]
    rows = image_rows_add(project=feed.project, images=news, plan=plan)
    outcomes, counted = [], set()
    for file, stored in taken:
        if stored is None:
            file.state = FeedFile.State.REFUSED
            outcomes.append("images_refused")
            continue
        file.image, is_new = rows[stored.sha256]
        file.state, file.why = FeedFile.State.IMPORTED, ""
        is_first = is_new and stored.sha256 not in counted
        counted.add(stored.sha256)
        outcomes.append("images_added" if is_first else "images_already_there")
    # One whose mark changed meanwhile is seen anew; only what is still ready is closed.
    for file, _ in taken:
        still = FeedFile.objects.filter(pk=file.pk, state=FeedFile.State.READY, mark=file.mark)
        still.update(state=file.state, why=file.why, image=file.image, judged_by=None, set_aside=False, sampled=False)
    if "images_added" in outcomes:
        Feed.objects.filter(pk=feed.pk).update(needs_mining=True)
    return outcomes


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Posted:
    """What became of one posted file; `state`: added, already_there or refused."""

    name: str
    state: str
    sha256: str = ""
    split: str = ""
    why: str = ""


def images_post(*, project: Project, files: Iterable[tuple[str, Readable]], source: str = "posted") -> list[Posted]:
    """Take in images that a script sends; from then on they go the way of a feed's."""
    feed, _ = Feed.objects.get_or_create(project=project, place="", source=source[:80] or "posted")
    answers: list[Posted] = []
    plan = SplitPlan(project=project, index=scene_index(project=project))
    for name, stream in files:
        try:
            stored = image_file_store(stream=stream)
        except ImportRefusedError as error:
            answers.append(Posted(name, "refused", why=str(error)))
            continue
        answers.append(_posted(feed, name, stored, plan))
    return answers


@transaction.atomic
def _posted(feed: Feed, name: str, stored: StoredFile, plan: SplitPlan) -> Posted:
    new = NewImage(stored=stored, name=name, source=feed.source)
    row, is_new = image_rows_add(project=feed.project, images=[new], plan=plan)[stored.sha256]
    if is_new:
        FeedFile.objects.update_or_create(
            feed=feed,
            key=stored.sha256,
            defaults={"name": name[:1024], "state": FeedFile.State.IMPORTED, "image": row, "judged_by": None},
        )
        Feed.objects.filter(pk=feed.pk).update(needs_mining=True)
    return Posted(name, "added" if is_new else "already_there", row.sha256, row.split)
