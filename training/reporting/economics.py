"""What labelling and training cost, as the web side tells it: seconds and money an object and an image, a round apart.

economics.json: {"currency", "person_hour_price": number or null, "rounds": [{"round", "answers", "images", "instances",
"seconds"}], "training": {"seconds", "amount": number or null}}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import Refused
from training.reporting.charts import Chart
from training.reporting.source import Row, read_json

FEWEST = 10  # objects or images of a round: fewer say nothing of how long one takes
HOUR_S = 3600.0


def read_economics(path: Path) -> Row:
    told = read_json(path, dict)
    rounds = told.get("rounds")
    if not isinstance(rounds, list) or not all(isinstance(row, dict) for row in rounds):
        raise _wrong(path, "needs 'rounds', a list of tables")
    for place, row in enumerate(rounds):
        for key in ("round", "answers", "images", "instances", "seconds"):
            value = row.get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise _wrong(path, f"needs a number from 0 on as '{key}' of round {place}, it has {value!r}")
    return told


def _wrong(path: Path, words: str) -> Refused:
    return Refused("bad_economics", f"{path.name} in {path.parent} {words}.")


def economics_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Rounds with seconds and cost an object and an image, and what each saved against the first that tells."""
    price, currency = told.get("person_hour_price"), told.get("currency") or ""
    rows = [_round(row, price) for row in sorted(told["rounds"], key=lambda row: row["round"])]
    first = next((row["seconds_an_instance"] for row in rows if row["seconds_an_instance"] is not None), None)
    for row in rows:
        row["saved_seconds"] = _saved(row, first)
    training = told.get("training") or {}
    instances = sum(row["instances"] for row in rows)
    return {
        "rounds": rows,
        "currency": currency,
        "person_hour_price": price,
        "training_seconds": training.get("seconds"),
        "training_amount": training.get("amount"),
        "instances": instances,
        "people_seconds": sum(row["seconds"] for row in rows),
        "people_amount": _amount(sum(row["seconds"] for row in rows), price),
        "saved_seconds": sum(row["saved_seconds"] or 0.0 for row in rows),
        "training_an_instance": training["amount"] / instances if training.get("amount") and instances else None,
    }


def _round(row: Mapping[str, Any], price: float | None) -> Row:
    an_instance = row["seconds"] / row["instances"] if row["instances"] >= FEWEST else None
    an_image = row["seconds"] / row["images"] if row["images"] >= FEWEST else None
    return {
        **{key: row[key] for key in ("round", "answers", "images", "instances", "seconds")},
        "seconds_an_instance": an_instance,
        "seconds_an_image": an_image,
        "cost_an_instance": _amount(an_instance, price),
        "cost_an_image": _amount(an_image, price),
    }


def _saved(row: Mapping[str, Any], first: float | None) -> float | None:
    """Against the pace of the first round; negative where the round was slower."""
    pace = row["seconds_an_instance"]
    return None if pace is None or first is None else (first - pace) * row["instances"]


def _amount(seconds: float | None, price: float | None) -> float | None:
    return seconds * price / HOUR_S if price and seconds is not None else None


def economics_charts(found: Mapping[str, Any]) -> list[Chart]:
    rows = found["rounds"]
    if not rows:
        return []
    currency = found["currency"]
    heads = ["Round", "Answers", "Images", "Objects", "Hours", "Seconds an object", "Seconds an image", "Saved, hours"]
    if found["person_hour_price"]:
        heads += [f"{currency} an object", f"{currency} an image"]
    return [
        {
            "name": "economics",
            "title": "Seconds of people by round",
            "words": "A person's active seconds at the desk, for each object and each image that was answered. "
            "Saved is against the first round's pace an object; rounds differ in their images, too, so not all of it "
            f"is the model's doing. A round of fewer than {FEWEST} tells no pace.",
            "kind": "bars",
            "x": "round",
            "y": "seconds",
            "labels": [str(row["round"]) for row in rows],
            "series": [
                {"name": "an object", "colour": 1, "y": [row["seconds_an_instance"] for row in rows]},
                {"name": "an image", "colour": 2, "y": [row["seconds_an_image"] for row in rows]},
            ],
            "columns": heads,
            "rows": [_cells(row, bool(found["person_hour_price"])) for row in rows],
        }
    ]


def _cells(row: Mapping[str, Any], with_cost: bool) -> list[Any]:
    saved = row["saved_seconds"]
    cells = [
        *(row[key] for key in ("round", "answers", "images", "instances")),
        f"{row['seconds'] / HOUR_S:.1f}",
        _number(row["seconds_an_instance"]),
        _number(row["seconds_an_image"]),
        "–" if saved is None else f"{saved / HOUR_S:+.1f}",
    ]
    return [*cells, _number(row["cost_an_instance"], 3), _number(row["cost_an_image"], 3)] if with_cost else cells


def _number(value: float | None, places: int = 1) -> str:
    return "–" if value is None else f"{value:.{places}f}"


def economics_words(found: Mapping[str, Any]) -> list[str]:
    """What it comes to, in sentences."""
    currency, words = found["currency"], []
    if found["people_seconds"]:
        hours = f"{found['people_seconds'] / HOUR_S:.1f} hours of people for {found['instances']:,} objects"
        amount = found["people_amount"]
        words.append(f"{hours}, {amount:,.2f} {currency}." if amount is not None else f"{hours}.")
    if found["saved_seconds"]:
        change = "saved" if found["saved_seconds"] > 0 else "lost"
        words.append(f"Against the first round's pace {abs(found['saved_seconds']) / HOUR_S:.1f} hours were {change}.")
    if found["training_seconds"]:
        spent = f"Training took {found['training_seconds'] / HOUR_S:.1f} hours"
        amount, each = found["training_amount"], found["training_an_instance"]
        told = "" if amount is None else f", {amount:,.2f} {currency}"
        words.append(f"{spent}{told}{'' if each is None else f', {each:.3f} {currency} an object'}.")
    return words
