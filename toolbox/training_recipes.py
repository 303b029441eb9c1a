"""What there is to choose of recipes, for whoever asks for a run: names, when to take one, what it sets.

The recipes themselves are YAML below training/conf, composed by the trainer; the file beside this one is written from
them by `python -m training.recipes > toolbox/training_recipes.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

DEFAULT_RECIPE = "demo"
# Asked for by those who know SAM 3's own training; what they name needs a gradient through the ViT.
OF_THE_VIT = ("sam3_full", "sam3_lora")


@dataclass(frozen=True)
class Recipe:
    """`values`: the settings that it changes, against the table's defaults."""

    name: str
    when: str
    groups: dict[str, str]
    values: dict[str, Any]


def _read() -> dict[str, Recipe]:
    told = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {name: Recipe(name, **row) for name, row in told.items()}


RECIPES = _read()


def no_such_recipe(name: object, known: Iterable[str]) -> str:
    """The sentence that refuses it and names what there is."""
    names = list(known)
    there_is = ", ".join(names)
    if name in OF_THE_VIT:
        return f"The recipe '{name}' trains the ViT, which this trainer does not do; there are {there_is}."
    near = get_close_matches(str(name), names, 1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"There is no recipe '{name}'; there are {there_is}.{hint}"
