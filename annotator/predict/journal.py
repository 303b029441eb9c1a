"""What a model said of a source's pictures: written down while it comes, then as SA-Co documents.

The journal holds a line an image in the order of the names, so that a stopped run goes on behind its last whole line,
and the documents come out the same byte for byte. Nothing here grows with the number of images but files.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from annotator.common.errors import ConflictError, RoostError
from toolbox.files import written_whole

JOURNAL = ".journal.jsonl"
PAIRS, PREDICTIONS, MANIFEST = "pairs.json", "predictions.json", "manifest.json"
DOCUMENTS = (PAIRS, PREDICTIONS, MANIFEST)


@dataclass(frozen=True)
class JournalHeader:
    """What is asked: a journal with one header is never gone on with for another. `names_hash`: of all file names."""

    source: str
    model_version: str
    weights_hash: str
    concepts: list[str]
    threshold: float
    images: int
    names_hash: str


def names_hash(names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


class Journal:
    """Open for one writer at a time. `done`: how many images are in it."""

    def __init__(self, folder: Path, header: JournalHeader) -> None:
        self._path, self.header, self.done = folder / JOURNAL, header, 0
        with _disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self._path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConflictError(f"Another run writes to {folder} now; wait for it.", code="already_running") from error
        try:
            self._go_on(folder)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # what a full disk does not take is asked for again
            self._file.close()

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        with _disk_errors(self._path):
            for row in rows:
                self._file.write(_line(row))
                self.done += 1
            self._file.flush()

    def rows(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            next(file)
            yield from map(json.loads, file)

    def delete(self) -> None:
        self._path.unlink()

    def _go_on(self, folder: Path) -> None:
        """Count the whole lines and cut off what a killed run left half-written."""
        self._file.seek(0)
        header, end = _whole(self._file.readline()), 0
        if header is None:
            self._file.truncate(0)
            self._file.write(_line(asdict(self.header)))
            self._file.flush()
            return
        self._check(header, folder)
        end = self._file.tell()
        while _whole(line := self._file.readline()) is not None:
            self.done += 1
            end += len(line)
        self._file.truncate(end)
        self._file.seek(end)

    def _check(self, header: dict[str, Any], folder: Path) -> None:
        wanted = asdict(self.header)
        other = [name for name, value in wanted.items() if header.get(name) != value]
        if {"images", "names_hash"} & set(other):
            other = [name for name in other if name not in ("images", "names_hash")] + ["files in the source"]
        if other:
            words = f"{folder} holds a half-done prediction of other {', '.join(other).replace('_', ' ')}."
            words += f" Finish that one with its own options, or delete {folder / JOURNAL} to begin anew."
            raise ConflictError(words, code="half_done")


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _whole(line: bytes) -> dict[str, Any] | None:
    """A line that was written to its end; after a power cut that may be false of the last ones."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def documents_write(journal: Journal, folder: Path, *, not_pictures: int) -> dict[str, Any]:
    """The documents from a journal that is complete; the manifest last: where it lies, the others are whole."""
    (folder / MANIFEST).unlink(missing_ok=True)
    opening, closing = '{"images": [', '], "annotations": [], "categories": [{"id": 1, "name": "object"}]}\n'
    files = {
        PAIRS: _write_list(folder / PAIRS, opening, _pair_rows(journal), closing),
        PREDICTIONS: _write_list(folder / PREDICTIONS, "[", _prediction_rows(journal), "]\n"),
    }
    question = {name: value for name, value in asdict(journal.header).items() if name not in ("images", "names_hash")}
    manifest = {"made_by": "Roost", **question, **_totals(journal, not_pictures), "sha256": files}
    _write(folder / MANIFEST, lambda file: file.write(json.dumps(manifest, indent=1) + "\n"))
    return manifest


def _totals(journal: Journal, not_pictures: int) -> dict[str, Any]:
    """Counts, the seconds of all its runs together, and what was refused."""
    pairs = instances = 0
    seconds, refused = 0.0, []
    for row in journal.rows():
        seconds += row["seconds"]
        pairs += len(row.get("pairs", ()))
        instances += sum(len(pair["instances"]) for pair in row.get("pairs", ()))
        if "reason" in row:
            refused.append({"file": row["file"], "reason": row["reason"]})
    counts = {"images": journal.done, "pairs": pairs, "instances": instances, "refused": len(refused)}
    counts["not_pictures"] = not_pictures
    return {"counts": counts, "seconds": round(seconds, 1), "refused": refused}


def _pair_rows(journal: Journal) -> Iterator[dict[str, Any]]:
    """A row an image and concept; presence is the model's, and nobody vouches that its instances are all."""
    number = 0
    for row in journal.rows():
        for category, pair in enumerate(row.get("pairs", ())):
            number += 1
            yield {
                "id": number,
                "file_name": row["file"],
                "text_input": journal.header.concepts[category],
                "width": row["width"],
                "height": row["height"],
                "queried_category": str(category + 1),
                "is_instance_exhaustive": 0,
                "is_pixel_exhaustive": 0,
                "presence": pair["presence"],
            }


def _prediction_rows(journal: Journal) -> Iterator[dict[str, Any]]:
    """COCO results, as the trainer's and the official evaluation's; `image_id` is a pair's id."""
    number = 0
    for row in journal.rows():
        for pair in row.get("pairs", ()):
            number += 1
            yield from ({"image_id": number, "category_id": 1, **instance} for instance in pair["instances"])


def _write_list(path: Path, opening: str, rows: Iterable[dict[str, Any]], closing: str) -> str:
    """One row after the other, in the letters of json.dumps of the whole; the file's SHA-256."""

    def write(file: IO[str]) -> None:
        file.write(opening)
        for number, row in enumerate(rows):
            file.write((", " if number else "") + json.dumps(row))
        file.write(closing)

    _write(path, write)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, write: Callable[[IO[str]], object]) -> None:
    """Wholly or not at all."""
    with _disk_errors(path), written_whole(path, alone=True) as beside, beside.open("w") as file:
        write(file)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """What the disk refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise RoostError(f"{path} can't be written: {error.strerror}.", code="disk_full", http_status=507) from error
