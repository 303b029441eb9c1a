"""The finished stories of bench.annotator_hours as tables, paired differences and a plot.

A story counts when the rounds that are asked for are done. "Served" is the model after the gate's decision, what a
user would have; "trained" is each round's challenger, whatever the gate said. Differences are paired by seed, their
intervals (95 %) Student's over seeds: other worlds and other draws of them. A round counts when it is over.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.annotator_hours_story import ALL, ARMS, ELSEWHERE, QUEUE, RANDOM
from bench.few_labels import REPOSITORY
from bench.few_labels_report import put_table
from bench.person import DESK_CLICK_SECONDS, ELSEWHERE_CLICK_SECONDS, Person, Work
from bench.plot import line_plot
from toolbox.files import write_json

RESULTS = REPOSITORY / "bench" / "results"
PARTS = ("hard", "random")
MODELS = ("served", "trained")
GOALS = {ELSEWHERE: 1 / 3, RANDOM: 1 / 2}
Row = dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """Of one arm and one seed, from before the first label on: cumulated, CGF1 in points by model and holdout."""

    labels: tuple[int, ...]
    seconds: tuple[float, ...]
    cgf1: dict[tuple[str, str], tuple[float, ...]]
    promoted: int
    tail: int = 0  # labels of the tail
    scenes: int = 0  # that were labelled, each counted once a round

    def after(self, seconds: float, model: str, part: str) -> float:
        """What the last round that was finished by then had."""
        place = int(np.searchsorted(self.seconds, seconds, side="right")) - 1
        return self.cgf1[model, part][place]


Told = dict[str, dict[int, Curve]]  # arm -> seed -> curve


def stories(folder: Path, rounds: int) -> dict[str, Told]:
    """By world, those that have so many rounds; `random` is told twice, by two prices. A control's name says so."""
    worlds: dict[str, Told] = defaultdict(lambda: defaultdict(dict))
    for plan in sorted(folder.glob("*/*/plan.json")):
        asked = json.loads(plan.read_text())
        files = [plan.parent / f"round-{number}.json" for number in range(1, rounds + 1)]
        if not all(file.exists() for file in files):
            continue
        rows = [json.loads(file.read_text()) for file in files]
        world, mark = plan.parent.parent.name.rpartition("-")[0], ", shuffled" if asked["is_shuffled"] else ""
        worlds[world][rows[0]["arm"] + mark][asked["seed"]] = curve(rows, "desk", DESK_CLICK_SECONDS)
        if rows[0]["arm"] == RANDOM:
            worlds[world][ELSEWHERE + mark][asked["seed"]] = curve(rows, ELSEWHERE, ELSEWHERE_CLICK_SECONDS)
    return {world: {arm: told[arm] for arm in sorted(told, key=_order)} for world, told in worlds.items()}


def _order(arm: str) -> tuple[bool, int]:
    return "shuffled" in arm, ARMS.index(arm.partition(",")[0])


def curve(rows: Sequence[Row], price: str, click_seconds: float) -> Curve:
    person = Person()
    seconds = [person.seconds(Work(**row["work"][price]), click_seconds=click_seconds) for row in rows]
    cgf1 = {
        (model, part): tuple(100 * row[part]["cgf1"] for row in (rows[0]["before"], *(row[model] for row in rows)))
        for model in MODELS
        for part in PARTS
    }
    return Curve(
        tuple(_from_zero([len(row["places"]) for row in rows])),
        tuple(_from_zero(seconds)),
        cgf1,
        *(sum(row["decision"] == "promote" for row in rows), sum(row["tail"] for row in rows)),
        sum(row["scenes"] for row in rows),
    )


def _from_zero(steps: Sequence[Any]) -> list[Any]:
    return [0, *np.cumsum(steps).tolist()]


def seconds_until(mine: Curve, target: float, model: str, part: str) -> float | None:
    """The end of the first round after which it has the target: a model comes with a whole round. None: never."""
    reached = zip(mine.seconds[1:], mine.cgf1[model, part][1:], strict=True)
    return next((seconds for seconds, figure in reached if figure >= target), None)


@dataclass(frozen=True)
class Ratio:
    """The share of the other's seconds in which the queue has what the other has in the end, of one seed.

    `is_idle`: the other gained nothing, so that there is nothing to reach. `value` None: never reached.
    """

    value: float | None
    is_idle: bool = False


def ratio(queue: Curve, other: Curve, model: str, part: str) -> Ratio:
    figures = other.cgf1[model, part]
    if figures[-1] <= figures[0]:
        return Ratio(None, is_idle=True)
    seconds = seconds_until(queue, figures[-1], model, part)
    return Ratio(None if seconds is None else seconds / other.seconds[-1])


def interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Student's, 95 %; None for fewer than two seeds."""
    if len(differences) < 2:
        return None
    error = float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return float(np.mean(differences)) - reach, float(np.mean(differences)) + reach


def paired(told: Told, other: str, figure: Callable[[Curve, Curve], float]) -> list[float]:
    """`figure` of the queue and the other arm, for the seeds that both have."""
    queue, others = told.get(QUEUE, {}), told.get(other, {})
    return [figure(queue[seed], others[seed]) for seed in sorted(queue.keys() & others.keys())]


def at_equal_labels(model: str, part: str) -> Callable[[Curve, Curve], float]:
    return lambda queue, other: queue.cgf1[model, part][-1] - other.cgf1[model, part][-1]


def at_equal_hours(model: str, part: str) -> Callable[[Curve, Curve], float]:
    """When the one that was ready first has used all its time."""

    def figure(queue: Curve, other: Curve) -> float:
        shared = min(queue.seconds[-1], other.seconds[-1])
        return queue.after(shared, model, part) - other.after(shared, model, part)

    return figure


def summary(told: Told) -> dict[str, Any]:
    """All figures of one world, for the file."""
    return {"arms": [_arm(arm, curves) for arm, curves in told.items()], "queue_against": _against(told)}


def _arm(arm: str, curves: dict[int, Curve]) -> Row:
    every = [curves[seed] for seed in sorted(curves)]
    row: Row = {"arm": arm, "seeds": sorted(curves), "promoted": [one.promoted for one in every]}
    row["labels"] = _mean([one.labels for one in every])
    row["minutes"] = _mean([np.array(one.seconds) / 60 for one in every])
    row |= {"tail": float(_mean([one.tail for one in every])), "scenes": float(_mean([one.scenes for one in every]))}
    for model in MODELS:
        row[model] = {part: _mean([one.cgf1[model, part] for one in every]) for part in PARTS}
        ends = {part: [round(one.cgf1[model, part][-1], 2) for one in every] for part in PARTS}
        row[f"{model}_at_the_end"] = ends
    return row


def _mean(rows: Sequence[Any]) -> Any:
    return np.round(np.mean(rows, axis=0), 2).tolist()


def _against(told: Told) -> list[Row]:
    rows = []
    for other, goal in GOALS.items():
        for model in MODELS:
            for part in PARTS:
                ratios = [ratio(*pair, model, part) for pair in _pairs(told, other)]
                labels = paired(told, other, at_equal_labels(model, part))
                hours = paired(told, other, at_equal_hours(model, part))
                if not ratios:
                    continue
                row: Row = {"other": other, "model": model, "part": part, "goal": round(goal, 3)}
                row |= {"equal_labels": _difference(labels), "equal_hours": _difference(hours)}
                row["share_of_seconds"] = [
                    "other gained nothing" if one.is_idle else "never" if one.value is None else round(one.value, 3)
                    for one in ratios
                ]
                rows.append(row)
    return rows


def _pairs(told: Told, other: str) -> list[tuple[Curve, Curve]]:
    queue, others = told.get(QUEUE, {}), told.get(other, {})
    return [(queue[seed], others[seed]) for seed in sorted(queue.keys() & others.keys())]


def _difference(values: Sequence[float]) -> Row:
    found = interval(values)
    return {"mean": round(float(np.mean(values)), 2), "interval": [round(b, 2) for b in found] if found else None}


def table(world: str, figures: dict[str, Any]) -> list[str]:
    """Markdown: the arms, then the queue against random order and elsewhere."""
    lines = [f"World `{world}`, CGF1 before the first round and after each, mean of the seeds:", ""]
    lines += [
        "| arm | seeds | labels (tail, scenes) | minutes | hard, served | random, served | hard, trained | promoted |"
    ]
    lines += ["| --- " * 8 + "|"]
    for row in figures["arms"]:
        served, trained = row["served"], row["trained"]
        curves = [_line(one) for one in (served["hard"], served["random"], trained["hard"])]
        labels = f"{row['labels'][-1]:.0f} ({row['tail']:.0f}, {row['scenes']:.0f})"
        promoted = f"{sum(row['promoted'])} of {len(row['seeds']) * (len(row['labels']) - 1)}"
        cells = [row["arm"], str(len(row["seeds"])), labels, f"{row['minutes'][-1]:.1f}", *curves, promoted]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *_against_table(figures["queue_against"])]


def _line(values: Sequence[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)


def _against_table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return ["No seed has the queue and another arm to put it against."]
    lines = [
        "| the queue against | model | holdout | at equal labels | at equal hours | its share of the hours | goal |"
    ]
    lines.append("| --- " * 7 + "|")
    for row in rows:
        shares = ", ".join(one if isinstance(one, str) else f"{one:.2f}" for one in row["share_of_seconds"])
        labels, hours = (_in_words(row[key]) for key in ("equal_labels", "equal_hours"))
        cells = [row["other"], row["model"], row["part"], labels, hours, shares, f"{row['goal']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _in_words(difference: Row) -> str:
    if difference["interval"] is None:
        return f"{difference['mean']:+.1f} (one seed: no interval)"
    low, high = difference["interval"]
    return f"{difference['mean']:+.1f} [{low:+.1f}, {high:+.1f}]"


def plot(told: Told) -> str:
    """CGF1 of the hard holdout, served, against minutes; a bar is the standard error over seeds."""
    series = {arm: _points(curves) for arm, curves in told.items() if arm != ALL and "shuffled" not in arm}
    ends = [one.cgf1["served", "hard"][-1] for one in told.get(ALL, {}).values()]
    ceiling = float(np.mean(ends)) if ends else None
    return line_plot(series, x="minutes of a person", y="CGF1 on the hard holdout, served", ceiling=ceiling)


def _points(curves: dict[int, Curve]) -> list[tuple[float, float, float]]:
    seconds = np.mean([one.seconds for one in curves.values()], axis=0)
    points = np.array([one.cgf1["served", "hard"] for one in curves.values()])
    errors = points.std(0, ddof=1) / len(points) ** 0.5 if len(points) > 1 else np.zeros(len(seconds))
    return [(float(s) / 60, float(p), float(e)) for s, p, e in zip(seconds, points.mean(0), errors, strict=True)]


def report(folder: Path, *, rounds: int, write: bool) -> None:
    worlds = stories(folder, rounds)
    figures = {world: summary(told) for world, told in worlds.items()}
    lines = [line for world, one in figures.items() for line in (*table(world, one), "")]
    print("\n".join(lines or [f"No story has {rounds} rounds yet."]))
    if not write:
        return
    if "feed" not in worlds:
        raise SystemExit("No story of the feed is finished: there is nothing to keep.")
    write_json(RESULTS / "annotator_hours.json", _made(folder) | {"worlds": figures}, indent=1)
    (RESULTS / "annotator_hours.svg").write_text(plot(worlds["feed"]))
    put_table(REPOSITORY / "docs" / "training.md", "annotator_hours", lines[:-1])


def _made(folder: Path) -> Row:
    """With what the rounds were made: all of them, should they differ."""
    rows = [json.loads(file.read_text()) for file in sorted(folder.glob("*/*/round-*.json"))]
    made: Row = {key: sorted({str(row[key]) for row in rows}) for key in ("commit", "cpu", "cores")}
    loads, seconds = [row["load"] for row in rows], [row["wall_seconds"] for row in rows]
    made |= {"load_average": [min(loads), max(loads)], "mean_round_seconds": round(float(np.mean(seconds)), 1)}
    return made | {"person": asdict(Person()), "click_seconds": [DESK_CLICK_SECONDS, ELSEWHERE_CLICK_SECONDS]}
