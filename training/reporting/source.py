"""The files that a report is made of, read and checked; what is missing or broken is refused by name."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import Refused

Row = dict[str, Any]
MEASURES: dict[str, Any] = {
    **dict.fromkeys(("n", "figures", "at", "objects_at", "scores", "by"), dict),
    **dict.fromkeys(("precision_recall", "operating"), list),
    **dict.fromkeys(("presence", "calibration"), (dict, type(None))),
}
OF_A_ROW = ("id", "image", "scene", "text_input", "source", "presence", "instances", "predicted", "true_positives")
OF_A_RESULT = ("image_id", "score", "segmentation")


@dataclass(frozen=True)
class Evaluated:
    """An evaluation's folder: all figures, a row a judged pair, and by pair what the model drew."""

    measures: Row
    rows: list[Row]
    results: dict[int, list[Row]]
    manifest: Row


def read_evaluation(folder: Path) -> Evaluated:
    measures = read_json(folder / "measures.json", dict)
    for key, kind in MEASURES.items():
        if key not in measures or not isinstance(measures[key], kind):
            raise _malformed(folder / "measures.json", f"lacks '{key}'")
    rows = _rows(folder / "rows.json", OF_A_ROW)
    by_pair: dict[int, list[Row]] = {row["id"]: [] for row in rows}
    for result in _rows(folder / "predictions.json", OF_A_RESULT):
        if result["image_id"] not in by_pair:
            raise _malformed(
                folder / "predictions.json", f"has a result of pair {result['image_id']}, which no row has"
            )
        by_pair[result["image_id"]].append(result)
    manifest = folder / "manifest.json"
    return Evaluated(measures, rows, by_pair, read_json(manifest, dict) if manifest.is_file() else {})


def read_json(path: Path, kind: type) -> Any:
    """`kind`: dict or list."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refused("absent_file", f"{path.name} is missing in {path.parent}: judge the model again.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _malformed(path, f"cannot be read as JSON ({error})") from None
    if not isinstance(content, kind):
        raise _malformed(path, f"must hold {'an object' if kind is dict else 'a list'}")
    return content


def read_lines(path: Path) -> list[Row]:
    """A JSON object a line. One may be half written, by a run that was killed and went on: it is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise Refused("absent_file", f"{path.name} is missing in {path.parent}: is that a run's folder?") from None
    found = []
    for line in lines:
        with suppress(ValueError):
            row = json.loads(line)
            found += [row] if isinstance(row, dict) else []
    return found


def _rows(path: Path, keys: tuple[str, ...]) -> list[Row]:
    rows = read_json(path, list)
    for number, row in enumerate(rows):
        lacking = [key for key in keys if not isinstance(row, dict) or key not in row]
        if lacking:
            raise _malformed(path, f"row {number} lacks '{lacking[0]}'")
    return rows


def _malformed(path: Path, words: str) -> Refused:
    return Refused("malformed_evaluation", f"{path.name} in {path.parent} {words}: judge the model again.")
