"""Every key of a trainer's config, told once: type, default, range, help, and whether the result follows from it.

The trainer's config is this class. The retrain form, the API and the commands offer what `can_be_set`; a checkpoint
belongs to a run by what `changes_result`. `python -m toolbox.training_settings > training/conf/train.yaml` writes the
list that people read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args, get_type_hints

USUAL_STEPS = 150
REQUIRED = "???"  # no default: the config must have it


@dataclass(frozen=True)
class Told:
    """What is known of a setting beside its type and default. `form_help` puts it on the retrain form."""

    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    can_be_set: bool = False
    changes_result: bool = True
    form_help: str = ""
    heading: str = ""


@dataclass(frozen=True)
class Setting:
    """One row of the table; `kind` is bool, int, float or str, and `is_optional` says that null is a value of it."""

    name: str
    kind: type
    is_optional: bool
    default: Any
    told: Told

    def refusal(self, value: Any) -> str | None:
        """The sentence that refuses the value, if it is of this kind but outside its range or choices."""
        told, is_number = self.told, isinstance(value, int | float) and not isinstance(value, bool)
        if told.low is not None and told.high is not None and is_number and not told.low <= value <= told.high:
            return f"The config's key '{self.name}' must be between {told.low} and {told.high}, it is {value}."
        if told.choices and isinstance(value, str) and value not in told.choices:
            return f"The config's key '{self.name}' is one of {', '.join(told.choices)}."
        return None


def _path(default: str | None, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, changes_result=False, **more)})


def _number(default: float | None, help: str, low: float, high: float, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, low, high, **more)})


def _choice(default: str, help: str, *choices: str, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, choices=choices, **more)})


def _flag(default: bool, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, **more)})


@dataclass
class Policy:
    """When a challenger may serve. Gains are in points of CGF1 (a fraction x 100)."""

    min_gain_points: float = 1.0
    bootstrap: int = 1000
    confidence: float = 0.95
    max_fpr_rise: float = 0.0


# Figures were chosen on the demo model: docs/training.md, "What a retrain does".
@dataclass
class TrainerConfig:
    """What a run was asked to do."""

    snapshot: str = _path(
        REQUIRED,
        "snapshot folder: manifest.json, train.json, val.json, test.json, holdout.json",
        heading="what",
    )
    images: str = _path(REQUIRED, "image folder: ab/abcd… by SHA-256")
    base_model: str | None = _path(None, "train: model folder to start from (hub layout)")
    model: str | None = _path(None, "evaluate: model folder to judge")
    split: str = _path("holdout", "evaluate: the document to judge it on")
    prompt: str = _choice(
        "as_model",
        "evaluate: asked as the model's config.json says, with the CLS token, without it, or both ways for comparison",
        "as_model",
        "with_cls",
        "without_cls",
        "both",
        changes_result=False,
    )
    champion: str | None = _path(None, "gate: the model that serves")
    challenger: str | None = _path(None, "gate: the model that wants to")
    baseline: str | None = _path(None, "gate: the model as shipped")

    steps: int | None = _number(
        None,
        f"null with minutes null: {USUAL_STEPS}",
        1,
        10_000_000,
        can_be_set=True,
        form_help="Empty: as many as is usual for this model.",
        heading="how long",
    )
    minutes: float | None = _number(
        None,
        "the schedule follows the clock and the run ends when it is over, or at `steps` if that comes first",
        0.01,
        100_000,
        can_be_set=True,
    )
    batch_pairs: int = _number(16, "", 2, 4096, can_be_set=True)
    mask_pairs: int = _number(
        4,
        "positives of a batch whose masks are learned from too: masks are half the cost of a step",
        1,
        4096,
        can_be_set=True,
    )
    blend_pairs: int = _number(
        6,
        "mixtures of a positive and a negative picture a step, which teach presence to hesitate",
        0,
        4096,
        can_be_set=True,
    )
    validate_every: int = _number(
        50, "steps; the best checkpoint is the one with the highest CGF1 on `val`", 1, 10_000_000, can_be_set=True
    )
    validate_pairs: int = _number(200, "at most so many of `val`, always the same ones", 1, 10_000_000, can_be_set=True)
    patience: int | None = _number(
        None, "stop after so many validations without a better one", 1, 1_000_000, can_be_set=True
    )
    checkpoint_every: int = _number(50, "steps", 1, 10_000_000, can_be_set=True, changes_result=False)
    resume: bool = _flag(True, "go on from the newest sound checkpoint in the output folder", changes_result=False)

    learning_rate: float = _number(
        0.0003, "", 1e-8, 1.0, can_be_set=True, form_help="Empty: as usual.", heading="optimiser"
    )
    text_rate: float = _number(
        0.3,
        "share of it for the text tower, which has seen more words than this snapshot holds; 0 freezes it",
        0.0,
        10.0,
        can_be_set=True,
        form_help="Empty: as usual. 0 leaves the text tower as it is, which needs the least memory.",
    )
    weight_decay: float = _number(0.05, "none on biases, norms and embeddings", 0.0, 10.0, can_be_set=True)
    warmup: float = _number(0.1, "share of the run", 0.0, 0.9, can_be_set=True)
    final_rate: float = _number(0.05, "cosine down to this share", 0.0, 1.0, can_be_set=True)
    clip_norm: float = _number(1.0, "", 1e-4, 1e6, can_be_set=True)
    average: float = _number(
        0.98, "what is judged and kept: a moving average over steps; 0 turns it off", 0.0, 0.99999, can_be_set=True
    )
    start_share: float = _number(
        0.5,
        "so much of the base model's weights in it: forgets less; 0 turns it off",
        0.0,
        0.95,
        can_be_set=True,
    )
    presence_caution: float = _number(
        0.2,
        "logits taken off every presence score in the end: the gate forgives no new false alarm",
        0.0,
        5.0,
        can_be_set=True,
    )

    positive_weight: float = _number(
        4.0,
        "of matched queries against the others; lower: fewer duplicates, more misses",
        0.1,
        100.0,
        can_be_set=True,
        heading="losses (the rest are the public recipe's, training/losses.py)",
    )
    presence_smoothing: float = _number(
        0.03,
        "presence aims this far from 0 and 1, so that a retrained model still hesitates",
        0.0,
        0.4,
        can_be_set=True,
    )

    one_to_many: bool = _flag(
        False,
        "also learn from a second copy of the queries, of which several may answer for one object (official: on)",
        can_be_set=True,
    )
    semantic: bool = _flag(
        False,
        "also learn the concept's pixels as a whole, where masks are learned from (official with masks: on)",
        can_be_set=True,
    )

    positive_share: float = _number(0.4, "of a batch", 0.05, 0.95, can_be_set=True, heading="data")
    newer_weight: float = _number(
        2.0,
        "a pair of the newest round is drawn so many times as often as one of round 0",
        1.0,
        100.0,
        can_be_set=True,
    )
    mirror: bool = _flag(
        False, "also train on each image mirrored left to right; encodes every image twice", can_be_set=True
    )
    seed: int = _number(
        0,
        "with the data it decides every draw",
        0,
        2**31 - 1,
        can_be_set=True,
        form_help="Empty: 0. The same seed and data give the same model.",
    )

    device: str = _choice("auto", "auto, cpu, cuda", "auto", "cpu", "cuda", changes_result=False, heading="machine")
    precision: str = _choice(
        "auto",
        "of the heads' products; auto: float32 on a CPU, bfloat16 on a GPU, float16 where it has no bfloat16",
        *("auto", "float32", "bfloat16", "float16"),
        can_be_set=True,
        form_help="Empty: whole on a CPU, half as many bits on a GPU.",
    )
    vit_dtype: str = _choice(
        "auto",
        "of the frozen ViT; auto: as the ML backend has it (bfloat16 on a GPU), so that its embeddings serve here",
        *("auto", "float32", "bfloat16"),
    )
    micro_pairs: int | None = _number(
        None,
        "pairs learned from together; their gradients add up to the batch's. null: as many as fit the card",
        1,
        4096,
        can_be_set=True,
        form_help="Pairs learned from together. Empty: as many as fit the card. Fewer need less memory.",
        changes_result=False,
    )
    judge_pairs: int | None = _number(
        None,
        "pairs judged together. null: as many as fit the card",
        1,
        4096,
        can_be_set=True,
        form_help="Pairs judged together. Empty: as many as fit the card.",
        changes_result=False,
    )
    recompute: str = _choice(
        "auto",
        "DETR layers are computed again in the backward pass: a third slower, a third of the memory; auto: on a GPU",
        *("auto", "always", "never"),
        can_be_set=True,
        form_help="Compute layers again instead of keeping them: less memory, a third slower.",
        changes_result=False,
    )
    threads: int = _number(1, "", 1, 1024, changes_result=False)
    nice: int = _number(10, "the process's niceness, unless it is higher already", 0, 19, changes_result=False)
    features: str | None = _path(None, "folder of cached backbone features; null: features/ beside the run")
    features_read_also: str | None = _path(None, "another one to read from, such as the ML backend's embeddings/")
    features_mib: int | None = _number(
        None,
        "the folder's budget; what was not used longest goes first. null: as much as the disk has",
        1,
        100_000_000,
        changes_result=False,
    )
    memory_mib: int = _number(1024, "backbone features held in memory", 1, 10_000_000, changes_result=False)
    max_pixels: int = _number(100_000_000, "", 1, 400_000_000)

    launch_on: str = _choice(
        "slurm",
        "where --use-cluster 1 sends the run: a Slurm cluster; local and debug try the same out here",
        *("slurm", "local", "debug"),
        changes_result=False,
        heading="launch (--use-cluster 1)",
    )
    launch_partition: str | None = _path(None, "null: the cluster's default; so for account and qos")
    launch_account: str | None = _path(None, "who pays")
    launch_qos: str | None = _path(None, "quality of service")
    launch_minutes: int = _number(240, "the job's time", 5, 1_000_000, changes_result=False)
    launch_gpus: int = _number(1, "each is a process of a train run; 0: on CPUs", 0, 64, changes_result=False)
    launch_requeue: bool = _flag(
        True,
        "queued again, from the checkpoint, when its time is over or it makes room for another job",
        changes_result=False,
    )
    launch_wait_minutes: float = _number(
        30.0,
        "several processes: so long they wait for one of them that does not come",
        0.01,
        10_000,
        changes_result=False,
    )

    keep_score: float = _number(
        0.1,
        "predictions below it are not written; CGF1 itself reads from 0.5",
        0.0,
        0.5,
        changes_result=False,
        heading="what is kept and shown",
    )
    sample_pairs: int = _number(8, "", 0, 64, can_be_set=True, changes_result=False)

    policy: Policy = field(default_factory=Policy, metadata={"told": Told("", changes_result=False, heading="gate")})

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def decisive(self) -> dict[str, Any]:
        """What the result follows from; the rest is of the machine, or of another verb."""
        told = {one.name: one.metadata["told"] for one in fields(self)}
        return {name: value for name, value in self.plain().items() if told[name].changes_result}


def all_settings() -> tuple[Setting, ...]:
    """The table, row by row; the gate's policy, a table of its own, is not in it."""
    hints = get_type_hints(TrainerConfig)
    return tuple(_setting(one, hints[one.name]) for one in fields(TrainerConfig) if one.name != "policy")


def _setting(one: Any, hint: Any) -> Setting:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return Setting(one.name, kinds[0], len(get_args(hint)) > 1, one.default, one.metadata["told"])


# What a person may set; paths and the gate's policy are the project's own.
SETTABLE = {one.name: one for one in all_settings() if one.told.can_be_set}


def as_yaml() -> str:
    return "\n".join(_yaml_lines()) + "\n"


def _yaml_lines() -> Iterator[str]:
    yield "# Defaults of `python -m training`. A run's own file (--config) and key=value arguments override them; a key"
    yield "# that is not here is an error. Written by `python -m toolbox.training_settings`: change it there."
    for one in fields(TrainerConfig):
        told = one.metadata["told"]
        if told.heading:
            yield f"\n# {told.heading}"
        if one.name == "policy":
            yield from ("policy:", *(f"  {name}: {_yaml(value)}" for name, value in asdict(Policy()).items()))
        else:
            yield f"{f'{one.name}: {_yaml(one.default)}':<24} # {told.help}".removesuffix(" # ").rstrip()


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    assert not isinstance(value, float) or math.isfinite(value)
    return str(value)


if __name__ == "__main__":
    print(as_yaml(), end="")
