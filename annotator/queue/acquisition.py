"""Why an image deserves a person. Pure functions: predictions and thresholds in, an ordered choice with reasons out.

First a share of the batch is drawn at random from everything and spread evenly over the order, because a confident
mistake is in no band; being drawn first, it tells the error of the serving model without bias. Four reasons share the
rest in proportion to their weights: presence inside the band; two models that disagree; masks that are unstable; the
rest. Within a reason the pair that is expected to teach most for a second of a person comes first (worth.py over
prices.py), or, where the project ranks by doubt, the one nearest to 0.5. What looks like another pair of its concept,
chosen or answered, comes last within its reason: the second of each kind before the third of any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .likeness import SIMILAR, directions
from .prices import PUBLIC, Figures, price, price_words
from .worth import gain

# From here on two models disagree: by presence, or by the overlap of their best masks where both see the thing.
PRESENCES_APART, MASKS_APART = 0.25, 0.7

BAND, DISAGREEMENT, BORDERLINE, AUDIT, FILL = "band", "disagreement", "borderline", "audit", "fill"
# What a project may rank by within a reason.
BY_VALUE, BY_DOUBT = "value", "doubt"


@dataclass(frozen=True)
class Candidate:
    """One unseen pair as the serving model sees it. `min_stability` is None without instances.

    `other_presence` is a second model's, None without one; `other_iou` the overlap of both's best masks, None where not
    both see the thing. `scene`: the same for frames that hardly differ; empty where it is not known.
    """

    pair_id: int
    concept: str
    presence: float
    min_stability: float | None
    feature: np.ndarray | None = None
    other_presence: float | None = None
    other_iou: float | None = None
    scores: tuple[float, ...] = ()
    scene: str = ""


@dataclass(frozen=True)
class Thresholds:
    """A project's settings; `audit_share` is a fraction of `batch`.

    Reasons share the rest of it by weight; one of weight 0 is drawn on when the others have run out.
    """

    presence_low: float
    presence_high: float
    stability_below: float
    audit_share: float
    batch: int
    weight_band: float = 1.0
    weight_disagreement: float = 0.5
    weight_borderline: float = 0.5
    weight_fill: float = 0.0
    rank_by: str = BY_VALUE


@dataclass(frozen=True)
class Choice:
    """A pair to queue: higher `priority` comes first; `reasons` = [{kind, value, words}].

    `price_seconds` of a person are expected to buy `gain` bits.
    """

    pair_id: int
    reason: str
    reasons: list[dict]
    priority: float
    price_seconds: float
    gain: float


@dataclass(frozen=True)
class Value:
    """What a pair is expected to teach, and to cost."""

    gain: float
    seconds: float

    @property
    def per_second(self) -> float:
        return self.gain / self.seconds


Values = dict[int, Value]  # by pair
Directions = dict[int, np.ndarray]  # by pair, unit vectors


def choose(
    candidates: Sequence[Candidate],
    thresholds: Thresholds,
    *,
    seed: int,
    answered: Sequence[Candidate] = (),
    figures: Figures = PUBLIC,
) -> list[Choice]:
    """At most `batch` choices, best first; the same candidates and seed give the same choices.

    `answered`: pairs that people have in hand or have answered, which the model has not learnt from yet. `figures`:
    what a person's work takes.
    """
    ordered = sorted(candidates, key=lambda one: one.pair_id)
    towards = directions_of([*ordered, *answered])
    values = values_of(ordered, thresholds, figures)
    audits = min(len(ordered), int(thresholds.batch * thresholds.audit_share + 0.5))
    drawn = [(one, AUDIT) for one in _draw(ordered, audits, seed)]
    limit = thresholds.batch - len(drawn)
    by_reason = _by_reason(_without(ordered, drawn), _Seen(answered, towards), values, thresholds, limit)
    return _ranked(_spread(_share_out(by_reason, thresholds, limit), drawn), values, thresholds)


def directions_of(candidates: Sequence[Candidate]) -> Directions:
    """pair -> its feature as a direction (likeness.py); without those that have none."""
    featured = [(one.pair_id, one.feature) for one in candidates if one.feature is not None]
    if not featured:
        return {}
    units = directions(np.stack([feature for _, feature in featured]))
    return dict(zip([pair_id for pair_id, _ in featured], units, strict=True))


def values_of(candidates: Sequence[Candidate], thresholds: Thresholds, figures: Figures = PUBLIC) -> Values:
    return {one.pair_id: Value(_gain(one, thresholds), price(one.presence, one.scores, figures)) for one in candidates}


def _gain(one: Candidate, thresholds: Thresholds) -> float:
    return gain(
        presence=one.presence,
        scores=one.scores,
        stability=one.min_stability,
        stability_below=thresholds.stability_below,
        apart=_apart(one) if disagrees(one) else 0.0,
    )


def in_band(candidate: Candidate, thresholds: Thresholds) -> bool:
    return thresholds.presence_low <= candidate.presence <= thresholds.presence_high


def is_borderline(candidate: Candidate, thresholds: Thresholds) -> bool:
    """The model says that it is there, but at least one outline depends on where the line is drawn."""
    stability = candidate.min_stability
    return (
        stability is not None
        and candidate.presence > thresholds.presence_low
        and (stability < thresholds.stability_below)
    )


def disagrees(candidate: Candidate) -> bool:
    """The second model gives another presence, or draws another best mask."""
    presence, iou = candidate.other_presence, candidate.other_iou
    if presence is None:
        return False
    return abs(presence - candidate.presence) > PRESENCES_APART or (iou is not None and iou < MASKS_APART)


Chosen = list[tuple[Candidate, str]]


def _by_reason(
    candidates: Sequence[Candidate], seen: "_Seen", values: Values, thresholds: Thresholds, limit: int
) -> dict[str, list[Candidate]]:
    """Each reason's candidates in its own order, every candidate under the first reason that holds for it."""
    found: dict[str, list[Candidate]] = {BAND: [], DISAGREEMENT: [], BORDERLINE: [], FILL: []}
    for one in candidates:
        found[_main_reason(one, thresholds)].append(one)
    _sort(found, values, thresholds)
    return {reason: _diverse(ordered, seen, limit) for reason, ordered in found.items()}


def _sort(found: dict[str, list[Candidate]], values: Values, thresholds: Thresholds) -> None:
    if thresholds.rank_by == BY_VALUE:
        for some in found.values():
            some.sort(key=lambda one: values[one.pair_id].per_second, reverse=True)
        return
    found[BAND].sort(key=_distance)
    found[DISAGREEMENT].sort(key=_apart, reverse=True)
    found[BORDERLINE].sort(key=lambda one: one.min_stability or 0.0)
    found[FILL].sort(key=_distance)


def _main_reason(candidate: Candidate, thresholds: Thresholds) -> str:
    if in_band(candidate, thresholds):
        return BAND
    if disagrees(candidate):
        return DISAGREEMENT
    return BORDERLINE if is_borderline(candidate, thresholds) else FILL


def _share_out(by_reason: dict[str, list[Candidate]], thresholds: Thresholds, limit: int) -> Chosen:
    """Place after place to the reason with the most weight for the places it has (D'Hondt), of equals to the first."""
    chosen: Chosen = []
    taken = dict.fromkeys(by_reason, 0)
    while len(chosen) < limit and (left := [reason for reason in by_reason if taken[reason] < len(by_reason[reason])]):
        reason = max(left, key=lambda reason: getattr(thresholds, f"weight_{reason}") / (taken[reason] + 1))
        chosen.append((by_reason[reason][taken[reason]], reason))
        taken[reason] += 1
    return chosen


def _apart(candidate: Candidate) -> float:
    presences = abs((candidate.other_presence or 0.0) - candidate.presence)
    return max(presences, 1 - candidate.other_iou if candidate.other_iou is not None else 0.0)


def _distance(candidate: Candidate) -> float:
    return abs(candidate.presence - 0.5)


class _Seen:
    """The looks of each concept met so far, and how many pairs came after the first of each."""

    def __init__(self, answered: Iterable[Candidate], towards: Directions) -> None:
        self._towards = towards
        self._looks: dict[str, np.ndarray] = {}  # concept -> unit vectors, more rows than are filled
        self._filled: dict[str, int] = {}
        self._more: dict[tuple[str, int], int] = {}
        self._scenes: dict[tuple[str, str], int] = {}
        for one in answered:
            self.times(one)

    def times(self, one: Candidate) -> int:
        """How many of its scene, or that look like it, were met before this one; it counts for the next."""
        return max(self._of_scene(one), self._alike(one))

    def _of_scene(self, one: Candidate) -> int:
        if not one.scene:
            return 0
        before = self._scenes.get((one.concept, one.scene), 0)
        self._scenes[one.concept, one.scene] = before + 1
        return before

    def _alike(self, one: Candidate) -> int:
        direction = self._towards.get(one.pair_id)
        if direction is None:
            return 0
        filled = self._filled.get(one.concept, 0)
        alike = self._looks[one.concept][:filled] @ direction if filled else np.array([0.0])
        place = int(alike.argmax())
        if alike[place] <= SIMILAR:
            self._keep(one.concept, direction, filled)
            return 0
        nearest = one.concept, place
        self._more[nearest] = self._more.get(nearest, 0) + 1
        return self._more[nearest]

    def _keep(self, concept: str, feature: np.ndarray, filled: int) -> None:
        looks = self._looks.setdefault(concept, np.zeros((64, len(feature)), np.float32))
        if filled == len(looks):
            looks = self._looks[concept] = np.concatenate([looks, np.zeros_like(looks)])
        looks[filled] = feature
        self._filled[concept] = filled + 1


def _diverse(candidates: Iterable[Candidate], seen: _Seen, limit: int) -> list[Candidate]:
    """The first `limit` in the same order, but what looks like an earlier one of its concept steps behind the rest."""
    fresh: list[Candidate] = []
    alike: list[tuple[int, Candidate]] = []
    for one in candidates:
        if len(fresh) >= limit:
            break
        times = seen.times(one)
        if times:
            alike.append((times, one))
        else:
            fresh.append(one)
    alike.sort(key=lambda found: found[0])
    return (fresh + [one for _, one in alike])[: max(limit, 0)]


def _without(candidates: Sequence[Candidate], chosen: Chosen) -> list[Candidate]:
    taken = {one.pair_id for one, _ in chosen}
    return [one for one in candidates if one.pair_id not in taken]


def _draw(candidates: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
    count = min(count, len(candidates))
    if not count:
        return []
    picks = np.random.default_rng(seed).choice(len(candidates), size=count, replace=False)
    return [candidates[pick] for pick in picks]


def _spread(doubtful: Chosen, audits: Chosen) -> Chosen:
    """Audits at even distances, so that they are labelled even when a batch is not finished."""
    total = len(doubtful) + len(audits)
    places = {int((number + 0.5) * total / len(audits)): one for number, one in enumerate(audits)}
    others = iter(doubtful)
    return [places[place] if place in places else next(others) for place in range(total)]


def _ranked(chosen: Chosen, values: Values, thresholds: Thresholds) -> list[Choice]:
    choices = []
    for place, (one, reason) in enumerate(chosen):
        value, priority = values[one.pair_id], round(1 - place / len(chosen), 6)
        reasons = _reasons(one, reason, thresholds, value.seconds)
        choices.append(Choice(one.pair_id, reason, reasons, priority, round(value.seconds, 2), round(value.gain, 4)))
    return choices


def audit_words(concept: str, presence: float) -> str:
    return f"Drawn by chance, to catch what the model is wrongly sure of: it gives “{concept}” {100 * presence:.0f} %."


def _reasons(one: Candidate, reason: str, thresholds: Thresholds, seconds: float) -> list[dict]:
    """What it was chosen for comes first; an unstable mask is told beside another reason too; its price last.

    An audit is told no price: a task with a known answer passes for one, and has none.
    """
    percent = f"{100 * one.presence:.0f} %"
    words = {
        BAND: f"The model can't decide whether this shows “{one.concept}”: it gives {percent}.",
        AUDIT: audit_words(one.concept, one.presence),
        FILL: _fill_words(one.concept, percent, thresholds),
    }
    reasons = [{"kind": reason, "value": one.presence, "words": words[reason]}] if reason in words else []
    if reason != AUDIT and disagrees(one):
        reasons.append({"kind": DISAGREEMENT, "value": round(_apart(one), 4), "words": _disagreement(one)})
    if reason != AUDIT and is_borderline(one, thresholds):
        text = f"The outline of a mask is unsure: it keeps {100 * (one.min_stability or 0):.0f} % of its shape."
        reasons.append({"kind": BORDERLINE, "value": one.min_stability, "words": text})
    if reason != AUDIT:
        reasons.append({"kind": "price", "value": round(seconds, 1), "words": price_words(one.scores, seconds)})
    return reasons


def _fill_words(concept: str, percent: str, thresholds: Thresholds) -> str:
    if thresholds.rank_by == BY_VALUE:
        given = f"the model gives “{concept}” {percent}"
        return f"Nothing else is unsure; of the rest, this is among what teaches most for its time: {given}."
    return f"Nothing else is unsure; of the rest, this is among the nearest to a toss-up: {percent}."


def _disagreement(one: Candidate) -> str:
    first, second = one.presence, one.other_presence or 0.0
    if abs(first - second) > PRESENCES_APART:
        shares = (
            f"the serving one gives “{one.concept}” {100 * first:.0f} %, the newest trained one {100 * second:.0f} %"
        )
        return f"Two models disagree: {shares}."
    return f"Two models draw it differently: their best masks overlap by {100 * (one.other_iou or 0):.0f} %."
