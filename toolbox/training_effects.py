"""Settings that do nothing with the others as they stand: a run that is asked for one is refused, naming the right key.

Only what somebody asked for is refused. What a recipe or the table's default brings may well be idle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from toolbox.training_recipes import DEFAULT_RECIPE, RECIPES
from toolbox.training_settings import SETTABLE

Values = Mapping[str, Any]


def resolved(given: Values, recipe_sets: Values) -> dict[str, Any]:
    """What is given over what the recipe sets. A run told its minutes runs by the clock: a recipe's steps go then."""
    values = {**recipe_sets, **given}
    if given.get("minutes") is not None and "steps" not in given:
        values["steps"] = None
    return values


def set_by(recipe: str) -> dict[str, Any]:
    """Every setting that one may choose, as it is in a run of which nothing else was said."""
    usual = {name: setting.default for name, setting in SETTABLE.items()}
    return usual | RECIPES[recipe].values | {"recipe": recipe}


def idle_of_run(given: Values) -> str | None:
    """The refusal of settings that are asked of a recipe as it stands, such as a form's; None where all have an effect.

    A value that is not of its setting's kind is the trainer's to refuse.
    """
    if not all(_is_of_kind(name, value) for name, value in given.items()):
        return None
    sets = set_by(given.get("recipe", DEFAULT_RECIPE))
    return idle(resolved(given, sets), sets, {name for name, value in given.items() if value != sets[name]})


def _is_of_kind(name: str, value: Any) -> bool:
    kind = SETTABLE[name].kind
    if value is None:
        return SETTABLE[name].is_optional
    return isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))


def idle(values: Values, sets: Values, changed: Collection[str]) -> str | None:
    """The sentence about the first of the changed keys that does nothing, with the key that would give it an effect.

    values are the run's, sets those that it would have without what was asked for.
    """
    told = (*_of_vit(values), *_of_terms(values), *_of_views(values), *_of_batches(values, sets), *_of_time(values))
    for key, sentence in told:
        if key in changed:
            return f"The key '{key}' has no effect: {sentence}."
    return None


def _of_vit(values: Values) -> Iterator[tuple[str, str]]:
    if values["vit"] == "frozen":
        for key in ("vit_rate", "layer_decay"):
            yield key, "the ViT is frozen. Set vit to full or lora"
    else:
        yield "vit_dtype", "a ViT that learns has the arithmetic of the rest. Set precision"
        yield "click_rate", "clicks are tuned on the features of a frozen ViT alone. Set vit to frozen"
    if values["vit"] != "lora":
        for key in ("lora_rank", "lora_alpha", "lora_targets"):
            yield key, "nothing has an adapter. Set vit to lora"


def _of_terms(values: Values) -> Iterator[tuple[str, str]]:
    if not values["one_to_many"]:
        yield "loss_one_to_many", "the one-to-many branch is off. Set one_to_many to true"
    semantic = ("loss_semantic_focal", "loss_semantic_dice")
    if not values["semantic"]:
        for key in semantic:
            yield key, "the semantic loss is off. Set semantic to true"
    elif not any(values[key] for key in semantic):
        yield "semantic", f"both of its weights are 0. Set {' or '.join(semantic)} above 0"
    if not values["click_rate"]:
        for key in ("click_pairs", "click_rounds", "click_judged"):
            yield key, "the click decoder is left as it is. Set click_rate above 0"
    if not values["start_share"]:
        yield "choose_start_share", "start_share is 0: there is no way back to choose from. Set it above 0"
    if not values["loss_score"]:
        yield "positive_weight", "loss_score is 0. Set it above 0"
    if not any(values[key] for key in ("loss_mask_focal", "loss_mask_dice", "semantic")):
        yield "mask_pairs", "no mask is learned from. Set loss_mask_focal or loss_mask_dice above 0"


def _of_views(values: Values) -> Iterator[tuple[str, str]]:
    if not values["views"]:
        for key in ("view_strength", "view_colour"):
            yield key, "no view is drawn. Set views to 1 or more"


def _of_batches(values: Values, sets: Values) -> Iterator[tuple[str, str]]:
    """Of limits that a batch stays below with the value asked for and with the one that it would have anyway."""
    batch = values["batch_pairs"]
    positives = min(batch - 1, max(1, round(batch * values["positive_share"])))
    for key, most in (("mask_pairs", positives), ("blend_pairs", min(positives, batch - positives))):
        if min(values[key], most) == min(sets[key], most):
            holds = f"a batch of {batch} pairs holds {positives} positives and {batch - positives} negatives"
            yield key, f"{holds}, all of which {key} {sets[key]} takes. Set {key} below {most}, or batch_pairs to more"


def _of_time(values: Values) -> Iterator[tuple[str, str]]:
    steps, every, patience = values["steps"], values["validate_every"], values["patience"]
    if steps is not None or values["minutes"] is not None:
        yield "passes", "steps or minutes say how long the run is. Set both to null"
    if steps is None:
        return
    between = (steps - 1) // every
    if every > steps:
        yield (
            "validate_every",
            f"it is past the run's {steps} steps. Set validate_every to {steps} to judge at start and end alone, or "
            "steps to more",
        )
    if patience is not None and patience > between:
        ways = [f"validate_every to {(steps - 1) // patience} or less"] if patience < steps else []
        ways += [f"patience to {between}"] if between else []
        todo = f"Set {' or '.join(ways)}" if ways else "Set steps to more"
        yield "patience", f"{steps} steps have {between} validations before their end (validate_every {every}). {todo}"
