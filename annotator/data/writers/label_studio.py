"""Label Studio tasks with brush masks, and the labelling interface to match.

Verified negatives are a second control, choices named `absent`; a third, `incomplete`, names the labels of which not
every object is outlined.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from annotator.data.formats.records import Category, ImageRecord, Instance

from .brush import brush_rle
from .parts import ListDocument, Out, Row, Wishes

BRUSH, ABSENT, INCOMPLETE, IMAGE = "brush", "absent", "incomplete", "image"
# Label Studio takes no upload past 250 MB, and a reader holds a whole list.
MAX_LIST_BYTES = 100_000_000
NOTE = (
    "Import tasks.json, and tasks-2.json and so on where there are more, into a project whose labelling interface "
    "is label_config.xml, with local files served from this folder; verified negatives are the choices `absent`, and "
    "`incomplete` names what is not outlined completely."
)


class LabelStudioWriter:
    def __init__(self, categories: Sequence[Category], out: Out, spool: Path, wishes: Wishes) -> None:
        self._categories, self._out, self._spool = categories, out, spool
        self._lists = [ListDocument(spool)]

    def picture_path(self, row: Row) -> str:
        return f"images/{row.name}"

    def add(self, row: Row) -> None:
        # Label Studio numbers tasks anew, but its SDK's converter asks for a number.
        if self._lists[-1].size_bytes > MAX_LIST_BYTES:
            self._lists.append(ListDocument(self._spool))
        self._lists[-1].add({"id": row.number, **task(row, url=f"/data/local-files/?d={quote(f'images/{row.name}')}")})

    def finish(self) -> list[str]:
        self._out.text("label_config.xml", label_config([category.name for category in self._categories]))
        for number, tasks in enumerate(self._lists, start=1):
            self._out.pieces("tasks.json" if number == 1 else f"tasks-{number}.json", tasks.pieces())
        return [NOTE]


def label_config(names: Sequence[str]) -> str:
    """The XML that a Label Studio project needs for these tasks."""
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in names)
    return (
        f'<View><Image name="{IMAGE}" value="$image" zoom="true"/>'
        f'<BrushLabels name="{BRUSH}" toName="{IMAGE}">{labels}</BrushLabels>'
        f'<Header value="Not in this image"/>'
        f'<Choices name="{ABSENT}" toName="{IMAGE}" choice="multiple">{choices}</Choices>'
        f'<Header value="Not all of them are outlined"/>'
        f'<Choices name="{INCOMPLETE}" toName="{IMAGE}" choice="multiple">{choices}</Choices></View>'
    )


def task(row: Row, *, url: str, image_key: str = IMAGE) -> dict[str, Any]:
    """One task with one annotation; `url` is where Label Studio will find the image."""
    data = {image_key: url, "name": row.record.name or row.name, "sha256": row.sha256, "split": row.split}
    return {"data": data, "annotations": [{"result": results(row.record)}]}


def results(
    record: ImageRecord, *, brush: str = BRUSH, image: str = IMAGE, choices: Sequence[str] = (ABSENT, INCOMPLETE)
) -> list[dict[str, Any]]:
    """What an annotation says. `choices`: the controls that the labelling interface has for what is no mask."""
    found = [_brush(number, one, record, brush, image) for number, one in enumerate(record.instances, start=1)]
    for control, names in ((ABSENT, record.absent), (INCOMPLETE, sorted(record.incomplete))):
        if names and control in choices:
            value = {"choices": list(names)}
            found.append({"id": control, "from_name": control, "to_name": image, "type": "choices", "value": value})
    return found


def _brush(number: int, instance: Instance, record: ImageRecord, brush: str, image: str) -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "from_name": brush,
        "to_name": image,
        "type": "brushlabels",
        "original_width": record.width_px,
        "original_height": record.height_px,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(instance.mask), "brushlabels": [instance.category]},
    }
