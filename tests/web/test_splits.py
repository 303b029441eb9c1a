"""Shares of the splits: whole scenes, evenly by what is on them."""

import pytest

from annotator.common.errors import RoostError
from annotator.data.splits import Shares, Weighed, shares_named, split_for, splits_assign, tally_new


def counted(scenes: list[Weighed], splits: dict[str, str], stratum: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in scenes:
        found[splits[one.scene]] = found.get(splits[one.scene], 0) + one.strata.get(stratum, 0)
    return found


def test_each_stratum_gets_its_shares():
    plenty = [Weighed(f"a{n:03}", 1, {"hen present": 1, "barn": 1}) for n in range(80)]
    rare = [Weighed(f"b{n:03}", 1, {"hen absent": 1, "barn": 1}) for n in range(20)]
    splits = splits_assign(scenes=plenty + rare, shares=Shares(80, 10, 10), tally=tally_new())
    assert counted(plenty, splits, "hen present") == {"train": 64, "val": 8, "test": 8}
    assert counted(rare, splits, "hen absent") == {"train": 16, "val": 2, "test": 2}


def test_large_scenes_go_first_and_small_ones_make_up_for_them():
    scenes = [Weighed("big", 40, {"hen present": 40}), *(Weighed(f"s{n}", 1, {"hen present": 1}) for n in range(60))]
    splits = splits_assign(scenes=scenes, shares=Shares(70, 15, 15), tally=tally_new())
    assert splits["big"] == "train"
    assert counted(scenes, splits, "hen present") == {"train": 70, "val": 15, "test": 15}


def test_batches_go_on_from_each_other():
    tally, found = tally_new(), {}
    scenes = [Weighed(f"{n:03}", 1, {"hen present": 1}) for n in range(100)]
    for start in range(0, 100, 5):
        found |= splits_assign(scenes=scenes[start : start + 5], shares=Shares(80, 10, 10), tally=tally)
    assert counted(scenes, found, "hen present") == {"train": 80, "val": 10, "test": 10}


@pytest.mark.parametrize("text", ["", "80", "80/10/11", "0/50/50", "a/b/c", "-10/100/10", "80/10/5/5"])
def test_shares_that_are_none_are_refused(text):
    with pytest.raises(RoostError, match="shares"):
        shares_named(text)


def test_hash_keeps_the_validation_of_today_whatever_the_test_share():
    hashes = [f"{number:08x}" + "0" * 56 for number in range(1000)]
    assert sum(split_for(one) == "val" for one in hashes) == 150
    assert sum(split_for(one, Shares(70, 15, 15)) == "test" for one in hashes) == 150
    assert all(split_for(one, Shares(70, 15, 15)) == "val" for one in hashes if split_for(one) == "val")
