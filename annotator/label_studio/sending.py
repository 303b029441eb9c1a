"""Images with what is settled of them -> tasks in a Label Studio project, each image's once.

Sending is a reconciliation, as pulling is: a batch may be sent again at any time, also after a call whose answer was
lost. A task is found by the image's SHA-256 in its data. What somebody changed there stays.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotator.data.buckets import BucketError
from annotator.data.media import MEDIA_TYPES
from annotator.data.renderings import full_picture
from annotator.models import Image, LabelStudioPush, LabelStudioPushed, LabelStudioTask
from toolbox.pixels import PixelsError

from .client import LabelStudioError, StudioTask
from .targets import Target
from .writing import StudioRow, WritingClient

VERSION = "roost"
UPLOAD_BYTES = 32 * 1024**2
ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/bmp": ".bmp"}
KEPT = "Somebody changed its annotation there, or made another; theirs stays."
GONE = "Its file is gone; bring it back from a backup, or import it again."
UNREADABLE = "It can't be drawn: {}."


@dataclass(frozen=True)
class Outgoing:
    """`data`: what its task says of it, but for where the picture lies."""

    image: Image
    result: list[dict[str, Any]]
    data: dict[str, str]

    @property
    def sha256(self) -> str:
        return self.image.sha256

    @property
    def size(self) -> int:
        """In numbers of its masks, which are most of a task."""
        return sum(len(one["value"].get("rle", ())) for one in self.result)


def content_hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass
class Sent:
    """`outcomes`: added, changed, unchanged or left, each image's first; a batch that is sent again counts once."""

    outcomes: dict[int, str] = field(default_factory=dict)
    left: dict[int, tuple[str, str]] = field(default_factory=dict)
    uploaded: int = 0
    uploaded_bytes: int = 0

    def tell(self, image: Image, outcome: str, why: str = "") -> None:
        self.outcomes.setdefault(image.pk, outcome)
        if why:
            self.left[image.pk] = (image.original_name, why)

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.outcomes.values())


class Listing:
    """The tasks that are there; looked at again, it asks for the new ones alone."""

    def __init__(self, client: WritingClient, project: int) -> None:
        self._client, self._project, self._last = client, project, 0
        self.rows: dict[int, StudioRow] = {}
        self.by_sha256: dict[str, int] = {}

    def catch_up(self) -> None:
        while rows := self._client.rows_after(self._last, project=self._project):
            for row in rows:
                self.rows[row.number] = row
                if row.sha256:
                    self.by_sha256.setdefault(row.sha256, row.number)
            self._last = rows[-1].number

    def forget(self, number: int) -> None:
        row = self.rows.pop(number, None)
        if row is not None and self.by_sha256.get(row.sha256) == number:
            del self.by_sha256[row.sha256]


class Sender:
    """One run of the job. `is_prediction`: beside what people say there, instead of as an annotation."""

    def __init__(self, client: WritingClient, push: LabelStudioPush, target: Target, is_prediction: bool) -> None:
        self._client, self._push, self._target, self._is_prediction = client, push, target, is_prediction
        self._listing = Listing(client, push.number)
        self._uploads: dict[str, str] | None = None
        self._begun: set[str] = set()
        self.sent = Sent()

    def send(self, batch: Sequence[Outgoing]) -> None:
        self._listing.catch_up()
        images = [one.image.pk for one in batch]
        rows = self._push.tasks.filter(image__in=images, is_prediction=self._is_prediction)
        before = {row.image_id: row for row in rows}
        elsewhere = self._numbers(images)
        fresh = [one for one in batch if not self._is_there(one, before.get(one.image.pk), elsewhere)]
        if fresh:
            self._add(fresh)

    def _numbers(self, images: Sequence[int]) -> dict[int, int]:
        """Tasks of these images that are known by what was sent in the other way, or pulled."""
        link = LabelStudioTask.objects.filter(link__project=self._push.project_id, link__number=self._push.number)
        pulled = dict(link.filter(image__in=images).values_list("image_id", "number"))
        return pulled | dict(self._push.tasks.filter(image__in=images).values_list("image_id", "number"))

    def _is_there(self, one: Outgoing, before: LabelStudioPushed | None, elsewhere: Mapping[int, int]) -> bool:
        """Whether it has a task, which now says what it should; False for one that is to be made."""
        known = [before.number] if before else []
        known += [self._listing.by_sha256.get(one.sha256, 0), elsewhere.get(one.image.pk, 0)]
        number = next((number for number in known if number in self._listing.rows), None)
        if number is None:
            return False
        if before and before.number == number and self._is_as_sent(one, before):
            self.sent.tell(one.image, "unchanged")
            return True
        task = self._client.task(number, project=self._push.number)
        if task is None:
            self._listing.forget(number)
            return False
        self._reconcile(one, before, task)
        return True

    def _is_as_sent(self, one: Outgoing, before: LabelStudioPushed) -> bool:
        """What somebody changed there since is theirs, and no reason to look."""
        row = self._listing.rows[before.number]
        has = row.predictions if self._is_prediction else row.annotations
        same = (before.result_hash, before.data_hash) == (content_hash(one.result), content_hash(one.data))
        return same and has > 0

    def _reconcile(self, one: Outgoing, before: LabelStudioPushed | None, task: StudioTask) -> None:
        last = before.result_hash if before else ""
        outcome = self._predict(one, task) if self._is_prediction else self._annotate(one, last, task)
        if outcome == "left":
            self.sent.tell(one.image, "left", f"Task {task.number}: {KEPT}")
            return
        differs = any(task.data.get(key) != value for key, value in one.data.items())
        # A task that somebody made there themselves keeps its own data.
        if differs and task.data.get("sha256") == one.sha256:
            self._client.data_write(task.number, {**task.data, **one.data})
            outcome = "changed" if outcome == "unchanged" else outcome
        self._keep(one, task.number, str(task.data.get(self._target.image_key) or ""))
        self.sent.tell(one.image, "added" if one.sha256 in self._begun else outcome)

    def _annotate(self, one: Outgoing, last: str, task: StudioTask) -> str:
        said = {content_hash(row.get("result")): row.get("id") for row in task.annotations}
        if content_hash(one.result) in said:
            return "unchanged"
        if (number := said.get(last)) is not None:
            self._client.annotation_write(number, one.result)
            return "changed"
        if said:
            return "left"
        self._client.annotation_add(task.number, one.result)
        return "added"

    def _predict(self, one: Outgoing, task: StudioTask) -> str:
        ours = [row for row in self._client.predictions(task.number) if row.get("model_version") == VERSION]
        if any(content_hash(row.get("result")) == content_hash(one.result) for row in ours):
            return "unchanged"
        if ours:
            self._client.prediction_write(ours[0]["id"], one.result)
            return "changed"
        self._client.prediction_add(task.number, one.result, version=VERSION)
        return "added"

    def _add(self, fresh: Sequence[Outgoing]) -> None:
        addresses = self._pictures(fresh)
        ready = [one for one in fresh if one.sha256 in addresses]
        if not ready:
            return
        self._begun.update(one.sha256 for one in ready)
        self._client.tasks_add(self._push.number, [self._task(one, addresses[one.sha256]) for one in ready])
        self._listing.catch_up()
        for one in ready:
            number = self._listing.by_sha256.get(one.sha256)
            if number is None:
                raise LabelStudioError("Label Studio took tasks in, but does not list them.")
            self._keep(one, number, addresses[one.sha256])
            self.sent.tell(one.image, "added")

    def _task(self, one: Outgoing, address: str) -> dict[str, Any]:
        # Unasked, Label Studio would call it ground truth, before whatever people say there later.
        said: dict[str, Any] = {"annotations": [{"result": one.result, "ground_truth": False}]}
        if self._is_prediction:
            said = {"predictions": [{"result": one.result, "model_version": VERSION}]}
        return {"data": {self._target.image_key: address, **one.data}, **said}

    def _keep(self, one: Outgoing, number: int, address: str) -> None:
        self._push.tasks.update_or_create(
            image=one.image,
            is_prediction=self._is_prediction,
            defaults={
                "number": number,
                "address": address,
                "result_hash": content_hash(one.result),
                "data_hash": content_hash(one.data),
            },
        )

    def _pictures(self, fresh: Sequence[Outgoing]) -> dict[str, str]:
        """{SHA-256: address}; what an earlier push that was cut off uploaded is taken."""
        if self._uploads is None:
            self._uploads = self._client.uploads(self._push.number)
        waiting: dict[str, tuple[bytes, str]] = {}
        names: dict[str, str] = {}
        for one in fresh:
            if (picture := self._picture(one)) is None:
                continue
            name, data, media_type = picture
            names[one.sha256] = name
            if name not in self._uploads:
                waiting[name] = (data, media_type)
            if sum(len(data) for data, _ in waiting.values()) >= UPLOAD_BYTES:
                self._upload(waiting)
        self._upload(waiting)
        return {sha256: self._uploads[name] for sha256, name in names.items()}

    def _upload(self, waiting: dict[str, tuple[bytes, str]]) -> None:
        if waiting and self._uploads is not None:
            self._uploads |= self._client.upload(self._push.number, waiting)
            self.sent.uploaded += len(waiting)
            self.sent.uploaded_bytes += sum(len(data) for data, _ in waiting.values())
            waiting.clear()

    def _picture(self, one: Outgoing) -> tuple[str, bytes, str] | None:
        """The file itself where browsers show its very pixels, else upright pixels as a PNG; masks lie on these."""
        try:
            path, drawn = full_picture(one.sha256)
            media_type = drawn or one.image.media_type
            if media_type not in MEDIA_TYPES:
                self.sent.tell(one.image, "left", UNREADABLE.format(f"browsers don't show {media_type}"))
                return None
            return f"{one.sha256}{ENDINGS[media_type]}", path.read_bytes(), media_type
        except FileNotFoundError:
            self.sent.tell(one.image, "left", GONE)
        except PixelsError as error:
            self.sent.tell(one.image, "left", UNREADABLE.format(error))
        except BucketError as error:
            raise LabelStudioError(f"The pictures can't be read. {error}") from error
        return None
