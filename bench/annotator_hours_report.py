"""The finished stories of bench.annotator_hours, round by round."""

from __future__ import annotations

import json
from pathlib import Path


def report(folder: Path, *, write: bool) -> None:
    for file in sorted(folder.glob("*/*/round-*.json")):
        row = json.loads(file.read_text())
        print(file.relative_to(folder), len(row["places"]), row["decision"], row["trained"])
    if write:
        raise SystemExit("The table is not written yet.")
