"""`python -m training report`: DIR/report.json, DIR/report.html and DIR/plots/, from files alone, without a model."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolbox.files import folder_written_whole, write_json, write_text
from training.config import policy_of
from training.dataset import Pair, Snapshot
from training.errors import Refused
from training.events import Events
from training.launch import StopRequest
from training.reporting import charts
from training.reporting.advice import advise
from training.reporting.asked import Asked
from training.reporting.data_part import count_snapshot, data_charts, data_plain
from training.reporting.economics import economics_charts, economics_of, economics_words, read_economics
from training.reporting.figures import at_rows, figure_rows, group_tables
from training.reporting.gallery import Fault, faults, gallery_entry
from training.reporting.source import Evaluated, read_evaluation, read_json
from training.reporting.summary import summary_of
from training.reporting.training_part import read_run, training_charts

log = logging.getLogger(__name__)
VERSION = 1
OF_A_GATE = ("decision", "reasons", "rules", "delta_cgf1", "bootstrap", "policy", "looks", "holdout")


def run_report(asked: Asked, out: Path, events: Events, stop: StopRequest) -> dict[str, Any]:
    """The manifest: which files there are. They are whole or not there at all."""
    os.nice(max(0, asked.nice - os.nice(0)))
    report, drawn = gathered(asked, stop)
    _tell(events, 1, 3)
    svgs = _plots(drawn, out, stop)
    _tell(events, 2, 3)
    from training.reporting.page import page_of

    text = page_of(report, svgs, _pictures(asked, report, stop))
    write_text(out / "report.html", text, lasting=False, alone=True)
    write_json(out / "report.json", report, lasting=False, alone=True)
    _tell(events, 3, 3)
    plots = [f"plots/{chart['name']}.{ending}" for chart in drawn for ending in ("png", "svg")]
    return {"files": ["report.json", "report.html", *plots], "faults": report["faults"]["count"]}


def _tell(events: Events, done: int, of: int) -> None:
    events("progress", step=done, of=of, phase="report", eta_s=None)


def gathered(asked: Asked, stop: StopRequest) -> tuple[dict[str, Any], list[charts.Chart]]:
    """report.json, and the charts in it."""
    evaluated = read_evaluation(Path(asked.evaluation))
    decision = read_json(Path(asked.gate) / "manifest.json", dict) if asked.gate else {}
    # The report's own, else that of the gate that it tells of, else the defaults.
    policy = policy_of(asked.policy if asked.policy is not None else decision.get("policy") or {})
    trained = read_run(Path(asked.run)) if asked.run else None
    economics = economics_of(read_economics(Path(asked.economics))) if asked.economics else None
    snapshot = Snapshot(asked.snapshot)
    counts = count_snapshot(snapshot.folder)
    stop.check()
    measures = evaluated.measures
    of_challenger = decision if asked.role == "challenger" else None
    found = advise(measures, recall_floor=policy.recall_floor, decision=of_challenger)
    drawn = [
        *charts.of_measures(measures),
        *(training_charts(trained) if trained else []),
        *data_charts(counts),
        *(economics_charts(economics) if economics else []),
    ]
    report = {
        "version": VERSION,
        "model": asked.model or str(evaluated.manifest.get("model") or ""),
        "project": asked.project,
        "role": asked.role,
        "snapshot": {"hash": snapshot.hash, "split": asked.split},
        "summary": summary_of(measures, found, role=asked.role, decision=decision or None),
        "figures": figure_rows(measures),
        "at": {"thresholds": list(measures["at"]), "rows": at_rows(measures)},
        "objects_at": {"thresholds": list(measures["objects_at"]), "rows": at_rows(measures, "objects_at")},
        "groups": group_tables(measures),
        "advice": [one.plain() for one in found],
        "charts": drawn,
        "gate": {key: decision[key] for key in OF_A_GATE if key in decision},
        "policy": asdict(policy),
        "settings": trained.settings if trained else None,
        "training_seconds": trained.seconds if trained else None,
        "data": data_plain(counts),
        "economics": {**economics, "words": economics_words(economics)} if economics else None,
        "faults": _faults(asked, evaluated, snapshot, stop),
    }
    return report, drawn


def _faults(asked: Asked, evaluated: Evaluated, snapshot: Snapshot, stop: StopRequest) -> dict[str, Any]:
    """How many pairs went wrong, of which kind, and the worst of them with their masks."""
    found = faults(evaluated.rows, evaluated.results)
    kinds: dict[str, int] = {}
    for one in found:
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
    pairs = _pairs(asked, evaluated, snapshot)
    worst = []
    for fault in found[: asked.shown]:
        stop.check()
        worst.append(gallery_entry(fault, pairs[fault.id], evaluated))
    return {
        "count": len(found),
        "kinds": kinds,
        "worst": worst,
        "others": [_short(one) for one in found[asked.shown :]],
    }


def _short(fault: Fault) -> dict[str, Any]:
    row = fault.row
    return {"id": fault.id, "image": row["image"], "text_input": row["text_input"], "kind": fault.kind}


def _pairs(asked: Asked, evaluated: Evaluated, snapshot: Snapshot) -> Mapping[int, Pair]:
    """Refused where the rows are of another snapshot: pictures and truths would be mixed up."""
    pairs = {pair.id: pair for pair in snapshot.split(asked.split).pairs}
    for row in evaluated.rows:
        pair = pairs.get(row["id"])
        if pair is None or (pair.image, pair.phrase) != (row["image"], row["text_input"]):
            raise Refused(
                "other_snapshot",
                f"rows.json has pair {row['id']}, «{row['text_input']}» in {row['image'][:12]}…, which "
                f"{asked.split}.json of the snapshot {snapshot.folder.name} has not: give the snapshot that it was "
                "judged on.",
            )
    return pairs


def _plots(drawn: list[charts.Chart], out: Path, stop: StopRequest) -> dict[str, str]:
    """Each chart's SVG for the page. Plots of an earlier report go when all of these are there."""
    from training.reporting.plots import inline, write_plot

    svgs = {}
    with folder_written_whole(out / "plots", replace=True, alone=True) as beside:
        for chart in drawn:
            stop.check()
            svgs[chart["name"]] = inline(write_plot(chart, beside), chart)
    return svgs


def _pictures(asked: Asked, report: Mapping[str, Any], stop: StopRequest) -> list[tuple[str, str] | None]:
    """Of the worst pairs, truth and prediction; none where no images were given."""
    from training.reporting.gallery_pictures import pictures_of

    worst = report["faults"]["worst"][: asked.worst]
    if not asked.images:
        return [None] * len(worst)
    made: list[tuple[str, str] | None] = []
    for entry in worst:
        stop.check()
        made.append(pictures_of(entry, Path(asked.images), max_pixels=asked.max_pixels))
    return made
