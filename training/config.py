"""What a run was asked to do: the table's defaults, a file over them, key=value arguments over both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from toolbox.training_settings import USUAL_STEPS, TrainerConfig, all_settings
from training.errors import Refused

Config = TrainerConfig
VERB_KEYS = {
    "train": ("base_model",),
    "evaluate": ("model",),
    "gate": ("champion", "challenger", "baseline"),
    "plan": ("base_model",),
}
NOT_NEEDED = {"plan": {"snapshot": "", "images": ""}}  # a plan without a snapshot takes what is usual


def read_config(verb: str, file: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Compose and check; Refused `bad_config` names the key that is unknown, missing, of a wrong type or senseless."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    given = NOT_NEEDED.get(verb, {}) | (_read_file(Path(file)) if file is not None else {})
    try:
        arguments = OmegaConf.from_dotlist(list(overrides))
        merged = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(given), arguments)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise Refused("bad_config", _explain(error, given)) from None
    assert isinstance(config, Config)
    _check(verb, config)
    if config.steps is None and config.minutes is None:
        config.steps = USUAL_STEPS
    return config


def _read_file(path: Path) -> dict[str, Any]:
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
        return f"The config has an unknown key '{key}'; training/conf/train.yaml lists the known ones."
    if "mandatory value" in reason:
        return f"The config lacks the key '{key}'."
    return f"The config's key '{key}' cannot be used: {reason}"


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
    if not 0.5 < config.policy.confidence < 1 or config.policy.bootstrap < 100:
        raise Refused("bad_config", "The policy needs a confidence between 0.5 and 1 and 100 bootstrap rounds or more.")
    if config.policy.min_gain_points < 0 or config.policy.max_fpr_rise < 0:
        raise Refused("bad_config", "The policy's min_gain_points and max_fpr_rise cannot be negative.")
