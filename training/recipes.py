"""Recipes: a choice of each group below training/conf, composed by Hydra.

`python -m training.recipes > toolbox/training_recipes.json` writes what the web side is told of them, which reads no
YAML and imports nothing of this tower.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolbox.training_recipes import DEFAULT_RECIPE, no_such_recipe
from toolbox.training_settings import Groups, TrainerConfig
from training.errors import Refused

CONF = Path(__file__).resolve().parent / "conf"
GROUPS = tuple(asdict(Groups()))


def recipe_names() -> list[str]:
    return _choices_of("recipe")


def compose(recipe: str, groups: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the recipe with these choices sets, and the choice of every group; Refused for what there is not."""
    if recipe not in recipe_names():
        raise Refused("bad_config", no_such_recipe(recipe, recipe_names()))
    for group, choice in groups.items():
        _check_choice(group, choice)
    values, choices = _composed(recipe, tuple(sorted(groups.items())))
    return dict(values), dict(choices)


def _check_choice(group: str, choice: str) -> None:
    known = _choices_of(group) if group in GROUPS else []
    if not known:
        raise Refused("bad_config", f"There is no group '{group}'; the groups are {', '.join(GROUPS)}.")
    if choice in known:
        return
    near = get_close_matches(str(choice), known, 1)
    more = f" Did you mean '{near[0]}'?" if near else ""
    more += " The model folder to start from is the key 'base_model'." if group == "model" else ""
    raise Refused(
        "bad_config", f"The group '{group}' has no choice '{choice}'; those it has: {', '.join(known)}.{more}"
    )


@lru_cache(maxsize=64)
def _composed(recipe: str, groups: tuple[tuple[str, str], ...]) -> tuple[dict[str, Any], dict[str, str]]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    asked = [f"recipe={recipe}", *(f"{group}={choice}" for group, choice in groups)]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = hydra_compose("compose", asked, return_hydra_config=True)
    found = composed.hydra.runtime.choices
    values: Any = OmegaConf.to_container(composed)
    del values["hydra"]
    return values, {group: found[group] for group in GROUPS}


def _choices_of(group: str) -> list[str]:
    """The usual recipe first, the rest by name."""
    return sorted(
        (path.stem for path in (CONF / group).glob("*.yaml")), key=lambda name: (name != DEFAULT_RECIPE, name)
    )


def when(group: str, choice: str) -> str:
    """The comment at the file's head: when to take it."""
    lines = (CONF / group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("# ") and "@package" not in line).removeprefix("# ")


def as_json() -> str:
    return json.dumps({name: _told(name) for name in recipe_names()}, indent=1) + "\n"


def _told(name: str) -> dict[str, Any]:
    values, choices = compose(name, {})
    usual = TrainerConfig().plain()
    news = {key: value for key, value in sorted(values.items()) if value != usual[key]}
    return {"when": when("recipe", name), "groups": choices, "values": news}


if __name__ == "__main__":
    print(as_json(), end="")
