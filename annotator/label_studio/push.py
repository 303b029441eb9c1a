"""Send what is settled to a project in Label Studio: start it, and the job that does it.

A push that was cancelled, cut off or refused is gone on with by pushing again: what is there already is found.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, OuterRef

from annotator.common.access import ADMIN
from annotator.common.active import pairs_active
from annotator.common.audit import audit_record
from annotator.common.errors import ConflictError, RoostError
from annotator.concepts.selectors import concepts_by_name
from annotator.data.export_rows import Settled, SettledNow, settled_of
from annotator.data.writers.label_studio import label_config
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobContext, job_enqueue
from annotator.models import Image, Job, LabelStudioLink, LabelStudioPush, Pair, Project

from .client import LabelStudioBusy, LabelStudioUnknown, StudioProject
from .links import ANOTHER
from .sending import Outgoing, Sender
from .targets import Target, config_extended, target_of
from .writing import WritingClient

BATCH_IMAGES, BATCH_NUMBERS = 20, 2_000_000
ATTEMPTS, FIRST_WAIT_S, LONGEST_WAIT_S, LOOK_S = 6, 2.0, 120.0, 0.5
REPORTED_LEFT = 500
GO_ON = "{} Asked {} times. What was sent stays there; push again to go on."
NOT_HERE = "It is not among this project's images any more."
NONE_SETTLED = "Nothing is approved or imported here yet, so there is nothing to send."
T = TypeVar("T")


def push_start(
    *,
    project: Project,
    user: AbstractBaseUser,
    number: int | None = None,
    title: str = "",
    snapshot: int | None = None,
    splits: Sequence[str] = (),
    as_predictions: bool = False,
) -> Job:
    """Queue a push into Label Studio's project `number`, or into a new one called `title`, which is made at once.

    `snapshot`: its number; None for what is settled now. Refused where the labelling interface can't tell it.
    """
    title = title.strip()
    if (number is None) == (not title):
        raise RoostError("Give the number of a project in Label Studio, or a title for a new one.")
    source = settled_of(project=project, snapshot=snapshot)
    if not source.categories:
        raise RoostError(NONE_SETTLED)
    if project.jobs.filter(kind=Job.Kind.STUDIO_PUSH, state__in=Job.IN_FLIGHT).exists():
        raise ConflictError("A push to Label Studio is under way; wait for it or cancel it.", code="already_running")
    names = [one.name for one in source.categories]
    push = _known(project, user, number, names) if number is not None else _made(project, title, names)
    audit_record(project=project, actor=user, action="label_studio.push", subject=push.title, number=push.number)
    params = {"push": push.pk, "snapshot": snapshot, "splits": list(splits), "as_predictions": as_predictions}
    return job_enqueue(project=project, kind=Job.Kind.STUDIO_PUSH, params=params, created_by=user)


def _made(project: Project, title: str, names: Sequence[str]) -> LabelStudioPush:
    config = label_config(names)
    found = WritingClient().project_make(title=title[:50], config=config)
    return _stored(project, found, config)


def _known(project: Project, user: AbstractBaseUser, number: int, names: Sequence[str]) -> LabelStudioPush:
    _refuse_others(project, user, number)
    client = WritingClient()
    try:
        found = client.interface(number).project
    except LabelStudioUnknown as error:
        words = f"Label Studio has no project {number}, or ROOST_LS_TOKEN may not see it; look at its address there."
        raise RoostError(words, fields={"number": ["Not found there."]}) from error
    push = project.label_studio_pushes.filter(number=number).first()
    if push is None or push.made_at != found.made_at:
        push = _stored(project, found, "")
    target_ready(client=client, push=push, names=names)
    return push


def _stored(project: Project, found: StudioProject, config: str) -> LabelStudioPush:
    """What was sent to an earlier project of this number says nothing of the new one."""
    project.label_studio_pushes.filter(number=found.number).delete()
    return LabelStudioPush.objects.create(
        project=project, number=found.number, made_at=found.made_at, title=found.title, config=config
    )


def _refuse_others(project: Project, user: AbstractBaseUser, number: int) -> None:
    """What is sent into a project that another one here pulls from becomes answers there."""
    link = LabelStudioLink.objects.filter(number=number).exclude(project=project).select_related("project").first()
    if link is not None and not link.project.memberships.filter(user=user, role=ADMIN).exists():
        words = f"Label Studio's project {number} is linked to another project here, of which you are no admin."
        raise RoostError(words, code="label_studio_linked", http_status=403, fields={"number": ["Linked elsewhere."]})


def target_ready(*, client: WritingClient, push: LabelStudioPush, names: Sequence[str]) -> Target:
    """The project as it can be told these concepts. An interface that Roost wrote and nobody changed is extended."""
    known = concepts_by_name(project=push.project)
    interface = client.interface(push.number)
    if interface.project.made_at != push.made_at:
        raise RoostError(ANOTHER.format(push.number))
    target = target_of(interface=interface, names=names, known=known)
    if isinstance(target, RoostError) and push.config and interface.config == push.config:
        push.config = config_extended(interface=interface, names=names, known=known)
        client.config_write(push.number, push.config)
        push.save(update_fields=["config"])
        target = target_of(interface=client.interface(push.number), names=names, known=known)
    if isinstance(target, RoostError):
        raise target
    return target


@job_kind(Job.Kind.STUDIO_PUSH)
def label_studio_push_run(context: JobContext) -> dict[str, Any]:
    """The job's work; safe to run again."""
    params = context.job.params
    push = LabelStudioPush.objects.select_related("project").filter(pk=params["push"]).first()
    if push is None:
        raise RoostError("Another push made this one's record void; push again.")
    run = _Push(context, push)
    run.send_all()
    return run.report() | {"orphans": run.orphans()}


class _Push:
    """One run of the job."""

    def __init__(self, context: JobContext, push: LabelStudioPush) -> None:
        self._context, self._push, self._params = context, push, context.job.params
        self._absent: list[str] = []
        self._fraction = 0.0
        self._source = settled_of(project=push.project, snapshot=self._params["snapshot"])
        self._names = [one.name for one in self._source.categories]
        self._client = WritingClient()
        self._target = self._patiently(lambda: target_ready(client=self._client, push=push, names=self._names))
        self._sender = Sender(self._client, push, self._target, self._params["as_predictions"])

    def send_all(self) -> None:
        for batch in self._batches():
            self._patiently(lambda batch=batch: self._sender.send(batch))
            self._context.report(**self.report())

    def _batches(self) -> Iterator[list[Outgoing]]:
        waiting: list[Outgoing] = []
        for found in self._source.images(self._shown):
            if self._params["splits"] and found.record.split not in self._params["splits"]:
                continue
            if (one := self._outgoing(found)) is not None:
                waiting.append(one)
            if len(waiting) >= BATCH_IMAGES or sum(one.size for one in waiting) >= BATCH_NUMBERS:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _outgoing(self, found: Settled) -> Outgoing | None:
        image = self._push.project.images.filter(sha256=found.sha256).first()
        if image is None:
            self._absent.append(found.record.name)
            return None
        data = {
            "name": image.original_name,
            "sha256": found.sha256,
            "split": str(found.record.split),
            "unlooked": self._target.unlooked(found),
        }
        return Outgoing(image, self._target.result(found), data)

    def _shown(self, done: int, of: int) -> None:
        self._fraction = done / max(of, 1)
        self._context.progress_of(done, of, "images sent or found as they were")

    def _patiently(self, act: Callable[[], T]) -> T:
        """Ask again what is answered «not now», ever later or when Label Studio says; a cancellation ends the wait."""
        wait_s = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return act()
            except LabelStudioBusy as error:
                if attempt == ATTEMPTS:
                    words = str(error).removesuffix(" It will be asked again.")
                    raise RoostError(GO_ON.format(words, ATTEMPTS), code=error.code) from error
                self._wait(min(error.retry_after_seconds or wait_s, LONGEST_WAIT_S), str(error))
                wait_s *= 2
        raise AssertionError("unreachable")

    def _wait(self, seconds: float, why: str) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._context.progress(self._fraction, f"{why} Next in {left:.0f} s.")
            time.sleep(min(LOOK_S, left))

    def report(self) -> dict[str, Any]:
        sent = self._sender.sent
        left = [{"name": name, "why": why} for name, why in sent.left.values()]
        left += [{"name": name, "why": NOT_HERE} for name in self._absent]
        return {
            "project": self._push.number,
            "title": self._push.title,
            **{name: sent.counts[name] for name in ("added", "changed", "unchanged")},
            "uploaded": sent.uploaded,
            "uploaded_bytes": sent.uploaded_bytes,
            "left": left[:REPORTED_LEFT],
            "more_left": max(len(left) - REPORTED_LEFT, 0),
            "unsettled": self._source.unsettled,
        }

    def orphans(self) -> int:
        """Tasks of images of which nothing is settled any more; they keep what they were told."""
        if not isinstance(self._source, SettledNow):
            return 0
        settled = pairs_active(project=self._push.project).exclude(truth=Pair.Truth.UNSEEN)
        tasks = self._push.tasks.filter(is_prediction=self._params["as_predictions"])
        live = Image.objects.filter(pk=OuterRef("image"))
        return tasks.exclude(Exists(settled.filter(image=OuterRef("image"))) & Exists(live)).count()
