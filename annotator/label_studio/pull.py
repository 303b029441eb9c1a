"""The job that does what was asked for: fetch Label Studio's tasks, import their images, store what was said of
them."""

from collections import Counter
from typing import Any
from urllib.parse import unquote, urlsplit

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser

from annotator.common.errors import ImportRefusedError, RoostError
from annotator.data.image_store import image_add
from annotator.jobs.kinds import job_kind
from annotator.jobs.services import JobCancelled, JobContext
from annotator.models import Image, Job, LabelStudioBell, LabelStudioLink, LabelStudioPushed, LabelStudioTask

from .answers import Outcome, annotation_that_counts, answers_read, answers_store, sources_between
from .client import LabelStudioClient, LabelStudioImageError, StudioTask
from .links import ALL_TASKS, link_of, link_refresh
from .sending import content_hash
from .training import training_answer

REPORTED_LEFT = 500
COUNTS = ("tasks", "images_added", "added", "changed", "unchanged", "withdrawn")


@job_kind(Job.Kind.LABEL_STUDIO)
def label_studio_run(context: JobContext) -> dict[str, Any]:
    """The job's work; safe to run again: every task's outcome is stored before its request is deleted."""
    link = link_of(context.job.project)
    pull = _Pull(context, link)
    try:
        while asked := link.bells.first():
            pull.follow(asked)
    except JobCancelled:
        if context.stop_reason == "cancelled":
            link.bells.filter(number=ALL_TASKS).delete()
        raise
    link.refresh_from_db()
    return pull.report() | training_answer(link=link)


class _Pull:
    """One run of the job; its report goes on from what an attempt that was cut off has written."""

    def __init__(self, context: JobContext, link: LabelStudioLink) -> None:
        self._context, self._link = context, link
        self._client = LabelStudioClient()
        self._project = link_refresh(link=link, client=self._client)
        self._members = _members(link)
        pushed = LabelStudioPushed.objects.filter(push__project=link.project, push__number=link.number)
        self._sent = pushed.filter(push__made_at=link.made_at)
        told = context.job.report
        self._counts = Counter({name: told.get(name, 0) for name in COUNTS})
        self._unknown = Counter(told.get("unknown_labels", {}))
        self._left: list[dict] = list(told.get("left", []))
        self._more_left: int = told.get("more_left", 0)

    def follow(self, asked: LabelStudioBell) -> None:
        if asked.number == ALL_TASKS:
            self._follow_all(asked)
        else:
            waiting = self._link.bells.count()
            self._context.progress_of(self._counts["tasks"], self._counts["tasks"] + waiting, "tasks")
            self._take(asked.number, self._client.task(asked.number, project=self._link.number))
        # Asked for again meanwhile, it stays for another look.
        LabelStudioBell.objects.filter(pk=asked.pk, rings=asked.rings).delete()
        self._context.report(**self.report())

    def _follow_all(self, asked: LabelStudioBell) -> None:
        """Page by page; the request's row remembers how far, also for the next job."""
        after = asked.after
        while tasks := self._client.tasks_after(after, project=self._link.number):
            last = tasks[-1].number
            self._take_page(tasks, after, last)
            after = last
            LabelStudioBell.objects.filter(pk=asked.pk, rings=asked.rings).update(after=after)
            self._context.report(**self.report())
        self._take_vanished(set(), after, None)

    def _take_page(self, tasks: list[StudioTask], after: int, last: int) -> None:
        for task in tasks:
            done = self._counts["tasks"]
            self._context.progress_of(done, max(self._project.task_count, done + 1), "tasks")
            self._take(task.number, task)
        self._take_vanished({task.number for task in tasks}, after, last)

    def _take_vanished(self, listed: set[int], after: int, upto: int | None) -> None:
        for number in sources_between(link=self._link, after=after, upto=upto):
            if number not in listed:
                self._take(number, self._client.task(number, project=self._link.number))

    def _take(self, number: int, task: StudioTask | None) -> None:
        """Reconcile one task; what is wrong with it alone is told in the report and holds nothing up."""
        outcome = Outcome()
        try:
            self._reconcile(number, task, outcome)
        except (LabelStudioImageError, ImportRefusedError) as error:
            outcome.left.append(str(error))
        self._counts.update(outcome.counts, tasks=1)
        self._unknown.update(outcome.unknown)
        for why in outcome.left:
            if len(self._left) < REPORTED_LEFT:
                self._left.append({"task": number, "why": why})
            else:
                self._more_left += 1

    def _reconcile(self, number: int, task: StudioTask | None, outcome: Outcome) -> None:
        annotation = annotation_that_counts(task) if task else None
        if task is None or annotation is None:
            answers_store(link=self._link, number=number, wanted={}, outcome=outcome)
            return
        if self._is_own(number, annotation):
            outcome.counts["unchanged"] += 1
            return
        if len(task.annotations) > 1:
            outcome.left.append(f"It has {len(task.annotations)} annotations; number {annotation['id']} counts.")
        source = self._source(task)
        author = self._author(annotation.get("completed_by"))
        wanted = answers_read(
            link=self._link, image=source.image, annotation=annotation, author=author, outcome=outcome
        )
        answers_store(link=self._link, number=number, source=source, wanted=wanted, outcome=outcome)

    def _is_own(self, number: int, annotation: dict[str, Any]) -> bool:
        """Whether it says what this project itself sent there: no news."""
        sent = self._sent.filter(number=number, is_prediction=False)
        return sent.filter(result_hash=content_hash(annotation["result"])).exists()

    def _source(self, task: StudioTask) -> LabelStudioTask:
        """The task's image, by content; fetched once an address."""
        address = task.data.get(self._link.image_key)
        if not isinstance(address, str) or not address:
            raise LabelStudioImageError(f"Its data has no image under «{self._link.image_key}».")
        known = LabelStudioTask.objects.select_related("image").filter(link=self._link, number=task.number).first()
        if known is not None and known.address == address:
            return known
        # A picture that was drawn anew for browsers has other bytes than the one that it was drawn from.
        own = self._sent.filter(number=task.number, address=address).select_related("image").first()
        image = own.image if own else self._image(address)
        source, _ = LabelStudioTask.objects.update_or_create(
            link=self._link, number=task.number, defaults={"address": address, "image": image}
        )
        return source

    def _image(self, address: str) -> Image:
        name = unquote(urlsplit(address).path).rsplit("/", 1)[-1]
        image, is_new = image_add(
            project=self._link.project,
            stream=self._client.image(address),
            name=name,
            source=f"Label Studio: {self._link.title}",
        )
        self._counts["images_added"] += is_new
        return image

    def _author(self, person: Any) -> AbstractBaseUser:
        return self._members.get(self._client.email(person).lower()) or self._link.author

    def report(self) -> dict[str, Any]:
        counts = {name: self._counts[name] for name in COUNTS}
        return counts | {"unknown_labels": dict(self._unknown), "left": self._left, "more_left": self._more_left}


def _members(link: LabelStudioLink) -> dict[str, AbstractBaseUser]:
    """Active members by e-mail address or name, in lower case; what two of them share tells neither."""
    active = get_user_model().objects.filter(memberships__project=link.project, is_active=True)
    if not active.filter(pk=link.author_id).exists():
        raise RoostError("The person whom unknown authors' answers are booked on left: remove the link, link again.")
    named = [(word.lower(), user) for user in active for word in {user.email, user.get_username()} if word]
    shared = Counter(word for word, _ in named)
    return {word: user for word, user in named if shared[word] == 1}
