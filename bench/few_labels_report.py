"""The finished runs of bench.few_labels as figures with intervals, a table and a plot.

A figure is the mean over seeds. Its interval (95 %) is a bootstrap over the judged images, drawn anew 1000 times,
photographs and scenes each among themselves, the same draw for every seed: what other photographs might have said. What
other seeds say is told seed by seed.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.few_labels import JUDGED
from bench.plot import line_plot
from toolbox.cgf1_sums import cgf1_of_sums, image_level_mcc
from training import cgf1
from training.measures.precision import Matched, match_coco

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "bench" / "results"
FIGURES = ("cgf1", "pmf1", "il_mcc", "map_bbox", "map_segm")
NAMES = {"cgf1": "CGF1", "pmf1": "pmF1", "il_mcc": "IL_MCC", "map_bbox": "mAP boxes", "map_segm": "mAP masks"}
DRAWS = 1000


@dataclass(frozen=True)
class Judged:
    """One run's answers on one split: (figures,) as they are and (draws, figures) of images drawn anew."""

    as_it_is: np.ndarray
    drawn: np.ndarray


def judged(home: Path, name: str, draws: int = DRAWS) -> Judged:
    kept = home / name / "rows.json"
    rows = json.loads((kept if kept.is_file() else home / name / "pairs.json").read_text())  # its name in older runs
    counts = cgf1.PairCounts(
        [row["id"] for row in rows],
        np.array([row["instances"] for row in rows]),
        np.array([row["predicted"] for row in rows]),
        np.array([row["true_positives"] for row in rows]),
    )
    drawn = places_drawn(rows, draws)
    # Of drawings only what counts is kept, from score 0.5 up: no average precision can be told of that.
    precisions = average_precisions(home, name, counts.pair_ids) if name == "photographs" else ()
    every = np.arange(len(rows))
    as_it_is = [
        *of_sums(cgf1.sums_of(counts).sum(0)[None])[0],
        *(mean_precision(one, [every])[0] for one in precisions),
    ]
    again = of_sums(np.stack([cgf1.sums_of(counts)[places].sum(0) for places in drawn]))
    means = [mean_precision(one, drawn)[:, None] for one in precisions]
    return Judged(np.array(as_it_is), np.concatenate([again, *means], axis=1))


def of_sums(sums_RS: np.ndarray) -> np.ndarray:
    """(R, 34) as cgf1.sums_of() adds up -> (R, 3): CGF1, pmF1, IL_MCC."""
    image_level = sums_RS[:, -4:]
    flawless = np.concatenate([sums_RS[:, :-4], np.tile([1.0, 0.0, 1.0, 0.0], (len(sums_RS), 1))], axis=1)
    parts = [cgf1_of_sums(sums_RS), cgf1_of_sums(flawless), image_level_mcc(*image_level.T)]
    return np.stack(parts, axis=1)


def average_precisions(home: Path, name: str, pair_ids: list[int]) -> tuple[Matched, Matched]:
    """Of boxes and of masks."""
    document = json.loads((home / "snapshot" / f"{JUDGED[name]}.json").read_text())
    predictions = json.loads((home / name / "predictions.json").read_text())
    by_area, boxes = match_coco(document, predictions, pair_ids)
    return boxes, by_area["all"]


def mean_precision(matched: Matched, drawn: list[np.ndarray]) -> np.ndarray:
    """(draws,) mean over IoU 0.50 to 0.95 of the pairs at these places, one drawn twice counting twice; 0 where no
    pair holds an instance."""
    weight_RP = np.stack([np.bincount(places, minlength=len(matched.objects_P)) for places in drawn])
    return np.nan_to_num(matched.of_weights(weight_RP)[0].mean(axis=1))


def places_drawn(rows: list[dict[str, Any]], draws: int) -> list[np.ndarray]:
    """Whole images, since pairs of one are not independent, and as many of each kind as there are: always the same."""
    images: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, row in enumerate(rows):
        images[row["source"]][row["image"]].append(place)
    rng = np.random.default_rng(0)

    def draw() -> np.ndarray:
        picked = [
            places
            for kind in sorted(images)
            for number in rng.integers(len(images[kind]), size=len(images[kind]))
            for places in images[kind][sorted(images[kind])[number]]
        ]
        return np.array(picked)

    return [draw() for _ in range(draws)]


def row_of(homes: list[Path], name: str, base: Judged | None) -> dict[str, dict[str, Any]]:
    """Each figure of some seeds' runs: mean, interval, every seed, and what it gained on the base."""
    runs = [judged(home, name) for home in homes]
    as_it_is = np.stack([run.as_it_is for run in runs])
    drawn = np.mean([run.drawn for run in runs], axis=0)
    answer = {}
    for place, figure in enumerate(FIGURES[: as_it_is.shape[1]]):
        told = {"mean": as_it_is[:, place].mean(), "interval": np.percentile(drawn[:, place], [2.5, 97.5])}
        if len(runs) > 1:
            told |= {"seeds": as_it_is[:, place]}
        if base is not None:
            told |= {"gain": told["mean"] - base.as_it_is[place]}
            told |= {"gain_interval": np.percentile((drawn - base.drawn)[:, place], [2.5, 97.5])}
        answer[figure] = {key: np.round(value, 4).tolist() for key, value in told.items()}
    return answer


def finished(folder: Path) -> dict[tuple[tuple[str, ...], int], list[Path]]:
    """Folders of the runs by (settings, images), seeds in order."""
    cells = defaultdict(list)
    for path in folder.glob("*/result.json"):
        facts = json.loads(path.read_text())
        if "images" in facts:
            cells[(tuple(facts["settings"]), facts["images"])].append((facts["seed"], path.parent))
    return {key: [home for _, home in sorted(found)] for key, found in sorted(cells.items())}


def summary(folder: Path) -> list[dict[str, Any]]:
    bases = {name: judged(folder / "base", name) for name in JUDGED}
    rows = [{"images": 0, "settings": [], **{name: row_of([folder / "base"], name, None) for name in JUDGED}}]
    for (settings, images), homes in finished(folder).items():
        facts = [json.loads((home / "result.json").read_text()) for home in homes]
        row: dict[str, Any] = {"images": images, "settings": list(settings), "seeds": [one["seed"] for one in facts]}
        row |= {"kept_step": [one["best_step"] for one in facts]}
        row |= {"last_step": [one["validations"][-1] for one in facts]}
        row |= {"train_seconds": [one["train_seconds"] for one in facts]}
        rows.append(row | {name: row_of(homes, name, bases[name]) for name in JUDGED})
    return rows


def report(folder: Path, *, write: bool) -> None:
    rows = summary(folder)
    print("\n".join(table(rows)))
    if not write:
        return
    described = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(described, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
    told = {"commit": commit, "intervals": " ".join(__doc__.split("\n\n")[1].split()), "rows": rows}
    (RESULTS / "few_labels.json").write_text(json.dumps(told, indent=1) + "\n")
    (RESULTS / "few_labels.svg").write_text(plot(rows))
    put_table(REPOSITORY / "docs" / "training.md", "few_labels", table(rows))


def put_table(page: Path, name: str, lines: list[str]) -> None:
    """Between the two comments that name it."""
    before, mark, rest = page.read_text().partition(f"<!-- {name} -->\n")
    end = f"<!-- end of {name} -->"
    if not mark or end not in rest:
        raise SystemExit(f"{page.name} has no place for the table {name}: put '<!-- {name} -->' and '{end}' there.")
    page.write_text(before + mark + "\n".join(lines) + "\n" + end + rest.split(end, 1)[1])


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown, in points of a hundred but for the MCC."""
    lines = [f"| photographs | kept at step | {' | '.join(NAMES.values())} | drawn CGF1 |", "| --- " * 8 + "|"]
    for row in rows:
        said = " ".join([str(row["images"]) if row["images"] else "none (base)", *row["settings"]])
        said += f" (seed {', '.join(map(str, row['seeds']))})" if row["images"] else ""
        kept = ", ".join(map(str, row.get("kept_step", [])))
        figures = [_words(figure, row["photographs"][figure]) for figure in FIGURES]
        lines.append(f"| {said} | {kept} | {' | '.join(figures)} | {_words('cgf1', row['drawings']['cgf1'])} |")
    return lines


def _words(figure: str, told: dict[str, Any]) -> str:
    scale, digits = (1, 2) if figure == "il_mcc" else (100, 1)
    low, high = (f"{scale * bound + 0.0:.{digits}f}" for bound in told["interval"])
    seeds = ", ".join(f"{scale * seed + 0.0:.{digits}f}" for seed in told.get("seeds", []))
    return f"{scale * told['mean'] + 0.0:.{digits}f} [{low}, {high}]" + (f" ({seeds})" if seeds else "")


def plot(rows: list[dict[str, Any]]) -> str:
    """Only runs as a retrain has them; a bar is half an interval's width to both sides."""
    usual = [row for row in rows if not row["settings"]]
    series = {}
    for figure in ("pmf1", "cgf1", "il_mcc", "map_segm"):
        told = [(row["images"], row["photographs"][figure]) for row in usual]
        series[NAMES[figure]] = [
            (float(images), 100 * one["mean"], 50 * (one["interval"][1] - one["interval"][0])) for images, one in told
        ]
    return line_plot(series, x="labelled photographs", y="points, mean of the seeds")
