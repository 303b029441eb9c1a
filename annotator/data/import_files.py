"""The files of a source that an import takes in, with what documents say of them."""

from collections.abc import Callable

from toolbox.pixels import IMAGE_ENDINGS

from .formats.records import Problem
from .import_documents import Gathered, documents_gathered
from .import_negatives import NegativeWishes, Offer, negatives_gathered
from .sources import ImportSource

NEITHER = "It is not named like an image (.jpg, .png, .webp, .bmp, .tif), and no document of annotations."


def files_gathered(
    source: ImportSource,
    kind: str,
    wishes: NegativeWishes,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Gathered, list[str], list[Offer]]:
    """What documents and the importer say, and the files to take in, in the order of their names; what is neither is
    a problem. Besides, what may be meant as negatives.

    A file with no image's ending may be one all the same, and is taken if a document lists it.
    """
    pictures = [name for name in source.names if name.lower().endswith(IMAGE_ENDINGS)]
    gathered = Gathered() if kind == "images" else documents_gathered(source, on_progress)
    offers = negatives_gathered(source, gathered, wishes, only_listed=kind == "coco")
    files = sorted({*gathered.words, *(() if kind == "coco" else pictures)})
    others = set(source.names) - set(pictures) - set(files) - gathered.used if kind != "coco" else set()
    gathered.problems += [Problem(name, NEITHER) for name in sorted(others)]
    return gathered, files, offers
