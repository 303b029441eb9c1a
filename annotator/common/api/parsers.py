"""JSON in, strictly: bounded, no NaN, no bottomless nesting, nothing that a column can't hold."""

import json
from typing import Any, NoReturn

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 32
MAX_INTEGER = 2**53


class BodyTooLarge(APIException):
    """More than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"

    def __init__(self) -> None:
        super().__init__(f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.")


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        # One byte more than allowed is read, so that a lying or absent Content-Length makes no difference.
        data = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(data) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise BodyTooLarge
        try:
            value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
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
    if isinstance(value, int | float) and abs(value) > MAX_INTEGER:
        raise ValueError("a number is too large")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, child in value.items():
            _check_text(key)
            _check(child, depth - 1)
    elif isinstance(value, list):
        for child in value:
            _check(child, depth - 1)


def _check_text(text: str) -> None:
    """Postgres stores neither the character NUL nor half a surrogate pair."""
    if "\x00" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)):
        raise ValueError("a text holds a character that can't be stored")
