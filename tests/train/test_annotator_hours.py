"""bench.annotator_hours: its world, what an answer costs by hand, what arms choose, a story for real, its ratio."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotator.queue.acquisition import Candidate
from bench.annotator_hours_report import (
    Curve,
    Ratio,
    at_equal_hours,
    curve,
    interval,
    ratio,
    report,
    seconds_until,
    stories,
    summary,
)
from bench.annotator_hours_story import Plan, Story, chosen, shuffled
from bench.feed import KNOWN, Frame, Sizes, World, world_of
from bench.person import Answer, Person, Work, at_the_desk, by_clicks

SMALL = Sizes(rounds=2, frames=32, repeats=8, settled=8, val=6, holdout=30)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_of("feed", tmp_path_factory.mktemp("feed"), 0, SMALL)


def pixels(world: World, frame: Frame) -> np.ndarray:
    picture = Image.open(world.images / frame.sha256[:2] / frame.sha256)
    return np.asarray(picture, dtype=float)


def test_the_feed_is_a_function_of_its_seed(world: World, tmp_path: Path):
    assert replace(world_of("feed", tmp_path / "again", 0, SMALL), images=world.images) == world
    assert world_of("feed", tmp_path / "other", 1, SMALL).pool != world.pool
    with pytest.raises(SystemExit, match="name another folder"):
        world_of("feed", tmp_path / "again", 0, replace(SMALL, frames=16))


def test_frames_of_one_scene_are_nearly_the_same_and_none_of_them_judges(world: World):
    frames = world.pool[0]
    assert [frame.scene for frame in frames[:8]] == [frames[0].scene] * 8
    first, second, other = (pixels(world, frames[place]) for place in (8, 9, 0))
    assert 0 < np.abs(first - second).mean() < np.abs(first - other).mean() / 2
    pools = {frame.scene for row in world.pool for frame in row}
    assert pools.isdisjoint(frame.scene for row in world.holdouts.values() for frame in row)


def test_most_of_the_feed_is_known_with_few_chickens_and_each_round_brings_a_kind(tmp_path: Path):
    sizes = Sizes(rounds=2, frames=200, repeats=1, settled=2, val=2, holdout=2)
    first, second = world_of("feed", tmp_path, 0, sizes).pool
    frames = [*first, *second]
    assert np.mean([frame.kind == KNOWN for frame in frames]) == pytest.approx(0.85, abs=0.05)
    assert np.mean([bool(frame.truth) for frame in frames]) == pytest.approx(0.25, abs=0.05)
    assert {frame.kind for frame in second} - {frame.kind for frame in first} == {"poster"}


def test_the_balanced_world_deals_all_its_scenes_to_the_rounds(tmp_path: Path):
    pool = world_of("balanced", tmp_path, 0, replace(SMALL, settled=2, val=2, holdout=4)).pool
    assert [len(row) for row in pool] == [240, 240]
    kinds = [frame.kind for row in pool for frame in row]
    assert (kinds.count("easy"), kinds.count("hard")) == (120, 360)
    assert len({frame.scene for row in pool for frame in row}) == 480


def square(left: int, top: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((100, 100), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def clicks(*answers: np.ndarray):
    """A click model that gives these masks one after the other, anew for each object."""

    def begin():
        left = iter(answers)
        return lambda _points: next(left)

    return begin


def test_an_answer_at_the_desk_costs_what_its_acts_cost():
    """Looked at 2, reviewed 3; one accepted 1; one off rejected 1.5; the missed one clicked 3, corrected 3, waited for
    twice; the second proposal of the accepted object is covered and costs nothing."""
    truth = [square(0, 0), square(60, 60)]
    proposals = [square(0, 1), square(2, 2), square(30, 30)]
    answer = at_the_desk(truth, proposals, clicks(square(60, 60, 5), square(60, 61)))
    assert answer.work == Work(pairs=1, accepted=1, rejected=1, clicked=1, corrections=1)
    assert [mask.argmax() for mask in answer.masks] == [100, 6160]
    assert Person().seconds(answer.work, click_seconds=0.5) == pytest.approx(2 + 3 + 1 + 1.5 + 3 + 3 + 2 * 0.5)


def test_elsewhere_every_object_is_clicked_and_one_that_never_fits_is_drawn():
    """2 + 3, three objects: one at the first click, two after four clicks each by hand."""
    fits, off = square(0, 0), square(80, 80)
    assert by_clicks([fits], clicks(fits)).work == Work(pairs=1, clicked=1)
    work = by_clicks([square(40, 40)], clicks(off, off, off, off)).work
    assert work == Work(pairs=1, clicked=1, corrections=3, drawn=1)
    assert Person(review_share=0.5).seconds(work, click_seconds=1) == 2 + 0.5 * 3 + 4 * 3 + 30 + 4


def test_a_negative_is_one_key_whatever_was_proposed():
    for answer in (at_the_desk([], [square(0, 0)], clicks()), by_clicks([], clicks())):
        assert answer == Answer([], Work(pairs=1, absent=1))
    assert Person().seconds(Work(pairs=1, absent=1), click_seconds=9) == 2 + 3 + 1.5


def test_each_rule_alone_takes_what_it_is_named_for():
    feature = np.eye(8, dtype=np.float16)
    given = [(0.5, 0.9), (0.58, 0.9), (0.95, 0.1), (0.8, 0.4), (0.65, 0.9), (0.01, None), (0.99, 0.95)]
    candidates = [Candidate(n, "chicken", *one, feature[n]) for n, one in enumerate(given)]
    first = {arm: chosen(arm, 2, candidates, seed=0) for arm in ("band", "borderline", "nearest")}
    assert first == {"band": [0, 1], "borderline": [2, 3], "nearest": [0, 1]}
    assert chosen("nearest", 3, candidates, seed=0) == [0, 1, 4]
    assert chosen("all", 2, candidates, seed=0) == list(range(7))
    drawn = [chosen("random", 2, candidates, seed=seed) for seed in range(9)]
    assert len({tuple(one) for one in drawn}) > 3
    assert drawn[0] == chosen("random", 2, candidates, seed=0)


def test_a_story_goes_its_round_with_trainer_and_gate_and_is_not_told_twice(world: World, tmp_path: Path):
    plan = Plan(0, rounds=1, budget=4, settings=("steps=1",))
    story = Story(tmp_path / "feed-0" / "random", world, "random", plan, {})
    said: list[dict] = []
    story.go_on(said.append)
    (row,) = said
    assert row["decision"] in ("promote", "undecided", "reject")
    assert row["work"]["desk"]["pairs"] == row["work"]["elsewhere"]["pairs"] == len(set(row["places"])) == 4
    assert row["work"]["elsewhere"]["accepted"] == row["work"]["elsewhere"]["rejected"] == 0
    assert 0 < row["before"]["hard"]["cgf1"] < row["before"]["random"]["cgf1"] < 1
    snapshot = json.loads((story.folder / "round-1" / "snapshot" / "holdout.json").read_text())
    assert len(snapshot["images"]) == 60
    (told,) = stories(tmp_path, 1)["feed"]["elsewhere"].values()
    assert told.labels == (0, 4)
    Story(story.folder, world, "random", plan, {}).go_on(said.append)
    assert len(said) == 1
    with pytest.raises(SystemExit, match="name another folder"):
        Story(story.folder, world, "random", replace(plan, budget=5), {}).go_on(said.append)
    report(tmp_path, rounds=1, write=False)
    assert stories(tmp_path, 2) == {}


def test_a_round_that_is_not_whole_is_done_again_and_only_that(world: World, tmp_path: Path):
    """The first round's file is there, the second was killed: its remains do not matter."""
    story = Story(tmp_path, world, "queue", Plan(0, rounds=2, budget=3, settings=("steps=1",)), {})
    places = [0, 8, 16]
    figures = {part: {"cgf1": 0.5} for part in ("both", "hard", "random")}
    first = {"places": places, "accepted": [[], [], []], "serving": None, "mined_by": None, "before": figures}
    story.file(1).write_text(json.dumps(first))
    (tmp_path / "round-2" / "snapshot").mkdir(parents=True)
    (tmp_path / "round-2" / "snapshot" / "half").touch()
    said: list[dict] = []
    story.go_on(said.append)
    assert [row["round"] for row in said] == [2]
    assert set(said[0]["places"]).isdisjoint(places)
    assert not (tmp_path / "round-2" / "snapshot" / "half").exists()
    train, val = (
        json.loads((tmp_path / "round-2" / "snapshot" / f"{name}.json").read_text()) for name in ("train", "val")
    )
    labelled = [row["round"] for row in (*train["images"], *val["images"]) if row["round"]]
    assert sorted(labelled) == [1, 1, 1, 2, 2, 2]


def test_shuffled_answers_lie_at_other_frames():
    answers = [[{"counts": str(n)}] for n in range(20)]
    moved = shuffled(answers, [0, 1])
    assert sum(one == other for one, other in zip(moved, answers, strict=True)) < 5
    assert sorted(map(str, moved)) == sorted(map(str, answers))
    assert shuffled(answers, [0, 2]) != moved


def told(seconds: tuple[float, ...], hard: tuple[float, ...]) -> Curve:
    return Curve(tuple(range(len(seconds))), seconds, {("served", "hard"): hard}, promoted=0)


def test_a_round_counts_when_it_is_over():
    """The other ends at 60 after 1000 s; the queue has that once its second round is over."""
    queue, other = told((0, 100, 300), (50, 55, 65)), told((0, 500, 1000), (50, 58, 60))
    assert seconds_until(queue, 60, "served", "hard") == 300
    assert ratio(queue, other, "served", "hard") == Ratio(0.3)
    assert ratio(other, queue, "served", "hard") == Ratio(None)
    assert ratio(queue, told((0, 9), (50, 50)), "served", "hard") == Ratio(None, is_idle=True)
    assert at_equal_hours("served", "hard")(queue, other) == 65 - 50


def test_the_interval_is_students_over_seeds():
    """1, 2, 3: mean 2, standard error 1 / sqrt(3), and Student's 4.3027 for two degrees of freedom."""
    assert interval([1, 2, 3]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert interval([1.0]) is None


def test_elsewhere_differs_from_random_order_by_its_price_alone():
    desk = {"pairs": 1, "absent": 0, "accepted": 1, "rejected": 0, "clicked": 0, "corrections": 0, "drawn": 0}
    figures = {part: {"cgf1": 0.5} for part in ("hard", "random")}
    row = {
        "places": [7],
        "tail": 1,
        "scenes": 1,
        "decision": "promote",
        "before": figures,
        "served": figures,
        "trained": figures,
    }
    row["work"] = {"desk": desk, "elsewhere": {**desk, "accepted": 0, "clicked": 1}}
    assert curve([row], "desk", 0.0).seconds == (0, 2 + 3 + 1)
    assert curve([row], "elsewhere", 0.25).seconds == (0, 2 + 3 + 3 + 0.25)
    world = {arm: {0: curve([row], arm, 0.0)} for arm in ("elsewhere",)} | {"queue": {0: curve([row], "desk", 0.0)}}
    (first, *_) = summary(world)["queue_against"]
    assert (first["other"], first["share_of_seconds"]) == ("elsewhere", ["other gained nothing"])
    assert first["equal_labels"] == {"mean": 0.0, "interval": None}
