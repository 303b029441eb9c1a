"""Label Studio's formats: brush RLE, labelling config, prompts, spool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbackend.errors import ApiError
from mlbackend.label_studio.brush_rle import encode_brush
from mlbackend.label_studio.label_config import Control, parse_label_config
from mlbackend.label_studio.prompts import read_context
from mlbackend.label_studio.regions import mask_regions, outlines_pct
from mlbackend.label_studio.spool import Spool
from mlbackend.model.prompts import Point
from mlbackend.serving.aliases import Aliases

CONFIG = """<View><Image name="img" value="$image"/>
  <BrushLabels name="brush" toName="img"><Label value="Chicken"/><Label value="Duck"/></BrushLabels>
  <KeyPointLabels name="points" toName="img" smart="true"><Label value="Chicken"/></KeyPointLabels></View>"""


def test_brush_rle_is_the_golden_vector() -> None:
    mask = np.zeros((4, 5), dtype=bool)
    mask[1, 1:3] = True
    assert encode_brush(mask) == [0, 0, 0, 80, 57, 27, 254, 23, 0, 159, 255, 23, 128, 0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (64, 48), (300, 301)])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_label_studios_own_decoder_reads_our_brush(height: int, width: int, density: float) -> None:
    from label_studio_sdk.converter.brush import decode_rle

    mask = np.random.default_rng(3).random((height, width)) < density
    rgba = decode_rle(encode_brush(mask)).reshape(height, width, 4)
    assert ((rgba[..., 3] == 255) == mask).all()


def test_runs_longer_than_a_record_are_split() -> None:
    from label_studio_sdk.converter.brush import decode_rle

    mask = np.zeros((200, 300), dtype=bool)
    mask[190:] = True
    assert ((decode_rle(encode_brush(mask)).reshape(200, 300, 4)[..., 3] == 255) == mask).all()


def test_config_gives_image_and_mask_control() -> None:
    config = parse_label_config(CONFIG)
    assert (config.image_name, config.image_key) == ("img", "image")
    assert config.mask_control() == Control("brush", "img", "brushlabels", ("Chicken", "Duck"))


@pytest.mark.parametrize(
    "xml",
    [
        None,
        "",
        "<View>",
        "<View/>",
        "<View><Image name='a' value='fixed.png'/></View>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><View><Image name='a' value='$i'/></View>",
        "<View>" * 50_000,
    ],
)
def test_unusable_config_is_refused(xml: Any) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_label_config(xml)
    assert refusal.value.status == 400


def test_config_without_a_mask_control_says_what_is_missing() -> None:
    config = parse_label_config("<View><Image name='a' value='$i'/></View>")
    with pytest.raises(ApiError, match="BrushLabels or PolygonLabels"):
        config.mask_control()


def region(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": 200, "original_height": 100, "image_rotation": 0, "value": value, **more}


def read(*regions: dict[str, Any]):
    return read_context({"result": list(regions)}, width_px=200, height_px=100)


KEYPOINT = {"x": 50, "y": 25, "width": 0.3, "keypointlabels": ["Chicken"]}
BOX = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["Duck"]}


def test_keypoints_become_points_with_their_sign_and_label() -> None:
    prompts = read(region("keypointlabels", KEYPOINT), region("keypointlabels", KEYPOINT | {"x": 1}, is_positive=False))
    assert prompts.points == (Point(100, 25, 1), Point(2, 25, 0))
    assert prompts.label == "Chicken"


def test_rectangle_and_negative_keypoint_combine() -> None:
    prompts = read(region("rectanglelabels", BOX), region("keypointlabels", KEYPOINT, is_positive=False))
    assert prompts.box_xyxy == (20, 20, 80, 60)
    assert prompts.points == (Point(100, 25, 0),)


def test_prompt_a_little_beyond_the_edge_is_clamped() -> None:
    assert read(region("keypointlabels", KEYPOINT | {"x": 100.4, "y": -0.2})).points == (Point(200, 0, 1),)


@pytest.mark.parametrize(
    "bad",
    [
        region("keypointlabels", KEYPOINT | {"x": float("nan")}),
        region("keypointlabels", KEYPOINT | {"x": 180}),
        region("keypointlabels", KEYPOINT | {"x": "5"}),
        region("brushlabels", {"format": "rle", "rle": []}),
        region("rectanglelabels", BOX | {"rotation": 30}),
        region("rectanglelabels", BOX | {"width": 0}),
        region("keypointlabels", KEYPOINT) | {"original_width": 100, "original_height": 200},
        {"type": "keypointlabels"},
        7,
    ],
)
def test_unusable_prompt_is_an_error(bad: Any) -> None:
    with pytest.raises(ApiError):
        read(bad)


@pytest.mark.parametrize("context", [{}, {"result": []}, {"result": None}, [], "x"])
def test_context_without_regions_is_an_error(context: Any) -> None:
    with pytest.raises(ApiError):
        read_context(context, width_px=10, height_px=10)


def test_region_ids_are_long_and_never_the_same() -> None:
    mask = np.ones((3, 3), dtype=bool)
    control = Control("brush", "img", "brushlabels", ("Chicken",))
    ids = {mask_regions(mask, control, "Chicken", 0.5)[0]["id"] for _ in range(500)}
    assert len(ids) == 500
    assert min(map(len, ids)) >= 10


def test_label_unknown_to_the_control_is_left_out() -> None:
    control = Control("brush", "img", "brushlabels", ("Chicken",))
    assert "brushlabels" not in mask_regions(np.ones((3, 3), dtype=bool), control, "Fox", 0.5)[0]["value"]


def test_polygon_follows_the_mask_in_percent() -> None:
    mask = np.zeros((100, 200), dtype=bool)
    mask[20:60, 20:80] = True
    points = np.array(outlines_pct(mask)[0])
    assert points.min(axis=0) == pytest.approx([10, 20], abs=1)
    assert points.max(axis=0) == pytest.approx([40, 60], abs=1)


def test_spooled_event_keeps_ids_and_nothing_else(tmp_path: Path) -> None:
    event = {
        "action": "ANNOTATION_CREATED",
        "project": {"id": 3, "title": "<script>"},
        "task": {"id": 8},
        "annotation": {"id": 9, "result": [{"secret": 1}]},
    }
    Spool(tmp_path, 5).put("demo", event, authenticated=False)
    record = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert (record["action"], record["project"], record["tasks"], record["annotations"]) == (
        "ANNOTATION_CREATED",
        3,
        [8],
        [9],
    )
    assert record["authenticated"] is False
    assert "script" not in json.dumps(record)


@pytest.mark.parametrize("action", ["ANNOTATIONS_DELETED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED"])
def test_bulk_events_keep_every_id(tmp_path: Path, action: str) -> None:
    Spool(tmp_path, 5).put("demo", {"action": action, "annotations": [{"id": 1}, {"id": 2}]}, authenticated=True)
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["annotations"] == [1, 2]


def test_events_nobody_waits_for_are_ignored(tmp_path: Path) -> None:
    assert Spool(tmp_path, 5).put("demo", {"action": "PROJECT_UPDATED"}, authenticated=True) is None
    assert list(tmp_path.iterdir()) == []


def test_full_spool_refuses_and_does_not_grow(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2)
    for _ in range(2):
        spool.put("demo", {"action": "START_TRAINING"}, authenticated=True)
    with pytest.raises(ApiError) as refusal:
        spool.put("demo", {"action": "START_TRAINING"}, authenticated=True)
    assert refusal.value.status == 429
    assert len(list(tmp_path.iterdir())) == 2


def test_alias_follows_a_promotion(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    aliases = Aliases(path, "demo")
    assert (aliases.resolve("default"), aliases.resolve("v2")) == ("demo", "v2")
    path.write_text('{"champion": "v2", "broken": "../x"}')
    assert (aliases.resolve("champion"), aliases.resolve("broken")) == ("v2", "broken")
    path.write_text('{"champion": "version-3"}')
    assert aliases.resolve("champion") == "version-3"
    path.write_text("half writ")
    assert aliases.resolve("champion") == "version-3"
