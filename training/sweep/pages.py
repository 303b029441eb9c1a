"""A sweep's results as files: sweep.json, table.csv (a line a run), table.md, plot.svg, best.yaml.

They are written anew after every run, so that a sweep under way can be looked at.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path
from typing import Any

from toolbox.files import write_json, write_text
from training.config import as_yaml
from training.sweep.plot import gain_plot
from training.sweep.results import FIGURES, Results

Row = dict[str, Any]


def write_pages(out: Path, results: Results) -> Path:
    plain = results.plain
    write_text(out / "table.csv", as_csv(results), alone=True)
    write_text(out / "table.md", as_markdown(plain), alone=True)
    write_text(out / "plot.svg", gain_plot(plain), alone=True)
    best = results.best_point()
    if best is not None:
        write_text(out / "best.yaml", _note(plain) + as_yaml(best.runs[0].config.plain()), alone=True)
    write_json(out / "sweep.json", plain, indent=1, alone=True)
    return out / "sweep.json"


def as_csv(results: Results) -> str:
    """Every run with its settings, figures as fractions, six places."""
    keys, plain = results.sweep.keys, results.plain
    told = io.StringIO()
    table = csv.writer(told, lineterminator="\n")
    table.writerow(["run", *keys, "seed", "state", *FIGURES, "gain", "gain_low", "gain_high", "kept_step", "message"])
    rows = {row["name"]: row for row in plain["runs"]}
    table.writerow(["base", *("" for _ in keys), "", "base model", *_numbers(plain["base"], FIGURES), *[""] * 5])
    for point in results.sweep.points:
        for run in point.runs:
            row = rows[run.name]
            gain = _numbers(row.get("over_base", {}), ("delta", "low", "high"))
            settings = [_value(point.values[key]) for key in keys]
            figures = [*_numbers(row, FIGURES), *gain, _value(row.get("kept_step"), "")]
            table.writerow([run.name, *settings, run.seed, row["state"], *figures, row["message"]])
    return told.getvalue()


def _numbers(row: Row, names: tuple[str, ...]) -> list[str]:
    return [f"{row[name]:.6f}" if name in row else "" for name in names]


def _value(value: Any, none: str = "null") -> str:
    return none if value is None else value if isinstance(value, str) else json.dumps(value)


def as_markdown(plain: Row) -> str:
    """For people: points with their means first, then what each run came to."""
    share = f"{100 * plain['bootstrap']['confidence']:g} %"
    head = [
        "# Sweep",
        "",
        *plain["sentences"],
        "",
        f"Judged on `{plain['split']}`: {plain['pairs']} pairs of {plain['images']} images, {plain['positives']} "
        f"positive. Gains are points of CGF1 with their {share} interval (paired bootstrap over scenes, "
        f"{plain['bootstrap']['rounds']} rounds); with several seeds figures are means, ± their standard deviation. "
        f"{plain['runs_done']} of {plain['runs_asked']} runs are judged.",
        "",
    ]
    return "\n".join([*head, *_points(plain), "", *_runs(plain), "", *_retrain(plain)]) + "\n"


def _points(plain: Row) -> list[str]:
    keys = plain["keys"]
    titles = [*keys, "seeds", "CGF1", "pmF1", "IL_MCC", "false positives", "over the base model", "against the best"]
    base = ["base model", *[""] * max(0, len(keys) - 1)] if keys else []
    rows = [[*base, "", *_figures(plain["base"]), "", ""]]
    for point in plain["points"]:
        settings = [_value(point["values"][key]) for key in keys]
        against = "**best**" if point["name"] == plain["best"] else _gain(point.get("over_best"))
        rows.append([*settings, str(point["seeds"]), *_figures(point), _gain(point.get("over_base")), against])
    return _table(titles, rows)


def _figures(row: Row) -> list[str]:
    if "cgf1" not in row:
        return [""] * 4
    spread = row.get("cgf1_spread")
    cgf1 = f"{100 * row['cgf1']:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")
    return [cgf1, f"{100 * row['pmf1']:.1f}", f"{row['il_mcc']:.3f}", f"{row['il_fpr']:.3f}"]


def _gain(gain: Row | None) -> str:
    if not gain:
        return ""
    return f"{100 * gain['delta']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"


def _runs(plain: Row) -> list[str]:
    titles = ["run", "state", "CGF1", "over the base model", "kept at step", ""]
    rows = []
    for row in plain["runs"]:
        cgf1 = f"{100 * row['cgf1']:.1f}" if "cgf1" in row else ""
        kept = _value(row.get("kept_step"), "") if row.get("kept_step") != 0 else "0: the base model"
        rows.append([row["name"], row["state"], cgf1, _gain(row.get("over_base")), kept, row["message"]])
    return _table(titles, rows)


def _table(titles: list[str], rows: list[list[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    ]


def _retrain(plain: Row) -> list[str]:
    if plain["best"] is None:
        return []
    return [
        "`best.yaml` is the best config for `python -m training train --config`. As a retrain of a project:",
        "",
        f"    {retrain_command(plain['retrain'])}",
    ]


def retrain_command(settings: Row) -> str:
    given = (f"--set {name}={shlex.quote(_value(value))}" for name, value in settings.items())
    return f"python manage.py retrain PROJECT {' '.join(given)}"


def _note(plain: Row) -> str:
    """The seed is the first of the seeds: to choose the best of them would be to choose luck."""
    lines = [f"The best config of a sweep over {', '.join(plain['keys']) or 'seeds'}.", *plain["sentences"]]
    return "".join(f"# {line}\n" for line in lines)
