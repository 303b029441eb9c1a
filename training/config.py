"""What a run was asked to do: a recipe over the table's defaults, a file over both, key=value arguments over all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from toolbox.gate_policy import Policy
from toolbox.training_effects import idle, resolved
from toolbox.training_recipes import DEFAULT_RECIPE
from toolbox.training_settings import TABLES, Groups, TrainerConfig, all_settings
from training.errors import Refused

Config = TrainerConfig
Values = dict[str, Any]
VERB_KEYS = {
    "train": ("base_model",),
    "evaluate": ("model",),
    "gate": ("champion", "challenger", "baseline"),
    "plan": (),  # without a model it is for SAM 3 at its own size
}
NOT_NEEDED = {"plan": {"snapshot": "", "images": ""}}  # a plan without a snapshot takes what is usual
TRAINS = ("train", "plan")
ALL_VERBS = (*TRAINS, "evaluate", "gate")
GROUPS = tuple(asdict(Groups()))
# Whom a key is for; what is not here is for those that train.
_FILES = ("snapshot", "images", "features", "features_read_also", "features_mib", "memory_mib", "max_pixels")
_LAUNCH = ("on", "partition", "account", "qos", "minutes", "gpus", "requeue")
_MACHINE = ("device", "precision", "vit_dtype", "judge_pairs", "kept_free_mib", "threads", "nice")
FOR_VERBS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*_FILES, *_MACHINE), ALL_VERBS),
    **{f"launch_{key}": ALL_VERBS for key in _LAUNCH},
    **{key: (*TRAINS, "gate") for key in ("seed", "sample_pairs")},
    **{key: ("gate",) for key in ("champion", "challenger", "baseline", "policy", "looks")},
    **{key: ("evaluate",) for key in ("model", "split", "prompt")},
    **{key: ("evaluate", "gate") for key in ("keep_score", "trained_on")},
}


def read_config(verb: str, file: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Compose and check; Refused `bad_config` names the key that is unknown, missing, idle, or of a wrong type."""
    return config_of(verb, read_file(Path(file)) if file is not None else {}, overrides)


def config_of(verb: str, given: Values, overrides: Sequence[str] = ()) -> Config:
    """read_config of keys that were read already."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    given = NOT_NEEDED.get(verb, {}) | given
    try:
        merged = OmegaConf.merge(OmegaConf.create(given), OmegaConf.from_dotlist(list(overrides)))
        plain_asked: Any = OmegaConf.to_container(merged)
        asked = _with_groups(verb, plain_asked)
        usual = OmegaConf.merge(OmegaConf.structured(Config), _recipe(verb, asked))
        values: Any = OmegaConf.to_object(OmegaConf.merge(usual, asked))
        sets: Any = OmegaConf.to_container(usual, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise Refused("bad_config", _explain(error, given)) from None
    assert isinstance(values, Config)
    _check(verb, values)
    settled = resolved({name: getattr(values, name) for name in asked}, sets)
    values.steps = settled["steps"]
    plain = values.plain()
    _check_effect(verb, plain, sets, {name for name in asked if plain[name] != sets[name]})
    return values


def _with_groups(verb: str, asked: Values) -> Values:
    """`optimizer=sam3_heads` is `groups.optimizer=sam3_heads`. `model` is one where a run trains, else a folder."""
    shortcuts = [name for name in GROUPS if name in asked and (name != "model" or verb in TRAINS)]
    chosen = {name: asked[name] for name in shortcuts if asked[name] is not None}
    rest = {name: value for name, value in asked.items() if name not in shortcuts}
    if not chosen:
        return rest
    if verb not in TRAINS and (others := [name for name in chosen if name != "launch"]):
        raise Refused("bad_config", _for_another(verb, others[0]))
    return {**rest, "groups": {**(rest.get("groups") or {}), **chosen}}


def _recipe(verb: str, asked: Values) -> Values:
    """What the recipe and the choices of groups set, where a run trains; elsewhere what `launch` sets."""
    from training.recipes import compose

    recipe, groups = asked.get("recipe") or DEFAULT_RECIPE, asked.get("groups") or {}
    if verb not in TRAINS:
        launch = groups.get("launch") if isinstance(groups, dict) else None
        values = compose(DEFAULT_RECIPE, {"launch": str(launch)})[0] if launch else {}
        return {key: value for key, value in values.items() if verb in FOR_VERBS.get(key, TRAINS)} | (
            {"groups": {"launch": launch}} if launch else {}
        )
    if not isinstance(groups, dict):
        raise Refused("bad_config", f"The key 'groups' is a table of {', '.join(GROUPS)}.")
    values, choices = compose(str(recipe), {str(group): str(choice) for group, choice in groups.items()})
    return {**values, "recipe": recipe, "groups": choices}


def read_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise Refused("bad_config", f"The config {path} cannot be read ({error.strerror}).") from None
    except (ValueError, yaml.YAMLError) as error:
        raise Refused("bad_config", f"The config {path.name} is neither JSON nor YAML ({error}).") from None
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise Refused("bad_config", f"The config {path.name} must be one object of keys and values.")
    return given


def _explain(error: Exception, given: dict[str, Any]) -> str:
    key = getattr(error, "full_key", None) or getattr(error, "key", None)
    reason = str(error).splitlines()[0]
    key = reason.rsplit(": ", 1)[-1] if key is None else key
    if "not in" in reason and key is not None:
        return (
            f"The config has an unknown key '{key}'{_nearest(str(key))}; training/conf/train.yaml lists the known ones."
        )
    if "mandatory value" in reason:
        return f"The config lacks the key '{key}'."
    return f"The config's key '{key}' cannot be used: {reason}"


def _nearest(key: str) -> str:
    policy, groups = (f"policy.{name}" for name in asdict(Policy())), (f"groups.{name}" for name in GROUPS)
    known = [*(one.name for one in all_settings()), *GROUPS, *TABLES, *policy, *groups]
    near = get_close_matches(key, known, 1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _check(verb: str, config: Config) -> None:
    for key in VERB_KEYS[verb]:
        if not getattr(config, key):
            raise Refused("bad_config", f"`{verb}` needs the key '{key}': a model folder.")
    if verb != "evaluate" and config.prompt != "as_model":
        raise Refused("bad_config", f"`{verb}` follows each model's own prompt; the key 'prompt' is for `evaluate`.")
    for setting in all_settings():
        if refusal := setting.refusal(getattr(config, setting.name)):
            raise Refused("bad_config", refusal)
    if config.mlflow_uri and "@" in urlsplit(config.mlflow_uri).netloc:
        words = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead, which are kept nowhere."
        raise Refused("bad_config", f"The config's key 'mlflow_uri' must hold no password: {words}")
    _check_policy(config.policy)


def policy_of(given: Any) -> Policy:
    """The gate's policy of a table that no config holds, checked as a config's; Refused names the key."""
    known = [one.name for one in fields(Policy)]
    if not isinstance(given, dict):
        raise Refused("bad_config", f"The key 'policy' is a table of {', '.join(known)}.")
    for key in given:
        if key not in known:
            raise Refused("bad_config", f"The policy has no key '{key}'; it has {', '.join(known)}.")
    policy = Policy(**given)
    _check_policy(policy)
    return policy


def _check_policy(policy: Policy) -> None:
    if refusal := policy.refusal():
        raise Refused("bad_config", refusal)


def _check_effect(verb: str, values: Values, sets: Values, changed: set[str]) -> None:
    for key in sorted(changed):
        if verb not in FOR_VERBS.get(key, TRAINS):
            raise Refused("bad_config", _for_another(verb, key))
    if verb in TRAINS and (refusal := idle(values, sets, changed)):
        raise Refused("bad_config", refusal)


def _for_another(verb: str, key: str) -> str:
    verbs = " and ".join(f"`{one}`" for one in FOR_VERBS.get(key, TRAINS))
    return f"The key '{key}' has no effect on `{verb}`: it is for {verbs}."


def as_yaml(values: Mapping[str, Any]) -> str:
    """A run's whole config, recipe and choices on top; read_config takes it back."""
    return "\n".join(_yaml_lines(values)) + "\n"


def _yaml_lines(values: Mapping[str, Any]) -> Iterator[str]:
    import yaml

    yield "# What this run was told, resolved. Give it to --config for the same run again."
    yield yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).rstrip()
