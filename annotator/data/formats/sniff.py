"""What kind of annotation file a JSON or XML file is, told by its outermost keys before anything of it is read.

The keys' values stay packed: of a file of 300 MB that is a matter of a second, and of no memory beyond the text.
"""

import re
from typing import Any

import msgspec

from annotator.common.errors import ImportRefusedError

from .values import why_no_json

Raw = msgspec.Raw
SNIFFED = 20
HEAD_BYTES = 64 * 1024
CONVERT = "Convert it with the tool that wrote it"
CREATEML = "It is a CreateML file, which has only boxes and is not read. Export COCO or YOLO instead."
VIA = "It is a VGG Image Annotator project, which is not read. Export its annotations as COCO."
JSON_MIN = "It is Label Studio's JSON-MIN, which leaves out what a task needs. Export JSON instead."
ONE_ANNOTATION = (
    "It is one annotation as Label Studio's target storage writes it, which is not read. Export JSON instead."
)
VOC = "It is Pascal VOC, which has only boxes and is not read. Export COCO or YOLO instead."
CVAT_VIDEO = "It is CVAT for video. Export the task as «CVAT for images 1.1»."
UNKNOWN_JSON = "It is no annotation file that is known here (COCO, SA-Co, LabelMe, Label Studio)."
UNKNOWN_XML = "It is no annotation file that is known here (CVAT for images)."
# What our own and others' exports carry beside the annotations.
COMPANIONS = ({"made_by", "annotation_files_sha256"}, {"categories", "info"})

_decode_keys = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_rows = msgspec.json.Decoder(list[Raw]).decode


def json_kind(content: bytes) -> tuple[str, str]:
    """(kind, why not): `labelme`, `label_studio`, `tables` (COCO and SA-Co), `companion`, or `refused` with the reason.

    ImportRefusedError where it is no JSON.
    """
    text = content.removeprefix(b"\xef\xbb\xbf")
    start = text[:HEAD_BYTES].lstrip()[:1]
    try:
        if start == b"[":
            return _kind_of_list(_decode_rows(text))
        if start == b"{":
            return _kind_of_keys(_decode_keys(text))
    except RecursionError:
        raise ImportRefusedError("It is nested too deeply to be an export.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ImportRefusedError(f"It {why_no_json(error, text)}") from None
    if text[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in text[:HEAD_BYTES]:
        raise ImportRefusedError("It is not UTF-8 text; export it again as UTF-8 JSON.")
    if not start:
        raise ImportRefusedError("It is empty.")
    raise ImportRefusedError("It is not valid JSON: it begins with neither { nor [.")


def _kind_of_keys(keys: dict[str, Raw]) -> tuple[str, str]:
    if {"shapes", "imagePath"} <= set(keys):
        return "labelme", ""
    if {"data", "annotations"} <= set(keys) or {"data", "completions"} <= set(keys):
        return "label_studio", ""
    if "images" in keys:
        return "tables", ""
    if "_via_img_metadata" in keys or _is_via(list(keys.values())[:1]):
        return "refused", VIA
    if {"result", "task"} <= set(keys):
        return "refused", ONE_ANNOTATION
    if any(wanted <= set(keys) for wanted in COMPANIONS):
        return "companion", ""
    return "refused", UNKNOWN_JSON


def _kind_of_list(rows: list[Raw]) -> tuple[str, str]:
    found = [keys for row in rows[:SNIFFED] if (keys := _keys(row))]
    if found and all({"image", "annotations"} <= keys for keys in found):
        return "refused", CREATEML
    if any("data" in keys and keys & {"annotations", "completions", "predictions"} for keys in found):
        return "label_studio", ""
    if any({"annotation_id", "annotator"} & keys for keys in found):
        return "refused", JSON_MIN
    return "refused", UNKNOWN_JSON


def _is_via(values: list[Raw]) -> bool:
    return any({"filename", "regions"} <= _keys(value) for value in values)


def _keys(value: Raw) -> set[str]:
    try:
        return set(_decode_keys(value))
    except msgspec.DecodeError:
        return set()


def xml_kind(content: bytes) -> tuple[str, str]:
    """(kind, why not): `cvat`, `companion` (Label Studio's labelling interface), or `refused` with the reason."""
    head = content[:HEAD_BYTES]
    root = re.search(rb"<\s*([A-Za-z_][\w.-]*)", re.sub(rb"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*>", b"", head))
    name = root[1].lower() if root else b""
    if name == b"annotations":
        if b"<track" in content:
            return "refused", CVAT_VIDEO
        return "cvat", ""
    if name == b"annotation":
        return "refused", VOC
    return ("companion", "") if name == b"view" else ("refused", UNKNOWN_XML)


def value_of(raw: Raw) -> Any:
    return msgspec.json.decode(raw)
