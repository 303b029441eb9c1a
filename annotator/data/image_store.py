"""Originals, byte for byte under their SHA-256, and the rows that know them.

They lie in IMAGES_DIR. With ROOST_IMAGES_BUCKET they lie in that bucket as well, before any row knows them, and the
folder is this machine's copy: what is not in it is fetched when it is asked for.
"""

import atexit
import errno
import hashlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import transaction

from annotator.common.active import concepts_active
from annotator.common.errors import ImportRefusedError, RoostError
from annotator.models import Image, Pair, Project
from toolbox.files import move_into_place

from . import buckets
from .image_files import CHUNK_BYTES, bucket_object, image_path, incoming_path
from .scenes import Newcomer, scene_index
from .split_plan import Placed, SplitPlan

PROBE_SECONDS = 20.0
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What the decoding child needs of the environment; no secret is among it.
CHILD_VARIABLES = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH")
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")


class DiskFullError(RoostError):
    """Not the image's fault: nothing more can be stored."""

    code = "disk_full"
    http_status = 507


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class StoredFile:
    """An accepted original. `width`, `height` after the EXIF transpose; `is_new`: its bytes were not here before.

    `look`: its perceptual hash (toolbox/pixels.py).
    """

    sha256: str
    bytes: int
    width: int
    height: int
    media_type: str
    is_new: bool
    look: str = ""
    captured_at: datetime | None = None


def image_file_store(*, stream: Readable, announce: Callable[[str], object] = lambda sha256: None) -> StoredFile:
    """Take a file in: hash while copying, decode in a child, move to its name. ImportRefusedError says why not.

    `announce` is told the hash before a file that was not here gets its name.
    """
    incoming = incoming_path()
    try:
        sha256, size = _copied(stream, incoming)
        found = _prober.probe(incoming)
        if "refused" in found:
            raise ImportRefusedError(found["refused"])
        is_new = _put_in_place(sha256, incoming, announce)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFullError(f"There is no room left in {settings.VAR_DIR}; free some, then start again.") from error
        raise
    finally:
        incoming.unlink(missing_ok=True)
    return StoredFile(sha256=sha256, bytes=size, is_new=is_new, **found)


def image_look(path: Path) -> str:
    """The perceptual hash of a stored file, by the decoding child; ImportRefusedError where it can't be decoded."""
    found = _prober.probe(path)
    if "refused" in found:
        raise ImportRefusedError(found["refused"])
    return found["look"]


def _put_in_place(sha256: str, incoming: Path, announce: Callable[[str], object]) -> bool:
    """Here and, if there is one, in the bucket; whether it was in neither."""
    target = image_path(sha256)
    here, there = target.exists(), _in_bucket(sha256)
    if not (here or there):
        announce(sha256)
    if not here:
        move_into_place(incoming, target)
    if settings.IMAGES_BUCKET and not there:
        place, key = bucket_object(sha256)
        buckets.object_put(place, key, target)
    return not (here or there)


def _in_bucket(sha256: str) -> bool:
    return bool(settings.IMAGES_BUCKET) and buckets.object_exists(*bucket_object(sha256))


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
    """

    stored: StoredFile
    name: str
    source: str = ""
    split: str | None = None
    strata: tuple[str, ...] = ()


@transaction.atomic
def image_rows_add(
    *, project: Project, images: Sequence[NewImage], plan: SplitPlan | None = None
) -> dict[str, tuple[Image, bool]]:
    """Rows for stored files, and an unseen pair for each of the project's concepts: {sha256: (row, is new here)}.

    `plan`: the import's, where one adds image after image.
    """
    wanted = {new.stored.sha256: new for new in reversed(images)}
    known = {row.sha256: row for row in project.images.filter(sha256__in=wanted)}
    fresh = {sha256: new for sha256, new in wanted.items() if sha256 not in known}
    places = (plan or SplitPlan(project=project)).place([_newcomer(new) for new in fresh.values()]) if fresh else {}
    created = Image.objects.bulk_create([_row(project, new, places[sha256]) for sha256, new in fresh.items()])
    concepts = list(concepts_active(project=project).values_list("pk", flat=True))
    pairs = [Pair(project=project, image=row, concept_id=concept) for row in created for concept in concepts]
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
        scene=place.scene,
        split=place.split,
    )


def _source(new: NewImage) -> str:
    return printable(new.source)[:80]


def printable(name: str) -> str:
    """A name from outside as one line of text; it is only ever shown, never used as a path."""
    return "".join(character if character.isprintable() else "�" for character in name).strip()


def _copied(stream: Readable, target: Path) -> tuple[str, int]:
    """Copy while hashing; refuses before the first byte is written what cannot be an image at all."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            if not size and not chunk.startswith(MAGIC):
                raise ImportRefusedError("It is no image that Roost reads (JPEG, PNG, WEBP, BMP, TIFF).")
            size += len(chunk)
            if size > settings.MAX_UPLOAD_BYTES:
                raise ImportRefusedError(f"It is larger than the {settings.MAX_UPLOAD_BYTES:,} bytes allowed.")
            digest.update(chunk)
            file.write(chunk)
    if not size:
        raise ImportRefusedError("The file is empty.")
    return digest.hexdigest(), size


class _Prober:
    """One decoding child for this process, started when first needed and anew after it had to be killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen | None = None

    def probe(self, path: Path) -> dict:
        """The child's answer; a refusal when it died over the file or took too long."""
        with self._lock:
            was_running = self._child is not None
            line = self._ask(path)
            if not line and was_running:  # it may have died before; a fresh child's death is the file's doing
                line = self._ask(path)
            if not line:
                return {"refused": "It could not be decoded within the time and memory allowed."}
            return json.loads(line)

    def _ask(self, path: Path) -> bytes:
        """The child's line; empty when it died or took too long, and then it is gone."""
        child = self._started()
        assert child.stdin is not None
        request = {"path": str(path), "max_pixels": settings.MAX_IMAGE_PIXELS}
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            line = self._answer(child)
        except BrokenPipeError:
            line = b""
        if not line:
            self.stop()
        return line

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _started(self) -> subprocess.Popen:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "annotator.data.image_probe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=settings.BASE_DIR,
                env={name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ},
                start_new_session=True,
            )
        return self._child

    @staticmethod
    def _answer(child: subprocess.Popen) -> bytes:
        assert child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            return child.stdout.readline() if selector.select(PROBE_SECONDS) else b""


_prober = _Prober()
atexit.register(_prober.stop)
