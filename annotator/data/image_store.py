"""Originals, byte for byte under their SHA-256, and the rows that know them.

They lie in IMAGES_DIR. With ROOST_IMAGES_BUCKET they lie in that bucket as well, before any row knows them, and the
folder is this machine's copy: what is not in it is fetched when it is asked for.
"""

import errno
import hashlib
import os
import unicodedata
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

from django.conf import settings
from django.db import transaction

from annotator.common.active import concepts_active
from annotator.common.errors import ImportRefusedError, RoostError
from annotator.models import Image, Job, Pair, Project
from toolbox.files import all_moved_into_place
from toolbox.pixels import FORMATS, is_like_image

from . import buckets
from .decoders import decoders
from .image_files import CHUNK_BYTES, bucket_object, image_path, incoming_folder, incoming_path
from .image_restore import images_restore
from .scenes import Newcomer, scene_index
from .split_plan import Placed, SplitPlan

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
Announce = Callable[[str], object]


class DiskFullError(RoostError):
    """Not the image's fault: nothing more can be stored."""

    code = "disk_full"
    http_status = 507


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class StoredFile:
    """An accepted original. `width`, `height` of the upright picture; `is_new`: its bytes were not here before.

    `captured_at`: by EXIF, in UTC where the camera named no offset. `look`: toolbox.pixels.look_of.
    """

    sha256: str
    bytes: int
    width: int
    height: int
    media_type: str
    is_new: bool
    look: str = ""
    captured_at: datetime | None = None


def image_file_store(*, stream: Readable, announce: Announce = lambda sha256: None) -> StoredFile:
    """Take a file in: hash while copying, decode in a child, move to its name. ImportRefusedError says why not.

    `announce` is told the hash before a file that was not here gets its name.
    """
    with _room_told(), _Intake(announce) as intake:
        intake.take(lambda: nullcontext(stream))
        stored = intake.settled()[0]
    if isinstance(stored, ImportRefusedError):
        raise stored
    return stored


def image_files_store(
    *,
    openers: Sequence[Callable[[], AbstractContextManager[Readable]]],
    announce: Announce = lambda sha256: None,
    on_read: Callable[[int], object] = lambda done: None,
) -> list[StoredFile | ImportRefusedError]:
    """Many files at once, in their order: each stored, or why not; `on_read` may raise: then none of them is stored."""
    return next(image_batches_store(batches=[openers], announce=announce, on_read=on_read))


def image_batches_store(
    *,
    batches: Iterable[Sequence[Callable[[], AbstractContextManager[Readable]]]],
    announce: Announce = lambda sha256: None,
    on_read: Callable[[int], object] = lambda done: None,
) -> Generator[list[StoredFile | ImportRefusedError], None, None]:
    """Batch after batch, in their order: each file stored, or why not. A batch is what one commit of rows will hold.

    While one file is copied, those before it are decoded by several children; the disk is asked to hold all of a batch.
    One batch is read ahead, so that the children have work while the caller writes rows. `on_read` is told how many
    were read so far, and may raise to stop: then what was not yielded is not stored. Close it when you stop early.
    """
    done = 0
    with _room_told(), ExitStack() as ahead:
        before: _Intake | None = None
        for openers in batches:
            with ExitStack() as now:
                intake = now.enter_context(_Intake(announce))
                for opener in openers:
                    intake.take_or_refuse(opener)
                    on_read(done := done + 1)
                if before:
                    yield before.settled()
                    ahead.close()
                before = intake
                ahead.push(now.pop_all())
        if before:
            yield before.settled()


class _Intake:
    """Files on their way in, each below a name of its own until all of them are known to be good."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._entries: list[_Entry | ImportRefusedError] = []
        self._incoming: list[Path] = []
        self._folder = incoming_folder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        wait(entry.found for entry in self._entries if isinstance(entry, _Entry))  # children still read them
        for path in self._incoming:
            path.unlink(missing_ok=True)

    def take(self, opener: Callable[[], AbstractContextManager[Readable]]) -> None:
        incoming = self._folder / uuid.uuid4().hex
        self._incoming.append(incoming)
        try:
            with opener() as stream:
                sha256, size = stream_copied(stream, incoming)
        except ImportRefusedError as refused:
            incoming.unlink(missing_ok=True)
            self._entries.append(refused)
        else:
            self._entries.append(_Entry(sha256, size, incoming, decoders.probe_started(incoming)))

    def take_or_refuse(self, opener: Callable[[], AbstractContextManager[Readable]]) -> None:
        try:
            self.take(opener)
        except (KeyError, OSError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise
            self._entries.append(ImportRefusedError("It is not there, or can't be read."))

    def settled(self) -> list[StoredFile | ImportRefusedError]:
        """What became of each; those that are good have their names, and have them after a power cut as well."""
        refused = {n: entry for n, entry in enumerate(self._entries) if isinstance(entry, ImportRefusedError)}
        entries = {n: entry for n, entry in enumerate(self._entries) if isinstance(entry, _Entry)}
        for n, entry in entries.items():
            if "refused" in (found := entry.found.result()):
                refused[n] = ImportRefusedError(found["refused"])
        good = {entry.sha256: entry for n, entry in reversed(entries.items()) if n not in refused}
        new = _put_in_place({sha256: entry.incoming for sha256, entry in good.items()}, self._announce)
        firsts = {good[sha256] for sha256 in new}
        return [
            refused[n] if n in refused else entries[n].stored(is_new=entries[n] in firsts)
            for n in range(len(self._entries))
        ]


@dataclass(frozen=True, eq=False)
class _Entry:
    sha256: str
    bytes: int
    incoming: Path
    found: "Future[dict[str, Any]]"

    def stored(self, *, is_new: bool) -> StoredFile:
        found = dict(self.found.result())
        taken = found.pop("captured_at")
        return StoredFile(
            sha256=self.sha256,
            bytes=self.bytes,
            is_new=is_new,
            captured_at=datetime.fromisoformat(taken) if taken else None,
            **found,
        )


@contextmanager
def _room_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFullError(f"There is no room left in {settings.VAR_DIR}; free some, then start again.") from error
        raise


def _put_in_place(files: dict[str, Path], announce: Announce) -> set[str]:
    """Here and, if there is one, in the bucket; those that were in neither."""
    absent_here = {sha256: path for sha256, path in files.items() if not image_path(sha256).exists()}
    absent_there = {sha256 for sha256 in files if settings.IMAGES_BUCKET and not _in_bucket(sha256)}
    new = {sha256 for sha256 in absent_here if not settings.IMAGES_BUCKET or sha256 in absent_there}
    for sha256 in new:
        announce(sha256)
    all_moved_into_place({path: image_path(sha256) for sha256, path in absent_here.items()})
    for sha256 in absent_there:
        place, key = bucket_object(sha256)
        buckets.object_put(place, key, image_path(sha256))
    return new


def _in_bucket(sha256: str) -> bool:
    return bool(settings.IMAGES_BUCKET) and buckets.object_exists(*bucket_object(sha256))


def image_look(path: Path) -> str:
    """The perceptual hash of a stored file, by the decoding child; ImportRefusedError where it can't be decoded."""
    found = decoders.probe_started(path).result()
    if "refused" in found:
        raise ImportRefusedError(found["refused"])
    return found["look"]


def image_file_remove(sha256: str, *, is_wanted: Callable[[], bool]) -> bool:
    """Take a file out, here and in the bucket, and put it back if somebody wants it by then; whether it is gone."""
    target, aside = image_path(sha256), incoming_path()
    try:
        os.replace(target, aside)
    except FileNotFoundError:
        return True
    place_key = bucket_object(sha256) if settings.IMAGES_BUCKET else None
    if place_key:
        buckets.object_delete(*place_key)
    if is_wanted():
        os.replace(aside, target)
        if place_key:
            buckets.object_put(*place_key, target)
        return False
    aside.unlink()
    return True


def image_add(
    *, project: Project, stream: Readable, name: str, source: str = "", split: str | None = None
) -> tuple[Image, bool]:
    """Store one image and its row; (row, False) when the project has these very bytes already."""
    stored = image_file_store(stream=stream)
    new = NewImage(stored=stored, name=name, source=source, split=split)
    plan = SplitPlan(project=project, index=scene_index(project=project))
    return image_rows_add(project=project, images=[new], plan=plan)[stored.sha256]


@dataclass(frozen=True)
class NewImage:
    """A stored file that is to become a project's image; no split: decided for its scene (split_plan.py).

    `strata`: what is known to be on it (split_plan.strata_of), so that every split gets its share of that.
    `settled`: the columns of its pairs that are settled from the start, by concept; `job`: the import that brings it.
    """

    stored: StoredFile
    name: str
    source: str = ""
    split: str | None = None
    strata: tuple[str, ...] = ()
    settled: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    job: Job | None = None


@transaction.atomic
def image_rows_add(
    *, project: Project, images: Sequence[NewImage], plan: SplitPlan | None = None
) -> dict[str, tuple[Image, bool]]:
    """Rows for stored files, and a pair for each of the project's concepts: {sha256: (row, is new here)}.

    `plan`: the import's, where one adds image after image.
    """
    wanted = {new.stored.sha256: new for new in reversed(images)}
    known = {row.sha256: row for row in Image.with_trash.filter(project=project, sha256__in=wanted)}
    if removed := [row.pk for row in known.values() if row.removed_at]:
        images_restore(project=project, images=removed)
    fresh = {sha256: new for sha256, new in wanted.items() if sha256 not in known}
    places = (plan or SplitPlan(project=project)).place([_newcomer(new) for new in fresh.values()]) if fresh else {}
    created = Image.objects.bulk_create([_row(project, new, places[sha256]) for sha256, new in fresh.items()])
    concepts = list(concepts_active(project=project).values_list("pk", flat=True))
    pairs = [
        Pair(project=project, image=row, concept_id=concept, **fresh[row.sha256].settled.get(concept, {}))
        for row in created
        for concept in concepts
    ]
    Pair.objects.bulk_create(pairs)
    return {**{sha: (row, False) for sha, row in known.items()}, **{row.sha256: (row, True) for row in created}}


def _newcomer(new: NewImage) -> Newcomer:
    stored = new.stored
    return Newcomer(
        stored.sha256, printable(new.name), stored.look, stored.captured_at, _source(new), new.split, new.strata
    )


def _row(project: Project, new: NewImage, place: Placed) -> Image:
    return Image(
        project=project,
        sha256=new.stored.sha256,
        width=new.stored.width,
        height=new.stored.height,
        media_type=new.stored.media_type,
        bytes=new.stored.bytes,
        original_name=printable(new.name)[:255] or "unnamed",
        source=_source(new),
        look=new.stored.look,
        captured_at=new.stored.captured_at,
        added_by_import=new.job,
        scene=place.scene,
        split=place.split,
    )


def _source(new: NewImage) -> str:
    return printable(new.source)[:80]


def printable(name: str) -> str:
    """A name from outside as one line of text, composed; it is only ever shown, never used as a path."""
    composed = unicodedata.normalize("NFC", name)
    return "".join(character if character.isprintable() else "�" for character in composed).strip()


def stream_copied(stream: Readable, target: Path) -> tuple[str, int]:
    """Copy while hashing; refuses before the first byte is written what cannot be an image at all."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            if not size and not is_like_image(chunk):
                raise ImportRefusedError(f"It is no image that Roost reads ({', '.join(FORMATS)}).")
            size += len(chunk)
            if size > settings.MAX_UPLOAD_BYTES:
                raise ImportRefusedError(f"It is larger than the {settings.MAX_UPLOAD_BYTES:,} bytes allowed.")
            digest.update(chunk)
            file.write(chunk)
    if not size:
        raise ImportRefusedError("The file is empty.")
    return digest.hexdigest(), size
