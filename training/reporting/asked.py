"""What a report was asked for: the folders that it is made of, and how much of the gallery it shows.

evaluation: DIR             # measures.json, rows.json, predictions.json (docs/contracts.md, "Trainer")
snapshot: DIR               # whose split was judged
images: DIR                 # for the gallery's pictures; without it the file has none
run: DIR                    # for the losses, the validations and the configuration
gate: DIR                   # for the decision, with `role`: which of its models this is
economics: FILE             # seconds and prices, as the web side tells them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from training.config import read_file
from training.dataset import SPLITS
from training.errors import Refused

ROLES = ("champion", "challenger", "baseline")
FOLDERS = ("evaluation", "snapshot", "images", "run", "gate")
MOST_PICTURES = 500


@dataclass(frozen=True)
class Asked:
    """Checked keys; paths as given. `worst`: pairs with a picture in the page, `shown`: with masks in the JSON."""

    evaluation: str = ""
    snapshot: str = ""
    split: str = "holdout"
    images: str | None = None
    run: str | None = None
    gate: str | None = None
    role: str = ""
    economics: str | None = None
    policy: Any = None
    model: str = ""
    project: str = ""
    worst: int = 24
    shown: int = 96
    max_pixels: int = 100_000_000
    nice: int = 10


def read_report(file: str | Path | None, overrides: Sequence[str] = ()) -> Asked:
    """Refused `bad_config` names the key that is unknown, missing or of a wrong type."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    given = read_file(Path(file)) if file is not None else {}
    try:
        merged: Any = OmegaConf.to_container(OmegaConf.merge(given, OmegaConf.from_dotlist(list(overrides))))
    except OmegaConfBaseException as error:
        raise _refused(f"The config cannot be used: {str(error).splitlines()[0]}") from None
    names = [one.name for one in fields(Asked)]
    for key in sorted(merged.keys() - set(names)):
        near = get_close_matches(key, names, 1)
        hint = f" Did you mean '{near[0]}'?" if near else f" A report has {', '.join(names)}."
        raise _refused(f"The config has an unknown key '{key}'.{hint}")
    asked = Asked(**merged)
    _check(asked)
    return asked


def _check(asked: Asked) -> None:
    for key in ("evaluation", "snapshot"):
        if not getattr(asked, key):
            raise _refused(f"`report` needs the key '{key}': a folder.")
    for one in fields(Asked):
        value, usual = getattr(asked, one.name), one.default
        kind = int if isinstance(usual, int) else str
        if one.name != "policy" and value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise _refused(
                f"The key '{one.name}' must be {'a whole number' if kind is int else 'text'}, not {value!r}."
            )
    for key in FOLDERS:
        path = getattr(asked, key)
        if path and not Path(path).is_dir():
            raise _refused(f"The key '{key}': there is no folder {path}.")
    if asked.economics and not Path(asked.economics).is_file():
        raise _refused(f"The key 'economics': there is no file {asked.economics}.")
    if asked.split not in SPLITS:
        raise _refused(f"The key 'split' is one of {', '.join(SPLITS)}, not '{asked.split}'.")
    if asked.role and asked.role not in ROLES:
        raise _refused(f"The key 'role' is one of {', '.join(ROLES)}, not '{asked.role}'.")
    if asked.role and not asked.gate:
        raise _refused("The key 'role' says which of a gate's models this is: give the gate's folder as 'gate'.")
    for key in ("worst", "shown"):
        if not 0 <= getattr(asked, key) <= MOST_PICTURES:
            raise _refused(f"The key '{key}' must lie between 0 and {MOST_PICTURES}.")


def _refused(message: str) -> Refused:
    return Refused("bad_config", message)
