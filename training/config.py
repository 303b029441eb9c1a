"""What a run was asked to do: defaults in conf/train.yaml, a file over them, key=value arguments over both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.errors import Refused

CONF = Path(__file__).resolve().parent / "conf"
DEFAULT_STEPS = 150
VERB_KEYS = {
    "train": ("base_model",),
    "evaluate": ("model",),
    "gate": ("champion", "challenger", "baseline"),
}


@dataclass
class Policy:
    """When a challenger may serve. Gains are in points of CGF1 (a fraction x 100)."""

    min_gain_points: float = 1.0
    bootstrap: int = 1000
    confidence: float = 0.95
    max_fpr_rise: float = 0.0


@dataclass
class Config:
    """Every key of conf/train.yaml, typed; the comments there say what each means."""

    snapshot: str
    images: str
    base_model: str | None
    model: str | None
    split: str
    champion: str | None
    challenger: str | None
    baseline: str | None
    seed: int
    steps: int | None
    minutes: float | None
    batch_pairs: int
    mask_pairs: int
    blend_pairs: int
    validate_every: int
    validate_pairs: int
    patience: int | None
    checkpoint_every: int
    resume: bool
    learning_rate: float
    text_rate: float
    weight_decay: float
    warmup: float
    final_rate: float
    clip_norm: float
    average: float
    start_share: float
    presence_caution: float
    positive_weight: float
    presence_smoothing: float
    positive_share: float
    newer_weight: float
    mirror: bool
    device: str
    precision: str
    threads: int
    nice: int
    features: str | None
    features_read_also: str | None
    memory_mib: int
    max_pixels: int
    keep_score: float
    sample_pairs: int
    policy: Policy = field(default_factory=Policy)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def read_config(verb: str, file: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Compose and check; Refused `bad_config` names the key that is unknown, missing, of a wrong type or senseless."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    given = _read_file(Path(file)) if file is not None else {}
    try:
        with initialize_config_dir(version_base=None, config_dir=str(CONF)):
            defaults = compose("train")
            schema = OmegaConf.merge(OmegaConf.structured(Config), defaults)
            arguments = OmegaConf.from_dotlist(list(overrides))
            merged = OmegaConf.merge(schema, OmegaConf.create(given), arguments)
        config = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, HydraException) as error:
        raise Refused("bad_config", _explain(error, given)) from None
    assert isinstance(config, Config)
    _check(verb, config)
    if config.steps is None and config.minutes is None:
        config.steps = DEFAULT_STEPS
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
    for key, low, high in _RANGES:
        value = getattr(config, key)
        if value is not None and not low <= value <= high:
            raise Refused("bad_config", f"The config's key '{key}' must be between {low} and {high}, it is {value}.")
    if not 0.5 < config.policy.confidence < 1 or config.policy.bootstrap < 100:
        raise Refused("bad_config", "The policy needs a confidence between 0.5 and 1 and 100 bootstrap rounds or more.")
    if config.policy.min_gain_points < 0 or config.policy.max_fpr_rise < 0:
        raise Refused("bad_config", "The policy's min_gain_points and max_fpr_rise cannot be negative.")
    for key, known in (("device", ("auto", "cpu", "cuda")), ("precision", ("float32", "bfloat16"))):
        if getattr(config, key) not in known:
            raise Refused("bad_config", f"The config's key '{key}' is one of {', '.join(known)}.")


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("steps", 1, 10_000_000),
    ("minutes", 0.01, 100_000),
    ("batch_pairs", 2, 4096),
    ("mask_pairs", 1, 4096),
    ("blend_pairs", 0, 4096),
    ("validate_every", 1, 10_000_000),
    ("validate_pairs", 1, 10_000_000),
    ("patience", 1, 1_000_000),
    ("checkpoint_every", 1, 10_000_000),
    ("learning_rate", 1e-8, 1.0),
    ("text_rate", 0.0, 10.0),
    ("weight_decay", 0.0, 10.0),
    ("warmup", 0.0, 0.9),
    ("final_rate", 0.0, 1.0),
    ("clip_norm", 1e-4, 1e6),
    ("average", 0.0, 0.99999),
    ("start_share", 0.0, 0.95),
    ("presence_caution", 0.0, 5.0),
    ("positive_weight", 0.1, 100.0),
    ("presence_smoothing", 0.0, 0.4),
    ("positive_share", 0.05, 0.95),
    ("newer_weight", 1.0, 100.0),
    ("threads", 1, 1024),
    ("nice", 0, 19),
    ("memory_mib", 1, 10_000_000),
    ("max_pixels", 1, 400_000_000),
    ("keep_score", 0.0, 0.5),
    ("sample_pairs", 0, 64),
    ("seed", 0, 2**31 - 1),
)
