"""The formats that an export may have, and what each can tell."""

from dataclasses import dataclass

from .writers.coco import CocoWriter
from .writers.label_studio import LabelStudioWriter
from .writers.labelme import LabelmeWriter
from .writers.parts import Writer
from .writers.saco import SacoWriter
from .writers.yolo import YoloDetectWriter, YoloWriter


@dataclass(frozen=True)
class Layout:
    """`by_pair`: a concept that nobody looked for is no part of it, so that no picture need be left out.

    `tells_open`: it can say which concepts were looked for. `tells_incomplete`: that not every object is outlined.
    """

    words: str
    writer: type[Writer]
    by_pair: bool = False
    tells_open: bool = True
    tells_incomplete: bool = True


LAYOUTS = {
    "coco": Layout("COCO", CocoWriter),
    "saco": Layout("SA-Co, SAM 3's own", SacoWriter, by_pair=True),
    "yolo": Layout("YOLO, outlines", YoloWriter, tells_open=False, tells_incomplete=False),
    "yolo_detect": Layout("YOLO, boxes", YoloDetectWriter, tells_open=False, tells_incomplete=False),
    "labelme": Layout("LabelMe", LabelmeWriter),
    "label_studio": Layout("Label Studio", LabelStudioWriter),
}
