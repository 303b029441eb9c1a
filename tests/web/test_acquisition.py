"""Which pairs are chosen for a person, in which order, and what the annotator is told."""

import numpy as np

from annotator.queue.acquisition import Candidate, Thresholds, choose

SETTINGS = {"presence_low": 0.4, "presence_high": 0.6, "stability_below": 0.75, "audit_share": 0.0, "batch": 10}


def candidate(pair_id: int, presence: float, stability: float | None = 0.9, concept="chicken", feature=None, **other):
    vector = None if feature is None else np.array(feature, np.float16)
    return Candidate(pair_id, concept, presence, stability, vector, **other)


def chosen(candidates, seed=1, **settings):
    return choose(candidates, Thresholds(**SETTINGS | settings), seed=seed)


def ids(choices, reason=None) -> list[int]:
    return [one.pair_id for one in choices if reason in (None, one.reason)]


def test_nearest_to_a_toss_up_comes_first():
    choices = chosen([candidate(1, 0.42), candidate(2, 0.51), candidate(3, 0.56)])
    assert ids(choices, "band") == [2, 3, 1]
    assert choices[0].priority > choices[1].priority > choices[2].priority


def test_wobbling_masks_follow_the_band_least_stable_first():
    choices = chosen([candidate(1, 0.9, 0.7), candidate(2, 0.5), candidate(3, 0.9, 0.4)], batch=3)
    assert [(one.pair_id, one.reason) for one in choices] == [(2, "band"), (3, "borderline"), (1, "borderline")]


def test_wobbling_mask_of_something_the_model_denies_is_no_reason():
    assert ids(chosen([candidate(1, 0.1, 0.2)], batch=1), "borderline") == []


def test_short_batch_is_filled_with_the_nearest_to_a_toss_up():
    choices = chosen([candidate(1, 0.95), candidate(2, 0.3), candidate(3, 0.5)], batch=2)
    assert [(one.pair_id, one.reason) for one in choices] == [(3, "band"), (2, "fill")]


def test_batch_is_never_exceeded():
    assert len(chosen([candidate(n, 0.5) for n in range(100)], batch=7, audit_share=0.1)) == 7


def test_near_duplicates_step_behind_what_looks_different():
    look_alikes = [
        candidate(1, 0.50, feature=[5, 1]),
        candidate(2, 0.51, feature=[5, 1]),
        candidate(3, 0.59, feature=[-5, 0]),
    ]
    assert ids(chosen(look_alikes, batch=2)) == [1, 3]
    assert ids(chosen(look_alikes, batch=3)) == [1, 3, 2]


def test_second_of_each_kind_comes_before_the_third_of_any():
    kinds = {"a": [5, 0, 0], "b": [0, 5, 0], "c": [0, 0, 5]}
    frames = [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 5), ("b", 6), ("c", 7)]
    pool = [candidate(number, 0.5 + number / 100, feature=kinds[kind]) for kind, number in frames]
    assert ids(chosen(pool, batch=6)) == [1, 5, 7, 2, 6, 3]


def test_what_looks_like_an_answered_pair_steps_behind():
    pool = [candidate(1, 0.50, feature=[5, 0]), candidate(2, 0.59, feature=[-5, 0])]
    answered = [candidate(9, 0.50, feature=[5, 0])]
    assert ids(chosen(pool, batch=1)) == [1]
    assert ids(choose(pool, Thresholds(**SETTINGS | {"batch": 1}), seed=1, answered=answered)) == [2]
    other = [candidate(9, 0.50, concept="duck", feature=[5, 0])]
    assert ids(choose(pool, Thresholds(**SETTINGS | {"batch": 1}), seed=1, answered=other)) == [1]


def test_two_concepts_of_one_image_are_no_duplicates():
    feature = [5, 1]
    pair = [candidate(1, 0.50, feature=feature), candidate(2, 0.51, concept="duck", feature=feature)]
    other = candidate(3, 0.55, feature=[-5, 0])
    assert ids(chosen([*pair, other], batch=2)) == [1, 2]


def test_audit_share_is_kept_apart_from_what_the_model_doubts():
    sure = [candidate(n, 0.99) for n in range(100, 200)]
    choices = chosen([*(candidate(n, 0.5) for n in range(100)), *sure], batch=50, audit_share=0.1)
    assert len(ids(choices, "audit")) == 5
    assert len(ids(choices, "band")) == 45


def test_every_pair_is_as_likely_to_be_audited_whether_in_doubt_or_not():
    pool = [candidate(n, 0.5 if n % 4 else 0.99) for n in range(400)]
    drawn = [pair for seed in range(40) for pair in ids(chosen(pool, seed=seed, batch=50, audit_share=0.5), "audit")]
    # 1000 draws of which a quarter is expected from the sure quarter; three standard deviations are 0.04.
    assert 0.21 < sum(pair % 4 == 0 for pair in drawn) / len(drawn) < 0.29


def test_audit_is_drawn_without_regard_to_looks_reasons_and_answers():
    """Near-duplicates, doubt, a second opinion, an answered likeness: none makes a pair likelier or less likely."""
    plain = [candidate(n, 0.99) for n in range(200)]
    loaded = [
        candidate(n, 0.5 if n % 3 else 0.99, 0.4, feature=[5, n % 2], other_presence=0.1 if n % 5 else None)
        for n in range(200)
    ]
    settings = Thresholds(**SETTINGS | {"batch": 40, "audit_share": 0.5})
    answered = [candidate(900, 0.5, feature=[5, 0])]
    told = choose(loaded, settings, seed=7, answered=answered)
    assert ids(told, "audit") == ids(choose(plain, settings, seed=7), "audit")
    assert len(ids(told, "audit")) == 20


def test_models_that_disagree_come_most_different_first():
    near = candidate(1, 0.9, other_presence=0.8, other_iou=0.71)
    masks = candidate(2, 0.9, other_presence=0.8, other_iou=0.6)
    words = candidate(3, 0.9, other_presence=0.2)
    choices = chosen([near, masks, words], batch=3)
    assert [(one.pair_id, one.reason) for one in choices] == [(3, "disagreement"), (2, "disagreement"), (1, "fill")]
    assert "90 %" in choices[0].reasons[0]["words"]
    assert "20 %" in choices[0].reasons[0]["words"]
    assert "60 %" in choices[1].reasons[0]["words"]


def three_reasons() -> list[Candidate]:
    band = [candidate(n, 0.5) for n in range(100)]
    borderline = [candidate(n, 0.9, 0.5) for n in range(100, 200)]
    return band + borderline + [candidate(n, 0.9, other_presence=0.1) for n in range(200, 300)]


def test_reasons_share_a_batch_by_their_weights():
    choices = chosen(three_reasons(), batch=40, weight_band=1.0, weight_borderline=0.5, weight_disagreement=0.5)
    assert [len(ids(choices, reason)) for reason in ("band", "borderline", "disagreement")] == [20, 10, 10]
    halfway = choices[:20]
    assert [len(ids(halfway, reason)) for reason in ("band", "borderline", "disagreement")] == [10, 5, 5]


def test_reason_of_weight_zero_is_drawn_on_only_when_the_others_run_out():
    pool = three_reasons()
    assert ids(chosen(pool, batch=100, weight_borderline=0.0), "borderline") == []
    assert len(ids(chosen(pool, batch=210, weight_borderline=0.0), "borderline")) == 10


def test_audits_are_spread_over_the_batch():
    pool = [candidate(n, 0.5) for n in range(200)]
    places = [place for place, one in enumerate(chosen(pool, batch=50, audit_share=0.1)) if one.reason == "audit"]
    assert places == [5, 15, 25, 35, 45]


def test_audit_reaches_confident_predictions():
    pool = [candidate(n, 0.001) for n in range(1000)] + [candidate(5000, 0.5)]
    drawn = chosen(pool, batch=20, audit_share=0.5)
    assert all(one.reasons[0]["value"] == 0.001 for one in drawn if one.reason == "audit")


def test_same_seed_draws_the_same_and_another_draws_others():
    pool = [candidate(n, 0.01 * (n % 100)) for n in range(300)]
    first, again, other = (chosen(pool, seed=seed, audit_share=0.5) for seed in (1, 1, 2))
    assert first == again
    assert ids(first, "audit") != ids(other, "audit")


def test_every_choice_says_why_in_words():
    # Two of each kind, so that whichever the audit draws, one is left.
    kinds = [(0.52, 0.9), (0.8, 0.61), (0.2, 0.9)]
    pool = [candidate(n, *kind) for n, kind in enumerate(2 * kinds)]
    words = {one.reason: one.reasons[0]["words"] for one in chosen(pool, batch=6, audit_share=0.17)}
    assert "52 %" in words["band"]
    assert "chicken" in words["band"]
    assert "61 %" in words["borderline"]
    assert "chance" in words["audit"]
    assert set(words) == {"band", "borderline", "audit", "fill"}


def test_nothing_unseen_gives_no_choices():
    assert chosen([]) == []


def test_hundred_thousand_pairs_are_chosen_from():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100_000, 16)).astype(np.float16)
    pool = [candidate(n, float(p), feature=features[n]) for n, p in enumerate(rng.random(100_000))]
    assert len(chosen(pool, batch=200, audit_share=0.1)) == 200


def test_second_frame_of_a_scene_comes_after_other_scenes_however_much_it_teaches():
    pool = [candidate(n, 0.5, scores=(0.6,), scene="yard") for n in (1, 2)] + [candidate(3, 0.42, scene="barn")]
    assert ids(chosen(pool, batch=2)) == [1, 3]
    assert ids(chosen(pool, batch=3)) == [1, 3, 2]


def test_more_doubt_for_a_second_comes_first():
    # One object in doubt beside a toss-up: 1 bit + 0.5 for 0.5 x 6 s + 0.5 x 3 s = 4.5 s. None: 1 bit for 6 s.
    # Four sure objects: 1 bit for 0.5 x 6 s + 0.5 x 12 s = 9 s.
    pool = [candidate(1, 0.5, scores=(0.9,) * 4), candidate(2, 0.5), candidate(3, 0.5, scores=(0.6,))]
    choices = chosen(pool)
    assert [(one.pair_id, one.price_seconds, one.gain) for one in choices] == [(3, 4.5, 1.5), (2, 6, 1), (1, 9, 1)]


def test_project_that_ranks_by_doubt_keeps_the_nearest_to_a_toss_up_first():
    pool = [candidate(1, 0.58, scores=(0.6,)), candidate(2, 0.5, scores=(0.9,) * 4)]
    assert ids(chosen(pool)) == [1, 2]
    assert ids(chosen(pool, rank_by="doubt")) == [2, 1]


def test_every_choice_but_an_audit_says_its_price():
    pool = [candidate(n, 0.5, scores=(0.9, 0.8)) for n in range(4)]
    last = {one.reason: one.reasons[-1] for one in chosen(pool, batch=4, audit_share=0.25)}
    assert last["band"] == {"kind": "price", "value": 6.0, "words": "2 objects to check, about 6 s."}
    # A task with a known answer passes for an audit; a price would tell them apart.
    assert last["audit"]["kind"] == "audit"
