"""The report as one file: styles, plots and pictures lie in it, no script runs, and A4 paper is a way to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from training.reporting.gallery import FALSE_ALARM, MISSED, PARTLY

Pictures = Sequence[tuple[str, str] | None]
KINDS = {FALSE_ALARM: "false alarm", MISSED: "missed wholly", PARTLY: "partly right"}
OF_THE_DATA = "data_"
ON_FIRST_PAGE = ("metrics", "confusion")


def page_of(report: Mapping[str, Any], svgs: Mapping[str, str], pictures: Pictures) -> str:
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    title = escape(f"Report: {report['model'] or 'a model'}")
    parts = [
        _summary(report, svgs),
        _advice(report["advice"]),
        _gate(report),
        _tables(report),
        _charts(report, svgs),
        _training(report),
        _economics(report),
        _gallery(report["faults"], pictures),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>\n{css}</style></head>\n<body><main>\n{''.join(parts)}</main></body></html>\n"
    )


def _summary(report: Mapping[str, Any], svgs: Mapping[str, str]) -> str:
    summary = report["summary"]
    rows = [[row["label"], row["told"], row["words"]] for row in summary["figures"]]
    of = f" in {escape(report['project'])}" if report["project"] else ""
    role = f", {escape(report['role'])} of the gate" if report["role"] else ""
    snapshot = report["snapshot"]
    steps = "".join(f"<li>{escape(one['words'])}</li>" for one in summary["next"])
    return (
        f'<header><h1>{escape(report["model"] or "A model")}{of}</h1><p class="soft">Judged on '
        f"{escape(snapshot['split'])} of snapshot <code>{escape(snapshot['hash'][:16])}</code>{role}</p></header>"
        f'<section class="summary"><h2>In short</h2><p class="verdict">{escape(summary["verdict"])}</p>'
        f"<p>{escape(summary['judged_on'])} {escape(summary['gain'])}</p>"
        f"{_table(['Figure', 'Points, or of how many [95 %]', 'What it says'], rows)}"
        f'<div class="charts">{"".join(svgs.get(name, "") for name in ON_FIRST_PAGE)}</div>'
        f"{f'<h3>What to do next</h3><ul>{steps}</ul>' if steps else ''}</section>\n"
    )


def _advice(found: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f'<li class="{escape(one["level"])}">{escape(one["words"])}{_settings(one["settings"])}</li>' for one in found
    ]
    return _section("What it is good for, and what would help", f'<ul class="advice">{"".join(lines)}</ul>')


def _settings(settings: Mapping[str, str]) -> str:
    if not settings:
        return ""
    told = ", ".join(f"<code>{escape(key)}</code> {escape(way)}" for key, way in settings.items())
    return f'<br><span class="soft">Settings of the next run: {told}.</span>'


def _gate(report: Mapping[str, Any]) -> str:
    gate = report["gate"]
    if not gate:
        return ""
    words = {"met": "met", "broken": "not met", "open": "open"}
    rows = [[words.get(rule["state"], rule["state"]), rule["words"]] for rule in gate.get("rules") or []]
    return _section("What the gate asked", _table(["", "Demand"], rows))


def _tables(report: Mapping[str, Any]) -> str:
    figures = [[row["label"], row["told"], row["n"], row["words"]] for row in report["figures"]]
    parts = [_table(["Figure", "Points, or of how many [95 %]", "Of", "What it says"], figures)]
    for key, title in (("at", "Images, from a score on"), ("objects_at", "Objects at IoU 0.5, from a score on")):
        heads = ["", *report[key]["thresholds"]]
        rows = [[row["label"], *row["cells"]] for row in report[key]["rows"]]
        parts.append(f"<h3>{title}</h3>{_table(heads, rows)}")
    for group in report["groups"]:
        parts.append(f"<h3>{escape(group['title'])}</h3>{_group(group['rows'])}")
    return _section("All figures", "".join(parts))


def _group(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    labels = [next(row["figures"][name]["label"] for row in rows if name in row["figures"]) for name in names]
    cells = [
        [row["name"], row["n"].get("pairs", ""), *(row["figures"].get(name, {}).get("told", "–") for name in names)]
        for row in rows
    ]
    return _table(["", "Pairs", *labels], cells)


def _charts(report: Mapping[str, Any], svgs: Mapping[str, str]) -> str:
    found: dict[bool, list[str]] = {False: [], True: []}
    for chart in report["charts"]:
        svg = "" if chart["name"] in ON_FIRST_PAGE else svgs[chart["name"]]
        words = f"<h3>{escape(chart['title'])}</h3>{svg}<p class='soft'>{escape(chart['words'])}</p>"
        table = _table(chart["columns"], chart["rows"])
        found[chart["name"].startswith(OF_THE_DATA)].append(f'<div class="chart">{words}{table}</div>')
    return "".join(
        _section(title, f'<div class="charts">{"".join(found[is_data])}</div>')
        for is_data, title in ((False, "Plots"), (True, "The data"))
    )


def _training(report: Mapping[str, Any]) -> str:
    if report["settings"] is None:
        return ""
    rows = [[f"{key}", value] for key, value in report["settings"].items()]
    said = "Settings that differ from the defaults:" if rows else "All settings were the defaults."
    seconds = report["training_seconds"]
    took = f" Training took {seconds / 60:.0f} minutes." if seconds else ""
    return _section("How it was trained", f"<p>{said}{took}</p>{_table(['Setting', 'Value'], rows) if rows else ''}")


def _economics(report: Mapping[str, Any]) -> str:
    found = report["economics"]
    if not found or not found["words"]:
        return ""
    return _section("What it cost", "".join(f"<p>{escape(words)}</p>" for words in found["words"]))


def _gallery(found: Mapping[str, Any], pictures: Pictures) -> str:
    kinds = ", ".join(f"{count:,} {KINDS.get(kind, kind)}" for kind, count in found["kinds"].items())
    if not found["count"]:
        return _section(
            "Where it went wrong", "<p>On no pair: every answer agrees with the truth at every overlap.</p>"
        )
    cards = [_card(entry, two) for entry, two in zip(found["worst"], pictures, strict=False)]
    words = (
        f"<p>{found['count']:,} pairs are not wholly right ({kinds}); the {len(cards):,} worst, false alarms first. "
        "Left the truth (white), right what the model drew: blue it found, red and dashed it made up, yellow and "
        "dotted it missed. Some of what looks wrong may be a wrong label.</p>"
    )
    return _section("Where it went wrong", f'{words}<div class="gallery">{"".join(cards)}</div>')


def _card(entry: Mapping[str, Any], pictures: tuple[str, str] | None) -> str:
    hits, made_up = (sum(one["kind"] == kind for one in entry["found"]) for kind in ("hit", "false"))
    counts = f"{hits} found, {len(entry['missed'])} missed, {made_up} made up"
    caption = (
        f"<strong>{escape(entry['text_input'])}</strong>: {KINDS.get(entry['kind'], entry['kind'])}, presence "
        f"{entry['presence']:.2f}, {counts} <code>{escape(entry['image'][:12])}</code>"
    )
    sides = ""
    if pictures:
        alts = (
            f"{entry['text_input']}, the truth: {len(entry['truth'])} objects",
            f"{entry['text_input']}, the model: {counts}",
        )
        shown = "".join(f'<img src="{uri}" alt="{escape(alt)}">' for uri, alt in zip(pictures, alts, strict=True))
        sides = f'<div class="sides">{shown}</div>'
    return f"<figure><figcaption>{caption}</figcaption>{sides}</figure>"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in heads)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(row: Sequence[Any]) -> str:
    first, *rest = row
    cells = "".join(f"<td>{escape(_shown(value))}</td>" for value in rest)
    return f'<th scope="row">{escape(_shown(first))}</th>{cells}'


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    return f"{value:,}"
