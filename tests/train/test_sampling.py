"""Batches are balanced, fair over an epoch, and a function of seed and step."""

from __future__ import annotations

from collections import Counter

import pytest

from training.dataset import Instance, Pair
from training.errors import Refused
from training.sampling import Sampler
from training.views import MIRRORED, PLAIN, Views


def pair(number: int, *, positive: bool, round: int = 0, exhaustive: bool = True) -> Pair:
    instances = (Instance({"size": [4, 4], "counts": "4"}, (0.0, 0.0, 1.0, 1.0)),) if positive else ()
    return Pair(number, f"{number:064x}", "thing", 4, 4, instances, round=round, is_exhaustive=exhaustive)


def pairs(positives: int, negatives: int) -> list[Pair]:
    return [pair(n, positive=n < positives) for n in range(positives + negatives)]


def test_batch_holds_the_asked_share_of_positives_first() -> None:
    batch = Sampler(pairs(5, 50), seed=1, batch_pairs=8, positive_share=0.25).batch(3)
    assert [p.is_positive for p in batch.pairs] == [True, True] + [False] * 6
    assert batch.positives == 2


def test_same_seed_and_step_give_the_same_batch_whatever_came_before() -> None:
    first, second = (Sampler(pairs(9, 11), seed=4, batch_pairs=6) for _ in range(2))
    for step in range(20):
        first.batch(step)
    assert [p.id for p in first.batch(20).pairs] == [p.id for p in second.batch(20).pairs]


def test_other_seed_gives_other_batches() -> None:
    drawn = [[p.id for p in Sampler(pairs(30, 30), seed=seed, batch_pairs=10).batch(0).pairs] for seed in (1, 2)]
    assert drawn[0] != drawn[1]


def test_every_pair_comes_once_before_any_comes_twice() -> None:
    sampler = Sampler(pairs(12, 12), seed=0, batch_pairs=4)
    drawn = Counter(p.id for step in range(6) for p in sampler.batch(step).pairs)
    assert sorted(drawn.values()) == [1] * 24


def test_newest_round_is_drawn_as_often_as_its_weight_says() -> None:
    old = [pair(n, positive=True) for n in range(10)] + [pair(n, positive=False) for n in range(10, 20)]
    new = [pair(n, positive=True, round=3) for n in range(20, 30)]
    sampler = Sampler(old + new, seed=0, batch_pairs=2, newer_weight=3.0)
    drawn = Counter(p.round for step in range(400) for p in sampler.batch(step).pairs if p.is_positive)
    assert drawn[3] / drawn[0] == pytest.approx(3.0, rel=0.02)


def test_small_batch_still_holds_both_kinds() -> None:
    batch = Sampler(pairs(3, 3), seed=0, batch_pairs=2, positive_share=0.95).batch(0)
    assert [p.is_positive for p in batch.pairs] == [True, False]


@pytest.mark.parametrize(("positives", "negatives", "word"), [(0, 5, "positives"), (5, 0, "negatives")])
def test_one_sided_training_set_is_refused(positives: int, negatives: int, word: str) -> None:
    with pytest.raises(Refused, match=f"without {word}"):
        Sampler(pairs(positives, negatives), seed=0, batch_pairs=4)


def test_pair_that_is_not_exhaustive_is_drawn_as_a_positive_and_never_as_a_negative() -> None:
    partial, silent = pair(0, positive=True, exhaustive=False), pair(1, positive=False, exhaustive=False)
    sampler = Sampler([partial, silent, pair(2, positive=False)], seed=0, batch_pairs=2)
    assert {tuple(p.id for p in sampler.batch(step).pairs) for step in range(8)} == {(0, 2)}


def test_mirroring_is_off_unless_asked_for() -> None:
    plain, flipped = (Sampler(pairs(3, 3), seed=0, batch_pairs=2, views=Views(0, mirror=on)) for on in (False, True))
    assert {view for step in range(20) for view in plain.batch(step).views} == {PLAIN}
    drawn = [set(flipped.batch(step).views) for step in range(20)]
    assert {PLAIN} in drawn
    assert {MIRRORED} in drawn
    assert all(len(views) == 1 for views in drawn)  # a step's images are all mirrored, or none
