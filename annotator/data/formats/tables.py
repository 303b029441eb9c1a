"""COCO's tables out of a file's bytes: images and categories as they are, annotations packed until they are asked for.

A file of 500,000 outlines is some 300 MB of text, and would be eight times that as Python objects. Packed rows are
views into the text; of each only the two ids are looked at beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from annotator.common.errors import ImportRefusedError

from .records import MAX_JSON_BYTES
from .values import key_of, why_no_json

SNIFFED = 20


@dataclass
class Tables:
    """The lists of one document. `annotations`: packed rows, or plain ones where it was parsed already.

    `has_annotations`: off where there is no such list (image_info_test2017.json); an empty one is another thing.
    """

    images: list[Any]
    annotations: Sequence[Any]
    categories: list[Any]
    has_annotations: bool = True


class _Document(msgspec.Struct):
    images: list[Any]
    annotations: list[msgspec.Raw] | None = None
    categories: list[Any] | None = None


class _Ids(msgspec.Struct):
    image_id: Any = None
    category_id: Any = None


def tables_of(document: Any) -> Tables:
    """Of a parsed document; ImportRefusedError names the list that is none."""
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise ImportRefusedError("This is no COCO document: it has no list `images`.")
    lists = {key: document.get(key) or [] for key in ("annotations", "categories")}
    for key, value in lists.items():
        if not isinstance(value, list):
            raise ImportRefusedError(f"This is no COCO document: `{key}` is not a list.")
    return Tables(document["images"], **lists, has_annotations=document.get("annotations") is not None)


def tables_read(content: bytes, *, where: str) -> Tables:
    """Of a file's bytes: strict JSON in UTF-8; ImportRefusedError names the file."""
    if len(content) > MAX_JSON_BYTES:
        raise ImportRefusedError(f"{where} has more than {MAX_JSON_BYTES // 2**20} MB; split the export into parts.")
    text = content.removeprefix(b"\xef\xbb\xbf")
    try:
        found = msgspec.json.decode(text, type=_Document)
    except msgspec.ValidationError as error:
        raise ImportRefusedError(f"{where} is no COCO document: {error}.") from None
    except RecursionError:
        raise ImportRefusedError(f"{where} is nested too deeply to be an export.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ImportRefusedError(f"{where} {why_no_json(error, text)}") from None
    return Tables(found.images, found.annotations or [], found.categories or [], found.annotations is not None)


def row_of(packed: Any) -> dict[str, Any]:
    """An annotation's whole row; empty where it is no object."""
    row = msgspec.json.decode(packed) if isinstance(packed, msgspec.Raw) else packed
    return row if isinstance(row, dict) else {}


def ids_of(packed: Any) -> tuple[str | None, str | None] | None:
    """(image's id, category's id) of an annotation; None where it is no object."""
    if isinstance(packed, dict):
        return key_of(packed.get("image_id")), key_of(packed.get("category_id"))
    try:
        ids = _decode_ids(packed)
    except (msgspec.ValidationError, TypeError):
        return None
    return key_of(ids.image_id), key_of(ids.category_id)


_decode_ids = msgspec.json.Decoder(_Ids).decode


def kind_told(tables: Tables) -> str:
    """What such a document is, before it is read: pairs, captions, panoptic, instances, or pictures alone.

    SA-Co names a phrase in each row of `images`; captions and panoptic tables have neither category nor outline.
    """
    if any(isinstance(row, dict) and ("text_input" in row or "noun_phrase" in row) for row in tables.images[:SNIFFED]):
        return "pairs"
    rows = [row_of(packed) for packed in tables.annotations[:SNIFFED]]
    if any("caption" in row and "category_id" not in row for row in rows):
        return "captions"
    if any("segments_info" in row for row in rows):
        return "panoptic"
    return "instances" if rows or tables.categories else "pictures"
