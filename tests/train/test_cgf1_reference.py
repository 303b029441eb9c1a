"""The official evaluator's answers on recorded cases; the cases lie beside the repository, not in it."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from toolbox.cgf1_sums import cgf1_of_sums
from training import cgf1

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "cgf1_reference"
FILES = sorted(CASES.glob("*.json")) if CASES.is_dir() else []

pytestmark = pytest.mark.skipif(
    not FILES, reason="the reference cases (../shared/data/cgf1_reference) are not on this machine"
)


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_answers_what_the_official_evaluator_answered(path: Path) -> None:
    case = load(path)
    if case["raises"]:
        with pytest.raises(getattr(builtins, case["raises"])):
            cgf1.evaluate(case["gts"], case["preds"], case["iou_type"])
        return
    result = cgf1.evaluate(case["gts"], case["preds"], case["iou_type"])
    assert result.metrics == pytest.approx(case["official"], abs=1e-9)
    assert len(result.metrics) == 26


@pytest.mark.parametrize("path", [path for path in FILES if not load(path)["raises"]], ids=lambda path: path.stem)
def test_counts_what_the_official_evaluator_counted(path: Path) -> None:
    case = load(path)
    raw = cgf1.evaluate(case["gts"], case["preds"], case["iou_type"]).raw
    floats = ("iou_thresholds", "positive_micro_F1")
    assert {key: raw[key] for key in raw if key not in floats} == {
        key: case["raw"][key] for key in raw if key not in floats
    }
    for key in floats:
        assert raw[key] == pytest.approx(case["raw"][key], abs=1e-12)


@pytest.mark.parametrize("path", [path for path in FILES if not load(path)["raises"]], ids=lambda path: path.stem)
def test_sums_over_pairs_give_the_same_cgf1(path: Path) -> None:
    case = load(path)
    result = cgf1.evaluate(case["gts"], case["preds"], case["iou_type"])
    total = cgf1.sums_of(result.pairs).sum(axis=0, keepdims=True)
    assert cgf1_of_sums(total)[0] == pytest.approx(case["official"][f"cgF1_eval_{case['iou_type']}_cgF1"], abs=1e-9)
