"""What tools write for the same thing: ids as numbers, text or floats, yes and no in words, a size that is missing."""

import re
from collections.abc import Mapping
from typing import Any

NO = {"", "0", "0.0", "false", "no", "n", "none", "null"}


def key_of(value: Any) -> str | None:
    """An id as text: 1, 1.0, "1" and "1.0" are one id (pandas writes floats); None where there is none."""
    if isinstance(value, str):
        text = value.strip()
        whole, dot, rest = text.partition(".")
        return (whole if dot and whole.lstrip("-").isdigit() and not rest.strip("0") else text) or None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if type(value) is int else None


def flag_of(value: Any) -> bool:
    """Yes or no. "false", "0" and null are no, as exporters write them."""
    return value.strip().lower() not in NO if isinstance(value, str) else bool(value)


def whole_of(value: Any) -> int | None:
    """A count of pixels above 0, whatever it is written as; None for anything else."""
    key = key_of(value)
    return int(key) if key is not None and key.isascii() and key.isdigit() and 0 < len(key) < 10 and int(key) else None


def size_of(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) in px as a row says; None where it does not say both."""
    width, height = whole_of(row.get("width")), whole_of(row.get("height"))
    return (width, height) if width and height else None


def numbers_of(value: Any) -> Any:
    """A mask or a box whose numbers are text or whole floats, with plain ones: "2" and 2.0 are 2. Packed runs stay."""
    if isinstance(value, list):
        return [numbers_of(one) for one in value]
    if isinstance(value, dict):
        return {key: one if isinstance(one, str) else numbers_of(one) for key, one in value.items()}
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def why_no_json(error: Exception, text: bytes) -> str:
    """What is wrong with a text, to follow its name. Python writes NaN and Infinity, which JSON does not have."""
    place = re.search(r"\(byte (\d+)\)", str(error))
    word = re.match(rb"-?(NaN|Infinity|nan|inf)\b", text[int(place[1]) :][:16]) if place else None
    if place and word:
        return f"is not valid JSON: it has {word[0].decode()} at byte {place[1]}. Write numbers or null there."
    return f"is not valid JSON: {error}."
