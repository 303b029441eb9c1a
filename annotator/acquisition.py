"""Why an image deserves a person. Pure functions: predictions and thresholds in, an ordered choice with reasons out.

In order: presence inside the band, nearest to 0.5 first; masks that wobble; then, when that is less than was asked for,
the nearest to 0.5. Near-duplicates of a concept come last within their group. A share of the batch is drawn at random
from everything else and spread evenly over the order, because a confident mistake is in no band.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

# Cosine of two images' features after the batch's mean is taken away; from here on the second teaches little.
SIMILAR = 0.9

BAND, BORDERLINE, AUDIT, FILL = "band", "borderline", "audit", "fill"


@dataclass(frozen=True)
class Candidate:
    """One unseen pair as the serving model sees it. `min_stability` is None without instances."""

    pair_id: int
    concept: str
    presence: float
    min_stability: float | None
    feature: np.ndarray | None = None


@dataclass(frozen=True)
class Thresholds:
    """A project's settings; `audit_share` is a fraction of `batch`."""

    presence_low: float
    presence_high: float
    stability_below: float
    audit_share: float
    batch: int


@dataclass(frozen=True)
class Choice:
    """A pair to queue: higher `priority` comes first; `reasons` = [{kind, value, words}]."""

    pair_id: int
    lane: str
    reasons: list[dict]
    priority: float


def choose(candidates: Sequence[Candidate], thresholds: Thresholds, *, seed: int) -> list[Choice]:
    """At most `batch` choices, best first; the same candidates and seed give the same choices."""
    ordered = _directions(sorted(candidates, key=lambda one: one.pair_id))
    audits = min(len(ordered), int(thresholds.batch * thresholds.audit_share + 0.5))
    doubtful = _doubtful(ordered, thresholds, thresholds.batch - audits)
    rest = _without(ordered, doubtful)
    drawn = [(one, AUDIT) for one in _draw(rest, audits, seed)]
    rest = _without(rest, drawn)
    missing = thresholds.batch - len(doubtful) - len(drawn)
    already = [one for one, _ in doubtful]
    filling = [(one, FILL) for one in _diverse(sorted(rest, key=_distance), already, missing)]
    return _ranked(_spread(doubtful + filling, drawn), thresholds)


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


Chosen = list[tuple[Candidate, str]]


def _doubtful(candidates: list[Candidate], thresholds: Thresholds, limit: int) -> Chosen:
    band = sorted((one for one in candidates if in_band(one, thresholds)), key=_distance)
    borderline = [one for one in candidates if is_borderline(one, thresholds) and not in_band(one, thresholds)]
    borderline.sort(key=lambda one: one.min_stability or 0.0)
    first = _diverse(band, [], limit)
    second = _diverse(borderline, first, limit - len(first))
    return [(one, BAND) for one in first] + [(one, BORDERLINE) for one in second]


def _distance(candidate: Candidate) -> float:
    return abs(candidate.presence - 0.5)


def _directions(candidates: list[Candidate]) -> list[Candidate]:
    """Features as unit vectors about their mean: what all images share says nothing about which are alike."""
    features = [one.feature.astype(np.float32) for one in candidates if one.feature is not None]
    if not features:
        return candidates
    mean = np.mean(np.stack(features), axis=0)
    return [
        replace(one, feature=_unit(one.feature.astype(np.float32) - mean)) if one.feature is not None else one
        for one in candidates
    ]


def _unit(feature: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(feature))
    return feature / length if length else feature


def _diverse(candidates: Iterable[Candidate], already: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The first `limit` in the same order, but what looks like an earlier one of its concept steps behind the rest."""
    kept: dict[str, list[np.ndarray]] = {}
    for one in already:
        _keep(kept, one)
    fresh: list[Candidate] = []
    alike: list[Candidate] = []
    for one in candidates:
        if len(fresh) >= limit:
            break
        if _is_alike(kept, one):
            alike.append(one)
        else:
            fresh.append(one)
            _keep(kept, one)
    return (fresh + alike)[: max(limit, 0)]


def _keep(kept: dict[str, list[np.ndarray]], one: Candidate) -> None:
    if one.feature is not None:
        kept.setdefault(one.concept, []).append(one.feature)


def _is_alike(kept: dict[str, list[np.ndarray]], one: Candidate) -> bool:
    others = kept.get(one.concept)
    if one.feature is None or not others:
        return False
    return bool((np.stack(others) @ one.feature).max() > SIMILAR)


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


def _ranked(chosen: Chosen, thresholds: Thresholds) -> list[Choice]:
    return [
        Choice(one.pair_id, lane, _reasons(one, lane, thresholds), round(1 - place / len(chosen), 6))
        for place, (one, lane) in enumerate(chosen)
    ]


def _reasons(one: Candidate, lane: str, thresholds: Thresholds) -> list[dict]:
    """The lane's own reason first; a wobbling mask is told beside another lane too."""
    percent = f"{100 * one.presence:.0f} %"
    words = {
        BAND: f"The model can't decide whether this shows “{one.concept}”: it gives {percent}.",
        AUDIT: f"Drawn by chance, to catch what the model is wrongly sure of: it gives “{one.concept}” {percent}.",
        FILL: f"Nothing else is in doubt; of the rest, this is among the nearest to a toss-up: {percent}.",
    }
    reasons = [{"kind": lane, "value": one.presence, "words": words[lane]}] if lane in words else []
    if lane != AUDIT and is_borderline(one, thresholds):
        text = f"The outline of a mask is unsure: it keeps {100 * (one.min_stability or 0):.0f} % of its shape."
        reasons.append({"kind": BORDERLINE, "value": one.min_stability, "words": text})
    return reasons
