"""Tuning the click decoder: what it learns from, what moves, what is kept, and that stopping changes nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.logits import logits_to_wire
from mlbackend.model.masks import decode_wire_mask
from mlbackend.model.predictor import Prompt
from mlbackend.model.prompts import Point
from mlbackend.store.images import decode_image
from tests.train.snapshots import Snapshot, tiny_model
from tests.train.support import StopAfter
from toolbox.run_size import run_size
from training import masks
from training.click_judge import Clickable, Course, click_courses, click_embedding, clickables, compare, figures
from training.clicks import ClickTuner, _Lesson, click_losses
from training.config import Config, read_config
from training.dataset import Snapshot as Frozen
from training.errors import Stopped
from training.events import Events
from training.features import FeatureStore, image_path
from training.heads import trainable
from training.launch import StopRequest
from training.material import choose_material
from training.models import load_model
from training.prompts import Box
from training.runs import run_train
from training.simulated_clicks import next_click
from training.targets import Targets

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "mlbackend" / "weights" / "demo"
CPU = torch.device("cpu")
PROMPTS = [{"x": 1.5, "y": 2.0, "label": 1}, {"x": 3.0, "y": 3.0, "label": 0}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("clicks")
    made = Snapshot(root).add_scenes("train", "easy", 5).add_scenes("val", "easy", 6)
    made.document("train")["annotations"][0]["prompts"] = PROMPTS
    made.freeze()
    folders = {"snapshot": made.folder, "images": made.images, "base_model": tiny_model(root / "model")}
    return {key: str(folder) for key, folder in (folders | {"features": root / "features"}).items()}


def config(world: dict[str, str], folder: Path, **changes: Any) -> Config:
    usual = {"steps": 4, "batch_pairs": 4, "validate_every": 4, "checkpoint_every": 2, "learning_rate": 3e-3}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**world, **usual, **changes}))
    return read_config("train", folder / "config.json")


def train(world: dict[str, str], out: Path, **changes: Any) -> dict[str, Any]:
    return json.loads(run_train(config(world, out, **changes), out, Events([]), StopRequest()).read_text())


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(max((out / "checkpoints").glob("step-*.safetensors")))


def tuner(world: dict[str, str], folder: Path, **changes: Any) -> ClickTuner:
    """One by itself, without the heads that a run trains beside it."""
    asked = config(world, folder, click_rate=1.0, **changes)
    model = load_model(str(asked.base_model), device=CPU)
    trainable(model.network)
    features = FeatureStore(model, asked.images, folder / "features")
    material = choose_material(Frozen(asked.snapshot), asked, Events([]))
    return ClickTuner(asked, model, features, Targets(model.network.grid_size), material)


def test_loss_is_focal_dice_and_claim_of_the_best_mask() -> None:
    """By hand: two pixels of truth (1, 0), logits 0 in the first mask and (ln 3, -ln 3) in the second."""
    three = math.log(3)
    masks_BKHW = torch.tensor([[[[0.0, 0.0]], [[three, -three]]]])
    loss = click_losses(masks_BKHW, torch.tensor([[0.25, 0.75]]), torch.tensor([[[1.0, 0.0]]]))
    # A chance of 3/4 that each pixel is right: focal a (1/4)^2 ln(4/3), a = 1/4 where there is truth and 3/4 elsewhere.
    focal = (0.25 + 0.75) / 2 * 0.0625 * math.log(4 / 3)
    dice = 1 - (2 * 0.75 + 1) / (0.75 + 0.25 + 1 + 1)
    # Logits of 0 find nothing (IoU 0), the second mask is right (IoU 1): claims are off by 1/4 both times.
    assert float(loss) == pytest.approx(20 * focal + dice + 0.25, rel=1e-5)


def test_heads_are_the_same_to_the_bit_whether_clicks_are_tuned_or_not(world: dict[str, str], tmp_path: Path) -> None:
    plain, tuned = train(world, tmp_path / "plain"), train(world, tmp_path / "tuned", click_rate=1.0)
    before, after = last_weights(tmp_path / "plain"), last_weights(tmp_path / "tuned")
    assert not any(key.startswith("click") for key in before)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert tuned["metrics"] == plain["metrics"]
    assert "clicks" not in plain
    assert tuned["clicks"]["learned_from"]["with_prompts"] == 1


def test_room_for_the_tuned_decoder_is_looked_for(world: dict[str, str], tmp_path: Path) -> None:
    """Weights, average and two moments of each: what a checkpoint's file has more, and what the web side counts."""
    train(world, tmp_path / "run", click_rate=1.0)
    written = sum(value.nbytes for key, value in last_weights(tmp_path / "run").items() if key.startswith("click|"))
    with_them, without = (
        run_size(Path(world["base_model"]), with_text=True, with_clicks=tuned).checkpoint_bytes
        for tuned in (True, False)
    )
    assert with_them - without == pytest.approx(written, abs=4096)  # AdamW counts its steps, four bytes a tensor


def test_mask_decoder_moves_and_all_else_of_the_click_path_stays(world: dict[str, str], tmp_path: Path) -> None:
    train(world, tmp_path / "run", click_rate=1.0)
    base = load_file(Path(world["base_model"]) / "model.safetensors")
    model = load_file(tmp_path / "run" / "model" / "model.safetensors")
    moved = {
        key.removeprefix("click|weights|"): value
        for key, value in last_weights(tmp_path / "run").items()
        if key.startswith("click|weights|")
    }
    for part in (
        "transformer.",
        "upscale_conv1.",
        "output_hypernetworks_mlps.",
        "iou_prediction_head.",
        "mask_tokens.",
    ):
        names = [name for name in moved if name.startswith(part)]
        assert any(not torch.equal(moved[name], base[f"tracker_model.mask_decoder.{name}"]) for name in names), part
    assert not any(name.startswith(("conv_s0", "conv_s1")) for name in moved)
    other = {
        key
        for key in base
        if key.startswith("tracker") and key.removeprefix("tracker_model.mask_decoder.") not in moved
    }
    assert any("neck" in key for key in other)
    assert any("prompt_encoder" in key for key in other)
    assert all(torch.equal(base[key], model[key]) for key in other)


def test_stopped_and_resumed_run_ends_in_the_same_decoder(world: dict[str, str], tmp_path: Path) -> None:
    whole, parts, stop = tmp_path / "whole", tmp_path / "parts", StopRequest()
    first = train(world, whole, click_rate=2.0)
    with pytest.raises(Stopped):
        run_train(config(world, parts, click_rate=2.0), parts, StopAfter(stop, 2), stop)
    second = train(world, parts, click_rate=2.0)
    expected, got = last_weights(whole), last_weights(parts)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert first["clicks"] == second["clicks"]
    assert first["weights_hash"] == second["weights_hash"]


def test_every_object_is_clicked_once_before_any_twice(world: dict[str, str], tmp_path: Path) -> None:
    made = tuner(world, tmp_path, click_pairs=3)
    count = len(made._objects)
    drawn = [id(one.instance) for step in range(count) for one in made._drawn(step)]
    assert [len(set(drawn[start : start + count])) for start in range(0, len(drawn), count)] == [count] * 3
    assert drawn[:count] != drawn[count : 2 * count]


def lesson(made: ClickTuner, *prompts: Any) -> _Lesson:
    """On an object of the size of three quarters of its image, as if drawn from these prompts."""
    one = made._objects[0]
    truth = torch.zeros(32, 32)
    truth[8:, 8:] = 1.0
    instance = replace(one.instance, prompts=tuple(prompts), box_xyxy_norm=(0.25, 0.25, 1.0, 1.0))
    pair = replace(one.pair, instances=(instance,))
    embedding = click_embedding(made._predictor, made._features, one.pair)
    return _Lesson(Clickable(pair, instance), embedding, truth)


def test_people_s_prompts_are_asked_first_and_then_what_is_still_wrong(world: dict[str, str], tmp_path: Path) -> None:
    made = tuner(world, tmp_path)
    box, point = Box((3.0, 4.0, 20.0, 21.0)), Point(5.0, 6.0, 0)
    one = lesson(made, box, point)
    assert one.ask()
    assert (one.prompt().box_xyxy, one.prompt().points) == (box.xyxy, ())
    assert one.ask()
    assert one.prompt().points == (point,)
    found = np.zeros((32, 32), dtype=bool)
    found[8:, 8:20] = True  # the right half is missed
    one.take(torch.zeros(16, 16), found)
    assert one.ask()
    width, height = made._objects[0].pair.width_px, made._objects[0].pair.height_px
    expected = next_click(one._truth, found)
    assert expected is not None
    assert one.prompt().points[1] == Point(expected.x * width / 32, expected.y * height / 32, 1)
    assert one.prompt().earlier_logits_hw is not None
    one.take(torch.zeros(16, 16), one._truth)
    assert not one.ask()


def test_correction_that_begins_by_taking_away_is_asked_with_the_frame(world: dict[str, str], tmp_path: Path) -> None:
    made = tuner(world, tmp_path)
    one = lesson(made, Point(2.0, 2.0, 0))
    assert one.ask()
    width, height = made._objects[0].pair.width_px, made._objects[0].pair.height_px
    assert one.prompt().box_xyxy == (width / 4, height / 4, width, height)
    assert one.prompt().points == (Point(2.0, 2.0, 0),)


def test_clicks_are_counted_as_they_are_served(world: dict[str, str], tmp_path: Path) -> None:
    """The first two clicks on an object, asked of the demo model as the ML backend loads it."""
    made = tuner(world | {"base_model": str(DEMO)}, tmp_path, click_judged=3)
    stop, told = StopRequest(), []
    events = Events([])
    events.listen(told.append)
    made.finish(events, stop)
    one = made._judged[0]
    served = load_predictor(DEMO, LoadOptions(device="cpu", dtype="float32"))
    picture = decode_image(image_path(Path(world["images"]), one.pair.image).read_bytes(), max_pixels=10**8)
    size = {"height_px": one.pair.height_px, "width_px": one.pair.width_px}
    tokens = served.encode(served.preprocess(picture)[None], [(one.pair.width_px, one.pair.height_px)])[0]
    levels, truth = served.click_features(tokens), masks.decode_rle(one.instance.rle, **size)
    points: list[Point] = []
    found, earlier, ious = np.zeros_like(truth), None, []
    for _ in range(2):
        click = next_click(truth, found)
        assert click is not None
        points.append(click)
        earlier = served.click([Prompt(levels, tuple(points), earlier_logits_hw=earlier)])[0][0].mask_logits_hw
        found = decode_wire_mask(logits_to_wire(earlier, **size))
        ious.append((found & truth).sum() / (found | truth).sum())
    course = click_courses(made._predictor, made._features, [one])[0]
    assert course.ious[:2] == pytest.approx(ious, abs=2e-3)
    report = next(event for event in told if event["event"] == "clicks")
    assert report["base"] == report["tuned"]  # nothing was learned yet
    assert report["objects"] == 3


def test_decoder_that_was_spoilt_is_not_kept(world: dict[str, str], tmp_path: Path) -> None:
    made = tuner(
        world | {"base_model": str(DEMO)}, tmp_path, learning_rate=0.3, clip_norm=1e6, click_pairs=1, click_judged=8
    )
    before = {name: parameter.clone() for name, parameter in made.parameters.items()}
    for step in range(3):
        made.learn(step, 0.2)
    assert any(not torch.equal(before[name], parameter) for name, parameter in made.parameters.items())
    made.finish(Events([]), StopRequest())
    assert made.report["kept"] is False
    assert made.report["tuned"]["clicks_to_85"] > made.report["base"]["clicks_to_85"]
    assert "stays as it was" in made.report["sentence"]
    assert all(torch.equal(before[name], parameter) for name, parameter in made.parameters.items())


def courses(*ious: tuple[float, ...]) -> list[Course]:
    """Each on an image of its own."""
    return [Course(f"{number:064x}", one) for number, one in enumerate(ious)]


def test_figures_of_clicks_by_hand() -> None:
    """Reaches 0.85 at click 2 and 0.90 at click 3; right at once; never there."""
    told = figures(courses((0.5, 0.86, 0.91), (0.95,), (0.2,) * 10))
    assert told == {
        **{"clicks_to_85": pytest.approx((2 + 1 + 10) / 3, abs=1e-4), "reached_85": pytest.approx(2 / 3, abs=1e-4)},
        **{"clicks_to_90": pytest.approx((3 + 1 + 10) / 3, abs=1e-4), "reached_90": pytest.approx(2 / 3, abs=1e-4)},
        **{"iou_after_1": pytest.approx(0.55, abs=1e-4), "iou_after_3": pytest.approx(2.06 / 3, abs=1e-4)},
    }


def test_tuned_decoder_is_kept_where_it_takes_fewer_clicks_for_certain() -> None:
    slow, quick = courses(*[(0.5, 0.86, 0.91)] * 6), courses(*[(0.5, 0.91, 0.91)] * 6)
    told = compare(slow, quick, seed=0)
    assert told["more_clicks"] == {"mean": -0.5, "low": -0.5, "high": -0.5}
    assert told["kept"] is True
    assert compare(quick, slow, seed=0)["kept"] is False


def test_gain_that_rests_on_one_image_is_not_kept() -> None:
    """One object of six got there nine clicks sooner, three one click later: on average fewer, and by chance."""
    before = courses(*[(0.91,)] * 3, *[(0.91,)] * 2, (0.1,) * 10)
    after = courses(*[(0.5, 0.91)] * 3, *[(0.91,)] * 2, (0.91,))
    told = compare(before, after, seed=0)
    assert told["more_clicks"]["mean"] == -1.0
    assert told["more_clicks"]["high"] > 0.25
    assert told["kept"] is False


def test_objects_of_few_images_decide_nothing() -> None:
    slow, quick = courses(*[(0.5, 0.91)] * 4), courses(*[(0.91,)] * 4)
    assert compare(slow, quick, seed=0)["kept"] is False
    assert "lie on 4 images" in compare(slow, quick, seed=0)["sentence"]


def test_objects_that_are_judged_are_always_the_same(world: dict[str, str]) -> None:
    pairs = Frozen(world["snapshot"]).split("val").pairs
    first = clickables(pairs, 4)
    assert first == clickables(pairs[::-1], 4)
    assert len(first) == 4
