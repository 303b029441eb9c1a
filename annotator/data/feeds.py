"""Feeds: add, pause, list; and what a person sees of them."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q
from django.utils import timezone

from annotator.common.agreement import wilson_interval
from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.models import Feed, FeedFile, Pair, Project

from .buckets import is_bucket
from .named_sources import source_allowed, source_full, source_name

LEAST_SECONDS, MOST_SECONDS = 5, 24 * 3600
REFUSED_SHOWN = 5


@transaction.atomic
def feed_add(
    *,
    project: Project,
    user: AbstractBaseUser | None,
    place: str,
    source: str = "",
    interval_seconds: int = 60,
    named_by_person: bool = True,
) -> Feed:
    """Watch a folder or bucket prefix from now on, what lies there already included."""
    if not LEAST_SECONDS <= interval_seconds <= MOST_SECONDS:
        words = f"A feed is looked at every {LEAST_SECONDS} to {MOST_SECONDS} seconds."
        raise RoostError(words, fields={"interval_seconds": ["Out of range."]})
    where = source_allowed(place) if named_by_person else source_full(place)
    if not is_bucket(where) and where.lower().endswith(".zip"):
        raise RoostError("A feed watches a folder or a bucket; import a zip by itself.", fields={"place": ["A zip."]})
    _watch_once(project, where)
    fields = {"interval_seconds": interval_seconds, "named_by_person": named_by_person}
    try:
        with transaction.atomic():
            feed = Feed.objects.create(
                project=project, place=where, source=(source or source_name(where))[:80], **fields
            )
    except IntegrityError:
        words = f"{where} is a paused feed with this source: let that one go on."
        raise ConflictError(words, code="feed_exists") from None
    audit_record(project=project, actor=user, action="feed.add", subject=where, source=feed.source)
    return feed


def _watch_once(project: Project, place: str, besides: int | None = None) -> None:
    """ConflictError where another feed reads the same files: each would be told, and counted, as two feeds' image."""
    Project.objects.select_for_update().get(pk=project.pk)  # two people at once
    for other in Feed.objects.filter(project=project, enabled=True).exclude(place="").exclude(pk=besides):
        if other.place.rstrip("/") == place.rstrip("/"):
            how = f"{place} is watched already, as source «{other.source}»"
        elif _lies_in(place, other.place) or _lies_in(other.place, place):
            how = f"{place} and {other.place}, which is watched already, hold the same files"
        else:
            continue
        raise ConflictError(
            f"{how}. Pause that feed first.", code="feed_exists", fields={"place": ["Watched already."]}
        )


def _lies_in(place: str, other: str) -> bool:
    """Of two prefixes of a bucket the longer one lies in the other wherever it is cut."""
    return place.startswith(other if is_bucket(other) else f"{other.rstrip('/')}/")


@transaction.atomic
def feed_switch(*, feed: Feed, user: AbstractBaseUser | None, enabled: bool) -> Feed:
    """Pause it or go on; files that came meanwhile are taken in then. ConflictError where another reads them by now."""
    if enabled and feed.place:
        _watch_once(feed.project, feed.place, feed.pk)
    if Feed.objects.filter(pk=feed.pk, enabled=not enabled).update(enabled=enabled, next_look_at=timezone.now()):
        action = "feed.resume" if enabled else "feed.pause"
        audit_record(project=feed.project, actor=user, action=action, subject=str(feed))
    feed.refresh_from_db()
    return feed


@dataclass(frozen=True)
class MissRate:
    """Of what the serving model was sure shows nothing: sampled images that people settled, and those with something.

    `interval`: Wilson's, 95 %, of the share; None before any is settled.
    """

    aside: int
    sampled: int
    settled: int
    missed: int

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.missed, self.settled) if self.settled else None

    @property
    def share(self) -> float | None:
        return self.missed / self.settled if self.settled else None


@dataclass(frozen=True)
class FeedState:
    """A feed with how many of its files are in each state, and the newest refusals."""

    feed: Feed
    counts: dict[str, int]
    newest: object
    refused: list[FeedFile]
    misses: MissRate


def feed_states(*, project: Project) -> list[FeedState]:
    return [_state(feed, project) for feed in project.feeds.all()]


def _state(feed: Feed, project: Project) -> FeedState:
    counts = dict(feed.files.order_by().values_list("state").annotate(n=Count("id")))
    refused = feed.files.filter(state=FeedFile.State.REFUSED).order_by("-changed_at")[:REFUSED_SHOWN]
    newest = feed.files.filter(state=FeedFile.State.IMPORTED).aggregate(at=Max("image__added_at"))["at"]
    full = {state: counts.get(state, 0) for state in FeedFile.State.values}
    return FeedState(feed, full, newest, list(refused), miss_rate(feed=feed, project=project))


def miss_rate(*, feed: Feed, project: Project) -> MissRate:
    """An image counts once every pair of it that is looked for has a person's verdict."""
    aside = feed.files.filter(set_aside=True, judged_by=project.serving_version_id)
    sampled = aside.filter(sampled=True)
    pairs = Pair.objects.filter(image__in=sampled.values("image"), concept__retired_at=None)
    images = (
        pairs.order_by()
        .values("image")
        .annotate(
            unseen=Count("id", filter=Q(truth=Pair.Truth.UNSEEN)),
            present=Count("id", filter=Q(truth=Pair.Truth.PRESENT)),
        )
    )
    settled = images.filter(unseen=0)
    return MissRate(aside.count(), sampled.count(), settled.count(), settled.filter(present__gt=0).count())
