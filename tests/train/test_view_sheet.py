"""A run that looks at drawn views: its contact sheet, its event, and a stop in between that changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.train.snapshots import Snapshot, tiny_model
from tests.train.support import StopAfter
from tests.train.test_retrain import config, last_weights, train, world  # noqa: F401
from training.dataset import Snapshot as Frozen
from training.errors import Stopped
from training.events import Events
from training.features import FeatureStore
from training.launch import StopRequest
from training.models import load_model
from training.plan import Planner
from training.runs import run_train
from training.view_sheet import CELL_PX, GAP_PX, OBJECT, show_views
from training.views import Views

CPU = torch.device("cpu")


def heard(events: Events) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    events.listen(told.append)
    return told


def test_run_with_views_ends_in_the_same_weights_however_often_it_was_stopped(
    world: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = train(world, whole, views=2, mirror=True)
    for step in (2, 6):
        stop = StopRequest()
        with pytest.raises(Stopped):
            run_train(config(world, parts, views=2, mirror=True), parts, StopAfter(stop, step), stop)
    second = train(world, parts, views=2, mirror=True)
    expected, got = last_weights(whole), last_weights(parts)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert (first["weights_hash"], first["metrics"]) == (second["weights_hash"], second["metrics"])
    train(world, tmp_path / "plain")
    plain = last_weights(tmp_path / "plain")
    assert not all(torch.equal(expected[key], plain[key]) for key in expected)
    assert (whole / "views.png").read_bytes() == (parts / "views.png").read_bytes()
    assert not (tmp_path / "plain" / "views.png").exists()


def test_plan_counts_each_view_of_a_training_image_and_judged_images_once(
    world: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    """9 training images and 3 of val."""
    for given, encodes in (({}, 12), ({"mirror": True}, 21), ({"views": 3}, 39), ({"views": 3, "mirror": True}, 48)):
        planner = Planner(config(world, tmp_path, **given), world["base_model"], None)
        assert planner.encodes == encodes


@pytest.fixture
def yard(tmp_path: Path) -> tuple[Snapshot, FeatureStore]:
    """A black picture of 80 x 40 with an object in a corner, and one that the object fills; a negative."""
    corner, all_of_it = np.zeros((40, 80), bool), np.ones((40, 80), bool)
    corner[:6, :6] = True
    made = Snapshot(tmp_path)
    for number, shape in enumerate((corner, all_of_it)):
        made.add("train", np.full((40, 80, 3), number, np.uint8), {"hen": [shape]})
    made.add("train", np.full((40, 80, 3), 9, np.uint8), {"hen": []})
    made.freeze()
    model = load_model(tiny_model(tmp_path / "model"), device=CPU)
    return made, FeatureStore(model, made.images, tmp_path / "features")


def test_sheet_has_a_row_an_image_with_what_is_there_in_green_and_says_what_is_not_taken(
    yard: tuple[Snapshot, FeatureStore], tmp_path: Path
) -> None:
    made, features = yard
    pairs, events = Frozen(made.folder).split("train").trainable, Events([])
    told, views = heard(events), Views(8, drawn=4, strength=1.0)
    show_views(views, pairs, features, tmp_path, events)
    (event,) = told
    assert (event["event"], event["images"], event["drawn"], event["looks"]) == ("views", 3, 4, 8)
    assert [row["text_input"] for row in event["rows"]] == ["hen", "hen"]  # the negative shows nothing
    assert [len(row["views"]) for row in event["rows"]] == [5, 5]
    missed = sum(not view["taken"] for row in event["rows"] for view in row["views"])
    assert missed == event["passed_over"] > 0
    with Image.open(event["path"]) as sheet:
        assert list(sheet.size) == event["size_px"]
        assert sheet.width == 5 * CELL_PX + 4 * GAP_PX
        pixels = np.asarray(sheet)
    top = 0 if event["rows"][0]["image"] == pairs[1].image else _second_row(pixels)
    assert np.abs(pixels[top + 10, 10, :3].astype(int) - [0.45 * one for one in OBJECT]).max() <= 2


def _second_row(pixels: np.ndarray) -> int:
    """Where the page shows through for the first time in the first column, and no more."""
    shown = pixels[:, 0, 3] > 0
    first_gap = int(np.flatnonzero(~shown)[0])
    return first_gap + int(np.flatnonzero(shown[first_gap:])[0])


def test_run_without_drawn_views_has_no_sheet(yard: tuple[Snapshot, FeatureStore], tmp_path: Path) -> None:
    made, features = yard
    events = Events([])
    told = heard(events)
    show_views(Views(0, mirror=True), Frozen(made.folder).split("train").trainable, features, tmp_path, events)
    assert told == []
    assert not (tmp_path / "views.png").exists()
