"""A decision made anew from its rows: equal, by another policy, or refused by name."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from toolbox.gate_policy import Policy
from training.again import main
from training.gate_rows import Row, decide_rows


def rows() -> list[Row]:
    """Sixty pairs with one thing each, of which the challenger finds 25 more; sixty without, no alarm."""
    made = []
    for index in range(120):
        there = int(index < 60)
        answers = {role: there * int(index < found) for role, found in (("champion", 30), ("challenger", 55))}
        shared = {"id": index, "image": str(index), "scene": str(index), "text_input": "hen", "instances": there}
        told = {role: {"presence": 0.5, "predicted": n, "true_positives": [n] * 10} for role, n in answers.items()}
        made.append({**shared, **told})
    return made


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    policy = Policy(bootstrap=200)
    manifest = decide_rows(rows(), policy, looks=1.0, seed=3) | {"policy": asdict(policy), "looks": 1.0, "seed": 3}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "rows.json").write_text(json.dumps(rows()))
    return tmp_path


def test_rows_give_the_decision_that_was_kept(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(kept)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["equal"], told["decision"]) == (True, "undecided")


def test_rows_of_another_day_are_told(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = rows()
    changed[0]["challenger"]["predicted"] = 9
    (kept / "rows.json").write_text(json.dumps(changed))
    assert main([str(kept)]) == 1
    assert "delta_cgf1" in json.loads(capsys.readouterr().out)["differs"]


def test_another_policy_says_what_it_would_have_decided(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(kept), "policy.alarm_margin=0.1", "policy.recall_margin=0.5"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["decision"], "equal" in told) == ("promote", False)


def test_another_speed_ratio_counts_where_the_speed_was_measured(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slower = {"value": 1.5, "low": 1.4, "high": 1.6, "rounds": 9}
    manifest = json.loads((kept / "manifest.json").read_text())
    manifest["speed"] = {"same_network": False, "encode": slower, "click": slower}
    (kept / "manifest.json").write_text(json.dumps(manifest))
    for ratio, decision in (("1.2", "reject"), ("2", "undecided"), ("null", "undecided")):
        assert main([str(kept), f"policy.speed_ratio={ratio}"]) == 0
        assert json.loads(capsys.readouterr().out)["decision"] == decision


def test_a_kept_policy_of_wrong_types_is_refused(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((kept / "manifest.json").read_text())
    manifest["policy"]["level"] = "0.05"
    (kept / "manifest.json").write_text(json.dumps(manifest))
    assert main([str(kept)]) == 2
    assert "level must be a number, not '0.05'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["policy.moon=1"], "no key 'moon'"),
        (["policy.level=7"], "level must lie between"),
        (["policy.level=few"], "level must be a number, not 'few'"),
        (["policy.level=null"], "level must be a number, not None"),
        (["policy.level=true"], "level must be a number, not True"),
        (["policy.level"], "level must be a number, not ''"),
        (["policy.bootstrap=200.5"], "bootstrap must be a whole number, not 200.5"),
        (["policy.above_baseline=1"], "above_baseline must be true or false, not 1"),
        (["policy.alarm_cap=[1]"], "alarm_cap must be a number or null, not [1]"),
        (["policy.speed_ratio=1.2"], "speed_ratio asks for a speed, which this gate did not measure"),
    ],
)
def test_no_such_policy_is_refused(
    kept: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([str(kept), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_what_other_rules_decided_or_whose_rows_are_gone_is_refused(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((kept / "manifest.json").read_text())
    (kept / "manifest.json").write_text(json.dumps(manifest | {"rules_version": 1}))
    assert main([str(kept)]) == 2
    assert "version 1 of the rules" in capsys.readouterr().err
    (kept / "manifest.json").write_text(json.dumps(manifest))
    (kept / "rows.json").unlink()
    assert main([str(kept)]) == 2
    assert "rows.json can't be read" in capsys.readouterr().err
