"""How each format's files are laid out in an export's zip."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .formats import coco, label_studio, labelme, saco, yolo
from .formats.records import Category, ImageRecord

Files = Iterator[tuple[str, str]]
# Roboflow calls the validation split's folder so.
FOLDERS = {"val": "valid"}


@dataclass(frozen=True)
class Layout:
    """`annotation_files(images, names, categories, splits)` and where an image of that name goes."""

    annotation_files: Callable[[Sequence[ImageRecord], Sequence[str], Sequence[Category], Sequence[str]], Files]
    image_path: Callable[[ImageRecord, str], str]
    notes: str


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)


def _by_split(images: Sequence[ImageRecord], names: Sequence[str], split: str) -> tuple[list[ImageRecord], list[str]]:
    chosen = [(image, name) for image, name in zip(images, names, strict=True) if image.split == split]
    return [image for image, _ in chosen], [name for _, name in chosen]


def _folder(image: ImageRecord) -> str:
    return FOLDERS.get(str(image.split), str(image.split))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _coco(
    images: Sequence[ImageRecord], names: Sequence[str], categories: Sequence[Category], splits: Sequence[str]
) -> Files:
    for split in splits:
        chosen, chosen_names = _by_split(images, names, split)
        document = coco.write(chosen, categories, chosen_names)
        yield f"{FOLDERS.get(split, split)}/_annotations.coco.json", _text(document)


def _saco(
    images: Sequence[ImageRecord], names: Sequence[str], categories: Sequence[Category], splits: Sequence[str]
) -> Files:
    for split in splits:
        chosen, chosen_names = _by_split(images, names, split)
        yield f"{split}.json", _text(saco.write(chosen, categories, chosen_names))


def _yolo(
    images: Sequence[ImageRecord], names: Sequence[str], categories: Sequence[Category], splits: Sequence[str]
) -> Files:
    yield "data.yaml", yolo.write_names(categories, splits)
    for image, name in zip(images, names, strict=True):
        yield f"labels/{image.split}/{_stem(name)}.txt", yolo.write(image, categories)


def _labelme(
    images: Sequence[ImageRecord], names: Sequence[str], categories: Sequence[Category], splits: Sequence[str]
) -> Files:
    for image, name in zip(images, names, strict=True):
        yield f"{_folder(image)}/{_stem(name)}.json", _text(labelme.write(image, name=name))


def _label_studio(
    images: Sequence[ImageRecord], names: Sequence[str], categories: Sequence[Category], splits: Sequence[str]
) -> Files:
    yield "label_config.xml", label_studio.label_config(categories)
    tasks = [
        label_studio.write(image, url=f"/data/local-files/?d=images/{name}")
        for image, name in zip(images, names, strict=True)
    ]
    yield "tasks.json", _text(tasks)


LAYOUTS = {
    "coco": Layout(
        _coco,
        lambda image, name: f"{_folder(image)}/{name}",
        "Verified negatives are listed per image in neg_category_ids, as in LVIS; masks are compressed COCO RLE.",
    ),
    "saco": Layout(
        _saco,
        lambda image, name: f"images/{name}",
        "One row of `images` is one (image, noun phrase) pair; a pair without annotations is a verified negative.",
    ),
    "yolo": Layout(
        _yolo,
        lambda image, name: f"images/{image.split}/{name}",
        "YOLO can't tell a class that was verified absent from one that nobody looked for: an image's file lists what "
        "is there, and anything else counts as absent.",
    ),
    "labelme": Layout(
        _labelme,
        lambda image, name: f"{_folder(image)}/{name}",
        "Masks are LabelMe's shape `mask`; verified negatives are image flags such as `no chicken`.",
    ),
    "label_studio": Layout(
        _label_studio,
        lambda image, name: f"images/{name}",
        "Import tasks.json into a project whose labelling interface is label_config.xml, with local files served "
        "from this folder; verified negatives are the choices `absent`.",
    ),
}
