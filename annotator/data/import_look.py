"""A look at what an import would do: what the files are, which class would be which concept, what would be written.

Nothing is stored but sample pictures for the page; sizes are the documents' own, or the picture's where they give none.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from PIL import Image as Pixels

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import decode_rle
from annotator.concepts.selectors import concepts_by_name, plain_name
from annotator.jobs.services import JobContext
from annotator.models import Concept, Job
from toolbox.pixels import pixels_read

from .decoders import decoders
from .formats.documents import Document, Size
from .formats.records import ImageRecord, Problem
from .image_files import incoming_path
from .image_store import stream_copied
from .import_documents import Word
from .import_files import files_gathered
from .import_report import Tally
from .import_truth import LEAVE_OUT
from .sources import ImportSource
from .verdicts import ONLY_BOXES, UNDECIDED, Classes, Mention, Verdict, Vouch, below_of, verdicts_of

SAMPLES, SAMPLE_SIDE_PX = 8, 480
TINTS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))


def samples_folder(job: Job) -> Path:
    return settings.IMPORTS_DIR / f"{job.pk}-look"


def import_look(context: JobContext, source: ImportSource) -> dict[str, Any]:
    """The report of a dry run: `documents`, `classes`, `counts` of pairs by what would become of them, `samples`."""
    tally = Tally()
    tally.add_problems(source.problems)
    gathered, files = files_gathered(source, context.job.params["kind"])
    tally.add_problems(gathered.problems)
    tally.add_problems(Problem(word.listed.file_name, word.why) for word in gathered.elsewhere)
    rows = classes_proposed(gathered.documents, context.job)
    counts, samples = _Look(context, source, gathered.documents, rows).over(files, gathered.words, tally)
    return {
        "look": True,
        "documents": [_document(one) for one in gathered.documents],
        "classes": rows,
        "pictures": len(files),
        "pictures_without_word": len([file for file in files if file not in gathered.words]),
        "counts": counts,
        "samples": samples,
        **{key: value for key, value in tally.as_report().items() if "problem" in key},
    }


def classes_proposed(documents: Sequence[Document], job: Job) -> list[dict[str, Any]]:
    """A row a class. `how`: decided, left out, concept, synonym, new, alike (a proposal), or undecided."""
    decided, create = job.params.get("classes", {}), job.params["create_concepts"]
    known = concepts_by_name(project=job.project)
    counts: Counter[str] = sum((document.counts for document in documents), Counter())
    names = dict.fromkeys(one.name for document in documents for one in document.categories)
    return [{"name": name, "count": counts[name], **_matched(name, known, decided, create)} for name in names]


def _matched(name: str, known: Mapping[str, Concept], decided: Mapping[str, str], create: bool) -> dict[str, str]:
    if name in decided:
        return {"concept": decided[name], "how": "left out" if decided[name] == LEAVE_OUT else "decided"}
    concept = known.get(plain_name(name))
    if concept:
        return {"concept": concept.name, "how": "concept" if plain_name(name) == concept.name else "synonym"}
    if alike := next((one for plain, one in known.items() if _singular(plain) == _singular(plain_name(name))), None):
        return {"concept": alike.name, "how": "alike"}
    return {"concept": plain_name(name) if create else "", "how": "new" if create else "undecided"}


def _singular(plain: str) -> str:
    """Good enough to propose: fuse neutrals and fuse neutral, boxes and box, flies and fly."""
    for ending, other in (("ies", "y"), ("ses", "s"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", "")):
        if plain.endswith(ending) and len(plain) > len(ending) + 2 and not plain.endswith("ss"):
            return plain.removesuffix(ending) + other
    return plain


def look_classes(rows: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> Classes[str]:
    """As the page offers them: proposals are taken, since its button takes them up."""
    taken = ("decided", "concept", "synonym", "new", "alike")
    mapped = {row["name"]: row["concept"] for row in rows if row["how"] in taken}
    left_out = {row["name"] for row in rows if row["how"] == "left out"}
    undecided = [row["name"] for row in rows if row["name"] not in mapped and row["name"] not in left_out]
    below = below_of(one for document in documents for one in document.categories)
    return Classes(mapped, left_out, undecided, below)


class _Look:
    """Reads every picture's words once, and counts the verdicts."""

    def __init__(
        self, context: JobContext, source: ImportSource, documents: Sequence[Document], rows: Sequence[dict]
    ) -> None:
        params = context.job.params
        self._context, self._source = context, source
        self._classes = look_classes(rows, documents)
        self._vouch = Vouch(params.get("complete", False), params["exhaustive"])
        self._judges = {id(one): frozenset(category.name for category in one.categories) for one in documents}

    def over(
        self, files: Sequence[str], words: Mapping[str, list[Word]], tally: Tally
    ) -> tuple[dict[str, int], list[dict[str, Any]]]:
        counts = Counter(present=0, instances=0, not_exhaustive=0, absent=0, withheld=0, boxes=0, left_open=0)
        samples: list[dict[str, Any]] = []
        folder = samples_folder(self._context.job)
        shutil.rmtree(folder, ignore_errors=True)
        for number, file in enumerate(files):
            self._context.progress_of(number, len(files), "pictures looked at")
            if file not in words:
                continue
            mentions = self._mentions(file, words[file], tally)
            for verdict in verdicts_of(mentions, self._classes, self._vouch).values():
                _count(verdict, counts)
            records = [mention.record for mention in mentions]
            if len(samples) < SAMPLES and any(record.instances for record in records):
                samples += self._sample(file, records, folder, len(samples))
        return dict(counts), samples

    def _mentions(self, file: str, words: Sequence[Word], tally: Tally) -> list[Mention]:
        mentions = []
        for word in words:
            judges = self._judges[id(word.document)]
            if size := word.listed.size_px or self._size(file):
                record, problems = word.document.read(word.listed, size)
                tally.add_problems(problems)
                if word.in_doubt:
                    record = ImageRecord(record.file_name, *size, unsure=set(judges))
                mentions.append(Mention(word.listed, record, judges))
        return mentions

    def _size(self, file: str) -> Size | None:
        with self._probed(file) as (_, found):
            return (found["width"], found["height"]) if found else None

    @contextmanager
    def _probed(self, file: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A copy of the file, and what the decoding child says of it; nothing where the import would refuse it.

        The import itself says what is wrong with such a file.
        """
        incoming = incoming_path()
        try:
            with self._source.open(file) as stream:
                stream_copied(stream, incoming)
            found = decoders.probe_started(incoming).result()
        except (ImportRefusedError, KeyError, OSError):
            found = {"refused": ""}
        try:
            yield incoming, {} if "refused" in found else found
        finally:
            incoming.unlink(missing_ok=True)

    def _pixels(self, file: str) -> np.ndarray | None:
        with self._probed(file) as (path, found):
            return pixels_read(path, max_pixels=settings.MAX_IMAGE_PIXELS) if found else None

    def _sample(self, file: str, records: Sequence[ImageRecord], folder: Path, number: int) -> list[dict[str, Any]]:
        pixels = self._pixels(file)
        if pixels is None:
            return []
        names = list(dict.fromkeys(one.category for record in records for one in record.instances))
        shown = pixels.astype(np.float32)
        for one in (one for record in records for one in record.instances):
            mask = decode_rle(one.mask)
            if mask.shape == shown.shape[:2]:
                shown[mask] = 0.5 * shown[mask] + 0.5 * np.array(TINTS[names.index(one.category) % len(TINTS)])
        picture = Pixels.fromarray(shown.astype(np.uint8))
        picture.thumbnail((SAMPLE_SIDE_PX, SAMPLE_SIDE_PX))
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{number}.webp", "WEBP", quality=80)
        return [{"file": file[-200:], "classes": names}]


def _count(verdict: Verdict, counts: Counter[str]) -> None:
    if verdict.truth == "present":
        counts.update(present=1, instances=len(verdict.instances), not_exhaustive=int(not verdict.is_exhaustive))
    elif verdict.truth == "absent":
        counts["absent"] += 1
    else:
        counts[{UNDECIDED: "withheld", ONLY_BOXES: "boxes"}.get(verdict.why, "left_open")] += 1


def _document(document: Document) -> dict[str, Any]:
    return {
        "where": document.where,
        "format": document.format,
        "images": len(document.images),
        "annotations": document.counts.total(),
        "classes": len(document.categories),
    }
