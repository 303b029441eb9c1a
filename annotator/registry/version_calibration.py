"""How sure a version's presence score may sound, as its page shows it: the plot, its table, the sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotator.models import ModelVersion

SERIES = (("before", "as trained", 2), ("after", "calibrated", 1))


@dataclass(frozen=True)
class CalibrationBin:
    """Pairs whose presence lies between `low` and `high`; of `n`, `share` hold the thing, None where n is 0."""

    low: float
    high: float
    n: int
    share: float | None
    share_low: float | None
    share_high: float | None


@dataclass(frozen=True)
class VersionCalibration:
    """`why`: nothing was fitted, and the rest is not known. `rows`: (before, after) by bin. `chart` for report.js."""

    temperature: float
    why: str
    pairs: int
    ece_before: float | None = None
    ece_after: float | None = None
    rows: tuple[tuple[CalibrationBin, CalibrationBin], ...] = ()
    chart: dict[str, Any] | None = None


def version_calibration(version: ModelVersion) -> VersionCalibration | None:
    """None where nobody looked: shipped versions, and those from before there was a calibration."""
    return read_calibration(version.metrics.get("presence_calibration"))


def read_calibration(told: Mapping[str, Any] | None) -> VersionCalibration | None:
    """What a trainer's manifest says of it; KeyError, TypeError or AttributeError where it is no such thing."""
    if not told:
        return None
    temperature, pairs = _number(told["temperature"]), int(_number(told["pairs"]))
    if why := told.get("why"):
        return VersionCalibration(temperature, str(why), pairs)
    before, after = ([_bin(row) for row in told[name]["bins"]] for name, _, _ in SERIES)
    rows = tuple(pair for pair in zip(before, after, strict=True) if pair[0].n or pair[1].n)
    errors = _number(told["ece_before"]), _number(told["ece_after"])
    return VersionCalibration(temperature, "", pairs, *errors, rows, _chart(told))


def version_calibration_plain(version: ModelVersion) -> dict[str, Any] | None:
    """As the API and the command tell it, without the bins."""
    found = version_calibration(version)
    if found is None:
        return None
    named = ("temperature", "pairs", "ece_before", "ece_after")
    return {name: getattr(found, name) for name in named} | {"why": found.why or None}


def _bin(row: Mapping[str, Any]) -> CalibrationBin:
    shares = (None if row[name] is None else _number(row[name]) for name in ("share", "share_low", "share_high"))
    return CalibrationBin(_number(row["low"]), _number(row["high"]), int(_number(row["n"])), *shares)


def _chart(told: Mapping[str, Any]) -> dict[str, Any]:
    """A description that static/js/pages/report.js draws; on the dashed line presence means what it says."""
    return {
        "name": "calibration",
        "kind": "lines",
        "x": "presence score, %",
        "y": "pairs with the thing, %",
        "marks": True,
        "x_span": [0, 100],
        "y_span": [0, 100],
        "diagonal": True,
        "series": [_line(name, colour, told[key]["bins"]) for key, name, colour in SERIES],
    }


def _line(name: str, colour: int, bins: list[Mapping[str, Any]]) -> dict[str, Any]:
    filled = [row for row in bins if row["n"]]
    columns = {"x": "mean_presence", "y": "share", "low": "share_low", "high": "share_high"}
    told = {axis: [_percent(row[key]) for row in filled] for axis, key in columns.items()}
    return {"name": name, "colour": colour, **told}


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * _number(share)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
