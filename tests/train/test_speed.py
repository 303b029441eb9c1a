"""Whether a challenger is slower: the ratio by hand, the rule, and two real networks in turns."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mlbackend.model.network import Sam3Network
from tests.train.snapshots import tiny_model
from training.evaluate import ignore
from training.gate_rules import BROKEN, MET, judge_speed
from training.models import load_model
from training.speed import SAME, Ratio, Speed, ratio_of
from training.stopwatch import ROUNDS, compare_speed, work_of

DEMO = Path(__file__).resolve().parents[2] / "mlbackend" / "weights" / "demo"


def speed(encode: tuple[float, float, float], click: tuple[float, float, float]) -> Speed:
    return Speed(False, {"encode": Ratio(*encode, rounds=12), "click": Ratio(*click, rounds=12)})


def test_ratio_is_the_geometric_mean_with_students_interval():
    # Logarithms of the three ratios: 0.1, 0.2, 0.3; mean 0.2, spread 0.1, Student's 97.5 % point of 2 degrees 4.302653.
    found = ratio_of([1.0, 2.0, 4.0], [math.exp(0.1), 2 * math.exp(0.2), 4 * math.exp(0.3)])
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert (found.value, found.rounds) == (pytest.approx(math.exp(0.2)), 3)
    assert (math.log(found.low), math.log(found.high)) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))


@pytest.mark.parametrize(
    ("measured", "state"),
    [
        (speed((1.30, 1.20, 1.40), (1.0, 0.9, 1.1)), BROKEN),
        (speed((1.0, 0.9, 1.1), (1.12, 1.06, 1.18)), BROKEN),
        (speed((1.30, 1.04, 1.60), (1.0, 0.9, 1.1)), MET),  # it may be chance
        (speed((0.5, 0.4, 0.6), (1.0, 0.9, 1.1)), MET),
        (SAME, MET),
    ],
)
def test_only_what_is_slower_for_certain_breaks_the_rule(measured, state):
    rule = judge_speed(measured, 1.05)
    assert rule.state == state
    assert "takes as long" in rule.words if measured.is_same else "the policy allows 1.05" in rule.words
    assert Speed.of(measured.plain()) == measured


def test_networks_of_one_shape_do_the_same_work_and_deeper_ones_do_not():
    demo = load_model(DEMO, device=torch.device("cpu"))
    other = Sam3Network.from_config(demo.network.detector.config, demo.network.tracker.config)
    other.prompt_has_cls = demo.network.prompt_has_cls
    assert work_of(other) == work_of(demo.network)
    other.prompt_has_cls = not demo.network.prompt_has_cls
    assert work_of(other) != work_of(demo.network)


def test_two_models_are_timed_in_turns_with_the_backends_calls(tmp_path):
    """And with their arithmetic: the ViT in bfloat16, as a card serves it, the rest as it is."""
    demo, picture = load_model(tiny_model(tmp_path), device=torch.device("cpu")), np.zeros((120, 160, 3), np.uint8)
    found = compare_speed(demo, demo, picture, ignore, vit_dtype=torch.bfloat16)
    kinds = {name.split(".backbone.")[0]: value.dtype for name, value in demo.network.detector.named_parameters()}
    assert kinds.pop("vision_encoder") == torch.bfloat16
    assert set(kinds.values()) == {torch.float32}
    assert {name: ratio.rounds for name, ratio in found.ratios.items()} == {"encode": ROUNDS, "click": ROUNDS}
    assert all(0 < ratio.low <= ratio.value <= ratio.high for ratio in found.ratios.values())
