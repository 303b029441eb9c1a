"""JSON in, strictly: no NaN, no bottomless nesting, no integers that no column holds."""

import json
from typing import Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 32
MAX_INTEGER = 2**53


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        try:
            value = json.loads(stream.read().decode("utf-8"), parse_constant=_refuse_constant)
            _check(value, MAX_DEPTH)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except (UnicodeDecodeError, ValueError) as error:
            raise ParseError(f"The body is not valid JSON: {error}") from None
        return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("an integer is too large")
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check(child, depth - 1)
