"""A source of pictures in, SA-Co predictions out: store, ask, write down, take out again, a few images at once."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from annotator import ml_client
from annotator.common.batches import batched
from annotator.common.errors import BackendError, ImportRefusedError, JobCancelled
from annotator.common.masks import rle_box_xyxy
from annotator.common.patience import asked_patiently
from annotator.data.image_store import StoredFile
from annotator.data.sources import ImportSource
from annotator.ml_client import ImagePrediction
from toolbox.pixels import IMAGE_ENDINGS

from .journal import Journal, JournalHeader, documents_write, names_hash
from .temporary_images import TemporaryImages, temporary_images_opened

IMAGES_A_CALL = 8
# One call is answered while the next waits at the backend; pictures are fetched and checked ahead of both.
CALLS_AT_ONCE, CALLS_AHEAD = 2, 3
FETCHES_AT_ONCE, FETCHES_AHEAD = 4, 24
PROGRESS_EVERY_SECONDS = 1.0

T = TypeVar("T")
R = TypeVar("R")
# (images done, of how many, what goes on, seconds left)
OnProgress = Callable[[int, int, str, float | None], object]


@dataclass(frozen=True)
class PredictionRequest:
    """What to ask of each picture; `threshold`: least instance score, presence included."""

    version: str
    concepts: Sequence[str]
    threshold: float


def predictions_write(
    *, source: ImportSource, named: str, request: PredictionRequest, out: Path, on_progress: OnProgress
) -> dict[str, Any]:
    """Ask about every picture and write the documents to `out`; the manifest.

    Stopped half-way and called again with the same it goes on. `on_progress` is called every second or so, and may
    raise JobCancelled.
    """
    names = [name for name in source.names if name.lower().endswith(IMAGE_ENDINGS)]
    if not names:
        raise ImportRefusedError(f"There is no picture in {named}: no name ends in {', '.join(IMAGE_ENDINGS)}.")
    run = _Run(source, request, len(names), on_progress)
    weights, concepts = run.weights_hash(), list(request.concepts)
    header = JournalHeader(named, request.version, weights, concepts, request.threshold, len(names), names_hash(names))
    with Journal(out, header) as journal:
        with temporary_images_opened() as images:
            run.go_on(journal, names, images)
        not_pictures = len(source.names) - len(names) + len(source.problems)
        manifest = documents_write(journal, out, not_pictures=not_pictures)
        journal.delete()
    return manifest


@dataclass(frozen=True)
class _Picture:
    """A file of the source: stored, or with the reason why it is not."""

    name: str
    stored: StoredFile | None
    reason: str = ""


class _Run:
    def __init__(self, source: ImportSource, request: PredictionRequest, of: int, on_progress: OnProgress) -> None:
        self._source, self._request, self._on_progress = source, request, on_progress
        self._done, self._of = 0, of
        self._seconds_left: float | None = None
        self._note = ""
        self._stopped = threading.Event()
        self._images: TemporaryImages

    def weights_hash(self) -> str:
        """Loading the version says at once whether there is one, and which weights answer."""
        rows = self._in_order(self._load, [self._request.version], at_once=1, ahead=1)
        try:
            return str(next(rows).get("weights_hash"))
        except BaseException:
            self._stopped.set()
            raise

    def go_on(self, journal: Journal, names: Sequence[str], images: TemporaryImages) -> None:
        """Behind what the journal has already."""
        self._images, self._done, first = images, journal.done, journal.done
        began_at = told_at = time.monotonic()
        pictures = self._in_order(self._store, names[first:], at_once=FETCHES_AT_ONCE, ahead=FETCHES_AHEAD)
        batches = batched(pictures, IMAGES_A_CALL)
        calls = self._in_order(self._ask, batches, at_once=CALLS_AT_ONCE, ahead=CALLS_AHEAD, linger=False)
        try:
            for answered in calls:
                now = time.monotonic()
                spent, told_at = now - told_at, now
                journal.append(row | {"seconds": round(spent / len(answered), 4)} for row, _ in answered)
                images.remove(sha256 for _, sha256 in answered if sha256)
                self._done = journal.done
                self._seconds_left = (now - began_at) / (self._done - first) * (self._of - self._done)
                self._show_progress()
        finally:
            self._stopped.set()
            calls.close()
            pictures.close()

    def _load(self, version: str) -> dict[str, Any]:
        return self._patiently(lambda: ml_client.version_load(version=version))

    def _store(self, name: str) -> _Picture:
        try:
            with self._source.open(name) as stream:
                return _Picture(name, self._images.store(stream))
        except ImportRefusedError as error:
            return _Picture(name, None, str(error))
        except (KeyError, OSError):
            return _Picture(name, None, "It is not there any more, or can't be read.")

    def _ask(self, pictures: Sequence[_Picture]) -> list[tuple[dict[str, Any], str]]:
        """A journal row for each picture, and its hash where it was stored."""
        stored = [picture.stored for picture in pictures if picture.stored]
        answers = {one.image: one for one in self._answers(stored)}
        return [self._row(picture, answers) for picture in pictures]

    def _row(self, picture: _Picture, answers: dict[str, ImagePrediction]) -> tuple[dict[str, Any], str]:
        stored = picture.stored
        if stored is None:
            return {"file": picture.name, "reason": picture.reason}, ""
        answer = answers[stored.sha256]
        if answer.failure and not self._stopped.is_set():
            # Another run that was done with the same picture may have taken it out: once more, with the file put back.
            again = self._store(picture.name).stored
            answer = self._answers([again])[0] if again else answer
        if answer.failure:
            return {"file": picture.name, "reason": answer.failure}, stored.sha256
        pairs = [self._pair(answer, concept) for concept in self._request.concepts]
        return {"file": picture.name, "width": stored.width, "height": stored.height, "pairs": pairs}, stored.sha256

    def _pair(self, answer: ImagePrediction, concept: str) -> dict[str, Any]:
        found = answer.concepts[concept]
        instances = []
        for one in found.instances:
            if one.score >= self._request.threshold:
                x0, y0, x1, y1 = rle_box_xyxy(one.mask)
                box = [x0, y0, x1 - x0, y1 - y0]
                instances.append({"score": one.score, "bbox": box, "segmentation": dict(one.mask)})
        return {"presence": found.presence, "instances": instances}

    def _answers(self, images: Sequence[StoredFile]) -> list[ImagePrediction]:
        if not images:
            return []
        request = self._request
        asked: dict[str, Any] = {"concepts": request.concepts, "score_threshold": request.threshold}
        return self._patiently(lambda: ml_client.predict(model_version=request.version, images=images, **asked))

    def _patiently(self, call: Callable[[], R]) -> R:
        try:
            return asked_patiently(call, wait=self._wait)
        except BackendError as error:
            raise BackendError(_words(error), code=error.code, http_status=error.http_status) from error

    def _wait(self, seconds: float, reason: BackendError) -> None:
        self._note = f"waiting for the ML backend: {_words(reason)}"
        try:
            if self._stopped.wait(seconds):
                raise JobCancelled("stopped") from reason
        finally:
            self._note = ""

    def _in_order(
        self, work: Callable[[T], R], items: Iterable[T], *, at_once: int, ahead: int, linger: bool = True
    ) -> Generator[R, None, None]:
        """Results in the order of the items, `at_once` of them made at a time, `ahead` begun before they are needed.

        Left early it waits for what is under way; with `linger` off, a call may end by itself.
        """
        begun: deque[Future[R]] = deque()
        pool = ThreadPoolExecutor(at_once)
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) >= ahead:
                    yield self._result(begun.popleft())
            while begun:
                yield self._result(begun.popleft())
        finally:
            pool.shutdown(wait=linger, cancel_futures=True)

    def _result(self, future: Future[R]) -> R:
        while not wait([future], PROGRESS_EVERY_SECONDS).done:
            self._show_progress()
        return future.result()

    def _show_progress(self) -> None:
        self._on_progress(self._done, self._of, self._note or "images", self._seconds_left)


def _words(error: BackendError) -> str:
    """Nobody sits at a desk here."""
    return str(error).removesuffix(ml_client.BY_HAND).strip()
