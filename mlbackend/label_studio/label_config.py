"""What a project's labelling config says: where the image is, which controls draw on it, and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from mlbackend.errors import ApiError, bad_request

MASK_CONTROLS = ("brushlabels", "polygonlabels")
PROMPT_CONTROLS = ("keypointlabels", "rectanglelabels")
MAX_CONFIG_CHARS = 200_000


@dataclass(frozen=True)
class Control:
    """kind is the tag in lower case, which is also the region type."""

    name: str
    to_name: str
    kind: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LabelConfig:
    image_name: str
    image_key: str
    controls: tuple[Control, ...]

    def mask_control(self) -> Control:
        """Where masks go: a brush if there is one, else polygons."""
        for kind in MASK_CONTROLS:
            for control in self.controls:
                if control.kind == kind and control.to_name == self.image_name:
                    return control
        raise ApiError(
            400,
            "bad_request",
            "The labelling config needs BrushLabels or PolygonLabels for the image: that is where masks are drawn.",
            fields={"label_config": "no BrushLabels or PolygonLabels"},
        )


def parse_label_config(xml: object) -> LabelConfig:
    if not isinstance(xml, str) or not xml.strip() or len(xml) > MAX_CONFIG_CHARS:
        raise bad_request("label_config must be the project's labelling config (XML).", "label_config")
    if "<!DOCTYPE" in xml.upper() or "<!ENTITY" in xml.upper():
        raise bad_request("label_config must not declare entities.", "label_config")
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, RecursionError) as error:
        raise bad_request(f"label_config is not valid XML ({error}).", "label_config") from None
    image = next((tag for tag in root.iter() if tag.tag.lower() == "image"), None)
    if image is None or not image.get("name") or not (image.get("value") or "").startswith("$"):
        raise bad_request('label_config needs <Image name=... value="$..."/>.', "label_config")
    controls = tuple(_control(tag) for tag in root.iter() if tag.tag.lower() in MASK_CONTROLS + PROMPT_CONTROLS)
    return LabelConfig(image.get("name", ""), image.get("value", "")[1:], controls)


def _control(tag: ElementTree.Element) -> Control:
    labels = [child.get("value", "") for child in tag.iter() if child.tag.lower() == "label"]
    return Control(tag.get("name", ""), tag.get("toName", ""), tag.tag.lower(), tuple(filter(None, labels)))
