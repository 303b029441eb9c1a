"""CGF1 of a file of predictions against one or more SA-Co documents: what `python -m training.cgf1` does.

The official evaluator passes over much in silence: a category that no document lists, a mask of another size, a pair
that is not exhaustive by mistake. Here that is refused by file and row. --as-official answers as it does. Under
`measures` stands what `measures.json` of an evaluation holds; --figures-only leaves it out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from training import cgf1
from training.masks import MaskError
from training.measures import measured
from training.measures.groups import one_sided

Row = dict[str, Any]


class Fault(ValueError):
    """What is wrong with a file, in a sentence that names it and the row."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 with one JSON object on stdout, or 2 with a sentence on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        told = answer(asked.gt, asked.pred, asked.iou_type, as_official=asked.as_official)
        if not asked.as_official and not asked.figures_only:
            told |= measures(asked.gt, asked.pred, asked.iou_type, asked.rows, asked.keep_score)
        print(json.dumps(told, indent=1))
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 2
    return 0


def answer(gts: Sequence[str], pred: str, iou_type: str, *, as_official: bool) -> dict[str, Any]:
    """The 26 official figures, and whether a gate could judge by these pairs: `gateable` and `reason`."""
    documents, predictions = [_read(path) for path in gts], _read(pred)
    if not as_official:
        for fault in _faults(dict(zip(gts, documents, strict=True)), pred, predictions, iou_type):
            raise Fault(fault)
    try:
        result = cgf1.evaluate(documents, predictions, iou_type)
    except (AssertionError, KeyError, TypeError, ValueError, MaskError) as error:
        missing = f"a row lacks the key {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise Fault(f"These files cannot be judged, by the official evaluator either: {missing}.") from None
    reason = _not_gateable(result.pairs)
    return {**result.metrics, "gateable": reason is None, "reason": reason}


def measures(
    gts: Sequence[str], pred: str, iou_type: str, rows: str | None, keep_score: float | None = None
) -> dict[str, Any]:
    """`measures` of files that `answer` has accepted, or null and why under `measures_reason`."""
    if iou_type != "segm":
        return {"measures": None, "measures_reason": "They are made of masks: ask with --iou-type segm."}
    if len(gts) > 1:
        return {"measures": None, "measures_reason": "They are made of one truth a pair: give one --gt."}
    document, predictions = _read(gts[0]), _read(pred)
    presence = _presence(rows, document) if rows else None
    if keep_score is None:
        keep_score = min([cgf1.SCORE_THRESHOLD, *(row["score"] for row in predictions)])
    try:
        return {"measures": measured(document, predictions, presence=presence, keep_score=keep_score)}
    except MaskError as error:
        raise Fault(f"The measures cannot be made of {gts[0]} and {pred}: {error}.") from None


def _presence(path: str, document: Row) -> dict[Any, float]:
    rows = _read(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
        raise Fault(f"{path} must be a list of JSON objects with an id and a presence, as rows.json of an evaluation.")
    found = {row["id"]: row.get("presence") for row in rows}
    for row in document["images"]:
        if row["is_instance_exhaustive"] and not _is_number(found.get(row["id"])):
            raise Fault(f"{path} has no presence for the pair {row['id']!r}.")
    return found


def _not_gateable(pairs: cgf1.PairCounts) -> str | None:
    positives = int(pairs.is_positive_P.sum())
    negatives = len(pairs) - positives
    return None if positives and negatives else one_sided(positives, negatives)


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise Fault(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise Fault(f"{path} is no JSON: {error}.") from None


def _faults(documents: dict[str, Any], pred: str, predictions: Any, iou_type: str) -> Iterator[str]:
    sizes: dict[str, dict[Any, tuple[int, int]]] = {}
    categories: dict[str, set[Any]] = {}
    for path, document in documents.items():
        yield from _faults_of_shape(path, document)
        yield from _faults_of_images(path, document["images"])
        sizes[path] = {row["id"]: (row["height"], row["width"]) for row in document["images"]}
        categories[path] = {row.get("id") for row in document["categories"]}
        yield from _faults_of_truth(path, document["annotations"], sizes[path], categories[path], iou_type)
    first = next(iter(documents))
    yield from _faults_of_pairs(sizes, first)
    yield from _faults_of_predictions(pred, predictions, sizes[first], categories[first], iou_type)


def _faults_of_shape(path: str, document: Any) -> Iterator[str]:
    for key in ("images", "annotations", "categories"):
        rows = document.get(key) if isinstance(document, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            yield f"{path} needs a list '{key}' of JSON objects: a SA-Co document has images, annotations, categories."


def _faults_of_images(path: str, images: list[Row]) -> Iterator[str]:
    seen: set[Any] = set()
    for index, row in enumerate(images):
        where = f"{path}: images[{index}]"
        lacking = [key for key in ("id", "width", "height", "is_instance_exhaustive") if key not in row]
        if lacking:
            yield f"{where} lacks {', '.join(lacking)}."
        if row["id"] in seen:
            yield f"{where} repeats the id {row['id']!r}: the later pair would take the earlier one's place."
        seen.add(row["id"])
        if row["is_instance_exhaustive"] not in (0, 1, False, True):
            yield f"{where} has is_instance_exhaustive {row['is_instance_exhaustive']!r}: it is 0 or 1."


def _faults_of_truth(
    path: str, rows: list[Row], sizes: dict[Any, tuple[int, int]], categories: set[Any], iou_type: str
) -> Iterator[str]:
    ids: set[Any] = set()
    for index, row in enumerate(rows):
        where = f"{path}: annotations[{index}]"
        yield from _faults_of_row(where, row, sizes, categories, iou_type, needs=("id", "iscrowd"))
        if row["id"] in ids:
            yield f"{where} repeats the id {row['id']!r}: one of the two would be passed over."
        ids.add(row["id"])


def _faults_of_predictions(
    path: str, rows: Any, sizes: dict[Any, tuple[int, int]], categories: set[Any], iou_type: str
) -> Iterator[str]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        yield f"{path} must be a list of JSON objects, COCO results."
        return
    for index, row in enumerate(rows):
        where = f"{path}: [{index}]"
        yield from _faults_of_row(where, row, sizes, categories, iou_type, needs=("score",))
        if not _is_number(row["score"]):
            yield f"{where} has the score {row['score']!r}: it must be a number."


def _faults_of_row(
    where: str,
    row: Row,
    sizes: dict[Any, tuple[int, int]],
    categories: set[Any],
    iou_type: str,
    *,
    needs: tuple[str, ...],
) -> Iterator[str]:
    shape = "segmentation" if iou_type == "segm" else "bbox"
    lacking = [key for key in (*needs, "image_id", "category_id", shape) if key not in row]
    if lacking:
        yield f"{where} lacks {', '.join(lacking)}."
    if row["image_id"] not in sizes:
        yield f"{where} is of image_id {row['image_id']!r}, which is no pair of the document."
    if row["category_id"] not in categories:
        yield (
            f"{where} has category_id {row['category_id']!r}, which the document does not list: the official evaluator "
            "would pass over it in silence."
        )
    yield from _faults_of_shape_of(where, row[shape], sizes[row["image_id"]], iou_type)


def _faults_of_shape_of(where: str, shape: Any, size_hw: tuple[int, int], iou_type: str) -> Iterator[str]:
    if iou_type == "bbox":
        if not isinstance(shape, list) or len(shape) != 4 or not all(map(_is_number, shape)):
            yield f"{where} has bbox {shape!r}: it must be four numbers, x y width height."
    elif isinstance(shape, dict) and list(shape.get("size", [])) != list(size_hw):
        yield (
            f"{where} has a mask of height x width {shape.get('size')} on a pair of {list(size_hw)}: masks of other "
            "sizes cannot be laid over one another."
        )


def _faults_of_pairs(sizes: dict[str, dict[Any, tuple[int, int]]], first: str) -> Iterator[str]:
    """Several documents are several people's truths of the same pairs."""
    for path, found in sizes.items():
        lacking = [pair for pair in sizes[first] if pair not in found]
        if lacking:
            yield f"{path} lacks the pair {lacking[0]!r} of {first}: each document must have all pairs."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _share(text: str) -> float:
    if not 0 <= (share := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"it must lie between 0 and 1, not {text}")
    return share


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.cgf1", description=__doc__.splitlines()[0])
    parser.add_argument("--gt", action="append", required=True, help="a SA-Co document; several: the best one a pair")
    parser.add_argument("--pred", required=True, help="predictions, as COCO results")
    parser.add_argument("--iou-type", choices=("segm", "bbox"), default="segm")
    parser.add_argument("--figures-only", action="store_true", help="without `measures`")
    parser.add_argument("--rows", help="rows.json of the same evaluation: each pair's presence, for its calibration")
    parser.add_argument(
        "--keep-score",
        type=_share,
        help="predictions below it were not kept; without it, the lowest score in the file, at most 0.5",
    )
    parser.add_argument("--as-official", action="store_true", help="pass over in silence what the official one does")
    return parser


if __name__ == "__main__":
    sys.exit(main())
