"""Every key of a trainer's config, told once: type, default, range, help, and whether the result follows from it.

The trainer's config is this class. The retrain form, the API and the commands offer what `can_be_set`; a checkpoint
belongs to a run by what `changes_result`. toolbox/training_yaml.py writes the list that people read.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from toolbox import launch_settings as launch
from toolbox.gate_policy import Policy
from toolbox.setting_kinds import Setting, Told, choice, flag, loss, number, path, several
from toolbox.training_recipes import DEFAULT_RECIPE, RECIPES, no_such_recipe

FEWEST_STEPS = 150
TABLES = ("groups", "policy")  # settings that are tables of their own
TRACKERS = ("mlflow", "wandb", "tensorboard")
REQUIRED = "???"  # no default: the config must have it


@dataclass
class Groups:
    """Which choice of each group the run's settings come from: training/conf/<group>/<choice>.yaml."""

    model: str = "heads"
    data: str = "usual"
    optimizer: str = "demo"
    loss: str = "usual"
    schedule: str = "demo"
    launch: str = "here"
    tracking: str = "page"


# Figures were chosen on the demo model: docs/training.md, "What a retrain does".
@dataclass
class TrainerConfig:
    """What a run was asked to do."""

    recipe: str = choice(
        DEFAULT_RECIPE,
        "sets what follows: a choice of each group; docs/training.md, «Recipes»",
        *RECIPES,
        no_such=no_such_recipe,
        can_be_set=True,
        changes_result=False,  # what it sets does, and is compared itself
        form_help="Sets all that is left empty here.",
        heading="recipe",
    )
    groups: Groups = field(
        default_factory=Groups,
        metadata={"told": Told("the choices, the recipe's own or others: optimizer=sam3_heads", changes_result=False)},
    )

    snapshot: str = path(
        REQUIRED,
        "snapshot folder: manifest.json, train.json, val.json, test.json, holdout.json",
        heading="what",
    )
    images: str = path(REQUIRED, "image folder: ab/abcd… by SHA-256")
    base_model: str | None = path(None, "train: model folder to start from (hub layout)")
    model: str | None = path(None, "evaluate: model folder to judge")
    split: str = path("holdout", "evaluate: the document to judge it on")
    prompt: str = choice(
        "as_model",
        "evaluate: asked as the model's config.json says, with the CLS token, without it, or both ways for comparison",
        "as_model",
        "with_cls",
        "without_cls",
        "both",
        changes_result=False,
    )
    champion: str | None = path(None, "gate: the model that serves")
    challenger: str | None = path(None, "gate: the model that wants to")
    baseline: str | None = path(None, "gate: the model as shipped")
    trained_on: str | None = path(None, "gate, evaluate: the snapshot that taught the model; null: this (gate), none")
    looks: float = number(
        0.0,
        "gate: decisions that have read this holdout, each by the share of today's pairs that it had read",
        0,
        1_000_000,
        changes_result=False,
    )

    steps: int | None = number(
        None,
        f"null with minutes null: as many as `passes` asks for, {FEWEST_STEPS} at least",
        1,
        10_000_000,
        can_be_set=True,
        form_help="Empty: as many as is usual for this model; for the demo model they follow the number of pairs.",
        heading="how long",
    )
    minutes: float | None = number(
        None,
        "the schedule follows the clock and the run ends when it is over, or at `steps` if that comes first",
        0.01,
        100_000,
        can_be_set=True,
    )
    passes: float = number(
        12.0, "with steps and minutes null: a train pair is drawn about so many times", 0.1, 100_000, can_be_set=True
    )
    batch_pairs: int = number(16, "", 2, 4096, can_be_set=True)
    mask_pairs: int = number(
        4,
        "positives of a batch whose masks are learned from too: masks are half the cost of a step",
        1,
        4096,
        can_be_set=True,
    )
    blend_pairs: int = number(
        6,
        "mixtures of a positive and a negative picture a step, which teach presence to hesitate",
        0,
        4096,
        can_be_set=True,
    )
    validate_every: int = number(
        50, "steps; the best checkpoint is the one with the highest CGF1 on `val`", 1, 10_000_000, can_be_set=True
    )
    validate_pairs: int = number(200, "at most so many of `val`, always the same ones", 1, 10_000_000, can_be_set=True)
    patience: int | None = number(
        None, "stop after so many validations without a better one", 1, 1_000_000, can_be_set=True
    )
    checkpoint_every: int = number(50, "steps", 1, 10_000_000, can_be_set=True, changes_result=False)
    resume: bool = flag(True, "go on from the newest sound checkpoint in the output folder", changes_result=False)

    learning_rate: float = number(
        0.0003, "", 1e-8, 1.0, can_be_set=True, form_help="Empty: as usual.", heading="optimiser"
    )
    text_rate: float = number(
        0.3,
        "share of it for the text tower, which has seen more words than this snapshot holds; 0 freezes it",
        0.0,
        10.0,
        can_be_set=True,
        form_help="Empty: as usual. 0 leaves the text tower as it is, which needs the least memory.",
    )
    neck_rate: float = number(
        1.0,
        "share of it for the neck between ViT and DETR; 0 freezes it",
        0.0,
        10.0,
        can_be_set=True,
    )
    click_rate: float = number(
        0.0,
        "share of it for the click decoder, which accepted masks and their clicks then tune; 0 leaves it to the bit",
        0.0,
        10.0,
        can_be_set=True,
        form_help="Empty: 0, clicks stay as they are. Above 0 they are tuned, and kept only if no more are needed.",
    )
    click_pairs: int = number(4, "objects a step that the click decoder is tuned by", 1, 4096, can_be_set=True)
    click_rounds: int = number(3, "clicks on each of them, one after the other", 1, 20, can_be_set=True)
    click_judged: int = number(100, "objects of `val` that clicks are counted on", 1, 100_000, can_be_set=True)
    weight_decay: float = number(0.05, "none on biases, norms and embeddings", 0.0, 10.0, can_be_set=True)
    warmup: float = number(0.1, "share of the run", 0.0, 0.9, can_be_set=True)
    final_rate: float = number(0.05, "cosine down to this share", 0.0, 1.0, can_be_set=True)
    clip_norm: float = number(1.0, "", 1e-4, 1e6, can_be_set=True)
    average: float = number(
        0.98, "what is judged and kept: a moving average over steps; 0 turns it off", 0.0, 0.99999, can_be_set=True
    )
    start_share: float = number(
        0.5, "so much of the base model's weights in it: forgets less; 0 turns it off", 0.0, 0.95, can_be_set=True
    )
    choose_start_share: bool = flag(
        True, "half of it and none are judged at the end too, and the best on `val` is kept", can_be_set=True
    )

    vit: str = choice(
        "frozen",
        "frozen: each image is encoded once; full: it learns; lora: adapters in it learn and are merged in the end",
        *("frozen", "full", "lora"),
        can_be_set=True,
        heading="ViT (docs/training.md, «Training the ViT»)",
    )
    vit_rate: float = number(
        0.3125, "share of learning_rate for what learns in it, before layer_decay", 1e-6, 10.0, can_be_set=True
    )
    layer_decay: float = number(
        0.9,
        "its top block learns with this share of that rate, the one below with its square, …",
        0.1,
        1.0,
        can_be_set=True,
    )
    lora_rank: int = number(8, "of each adapter", 1, 1024, can_be_set=True)
    lora_alpha: float = number(16.0, "what an adapter adds counts alpha / rank times", 0.01, 10_000.0, can_be_set=True)
    lora_targets: str = choice(
        "vit",
        "attention projections that have an adapter and stay as they are otherwise: the ViT's, or DETR's too",
        *("vit", "vit_detr"),
        can_be_set=True,
    )

    loss_score: float = loss(20.0, "weight of the queries' scores", heading="losses (training/losses.py)")
    loss_presence: float = number(
        20.0, "of the presence score, all that a negative teaches", 0.1, 1000.0, can_be_set=True
    )
    loss_box_l1: float = loss(5.0, "of the boxes' distance")
    loss_giou: float = loss(2.0, "of the boxes' overlap")
    loss_mask_focal: float = loss(200.0, "of the masks' pixels")
    loss_mask_dice: float = loss(10.0, "of the masks' overlap")
    positive_weight: float = number(
        4.0,
        "of matched queries against the others; lower: fewer duplicates, more misses",
        0.1,
        100.0,
        can_be_set=True,
    )
    presence_smoothing: float = number(
        0.03,
        "presence aims this far from 0 and 1, so that a retrained model still hesitates",
        0.0,
        0.4,
        can_be_set=True,
    )

    one_to_many: bool = flag(
        False,
        "also learn from a second copy of the queries, of which several may answer for one object (official: on)",
        can_be_set=True,
    )
    loss_one_to_many: float = number(
        2.0, "of that branch's score, boxes and masks, beside their own weights", 0.01, 1000.0, can_be_set=True
    )
    semantic: bool = flag(
        False,
        "also learn the concept's pixels as a whole, where masks are learned from (official with masks: on)",
        can_be_set=True,
    )
    loss_semantic_focal: float = loss(20.0, "of the concept's pixels as a whole")
    loss_semantic_dice: float = loss(30.0, "of their overlap")

    positive_share: float = number(0.4, "of a batch", 0.05, 0.95, can_be_set=True, heading="data")
    newer_weight: float = number(
        2.0,
        "a pair of the newest round is drawn so many times as often as one of round 0",
        1.0,
        100.0,
        can_be_set=True,
    )
    mirror: bool = flag(
        False, "also train on each image mirrored left to right; encodes every image twice", can_be_set=True
    )
    views: int = number(
        0,
        "drawn views of each training image: nearer and farther parts, other light, blur, dusk; each encodes it again",
        0,
        64,
        can_be_set=True,
        form_help="Drawn views of each image: parts of it, other light, blur, dusk. Empty: as the recipe has it.",
    )
    view_strength: float = number(0.5, "how far they go from the picture as it is", 0.05, 1.0, can_be_set=True)
    view_colour: bool = flag(
        True, "their hue and saturation change too; off where a concept is told by its colour", can_be_set=True
    )
    seed: int = number(
        0,
        "with the data it decides every draw",
        0,
        2**31 - 1,
        can_be_set=True,
        form_help="Empty: 0. The same seed and data give the same model.",
    )

    device: str = choice("auto", "auto, cpu, cuda", "auto", "cpu", "cuda", changes_result=False, heading="machine")
    precision: str = choice(
        "auto",
        "of the heads' products; auto: float32 on a CPU, bfloat16 on a GPU, float16 where it has no bfloat16",
        *("auto", "float32", "bfloat16", "float16"),
        can_be_set=True,
        form_help="Empty: whole on a CPU, half as many bits on a GPU.",
    )
    vit_dtype: str = choice(
        "auto",
        "of a frozen ViT; auto: as the ML backend has it (bfloat16 on a GPU), so that its embeddings serve here",
        *("auto", "float32", "bfloat16"),
    )
    micro_pairs: int | None = number(
        None,
        "pairs learned from together; their gradients add up to the batch's. null: as many as fit the card",
        1,
        4096,
        can_be_set=True,
        form_help="Pairs learned from together. Empty: as many as fit the card. Fewer need less memory.",
        changes_result=False,
    )
    judge_pairs: int | None = number(
        None,
        "pairs judged together. null: as many as fit the card",
        1,
        4096,
        can_be_set=True,
        form_help="Pairs judged together. Empty: as many as fit the card.",
        changes_result=False,
    )
    recompute: str = choice(
        "auto",
        "DETR layers are computed again in the backward pass: a third slower, a third of the memory; auto: on a GPU",
        *("auto", "always", "never"),
        can_be_set=True,
        form_help="Compute layers again instead of keeping them: less memory, a third slower.",
        changes_result=False,
    )
    kept_free_mib: int = number(
        0,
        "of the card's memory, for others that use it too, such as the ML backend (ROOST_GPU_MB)",
        0,
        10_000_000,
        changes_result=False,
    )
    threads: int = number(1, "", 1, 1024, changes_result=False)
    nice: int = number(10, "the process's niceness, unless it is higher already", 0, 19, changes_result=False)
    features: str | None = path(None, "folder of cached backbone features; null: features/ beside the run")
    features_read_also: str | None = path(None, "another one to read from, such as the ML backend's embeddings/")
    features_mib: int | None = number(
        None,
        "the folder's budget; what was not used longest goes first. null: as much as the disk has",
        1,
        100_000_000,
        changes_result=False,
    )
    memory_mib: int = number(1024, "backbone features held in memory", 1, 10_000_000, changes_result=False)
    max_pixels: int = number(100_000_000, "", 1, 400_000_000)

    launch_on: str = launch.ON
    launch_partition: str | None = launch.PARTITION
    launch_account: str | None = launch.ACCOUNT
    launch_qos: str | None = launch.QOS
    launch_minutes: int = launch.MINUTES
    launch_gpus: int = launch.GPUS
    launch_requeue: bool = launch.REQUEUE
    launch_wait_minutes: float = launch.WAIT_MINUTES

    keep_score: float = number(
        0.1,
        "predictions below it are not written; CGF1 itself reads from 0.5",
        0.0,
        0.5,
        changes_result=False,
        heading="what is kept and shown",
    )
    sample_pairs: int = number(8, "", 0, 64, can_be_set=True, changes_result=False)

    trackers: list[str] = field(
        default_factory=list,
        metadata=several(
            "where a run is kept beside its folder: mlflow, wandb, tensorboard; one that fails fails no run",
            *TRACKERS,
            heading="tracking (packages: requirements-extras.txt)",
        ),
    )
    tracking_folder: str | None = path(None, "folder of what they keep here; null: tracking/ beside the run")
    tracking_project: str = path("roost", "MLflow's experiment, W&B's project, TensorBoard's folder")
    run_name: str | None = path(None, "null: the name of the output folder")
    mlflow_uri: str | None = path(None, "an MLflow server, or sqlite:///FILE; null: mlflow.db in that folder")
    data_revision: str | None = path(None, "commit of the data repository that holds the snapshot, for the lineage")

    policy: Policy = field(default_factory=Policy, metadata={"told": Told("", changes_result=False, heading="gate")})

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def decisive(self) -> dict[str, Any]:
        """What the result follows from; the rest is of the machine, or of another verb."""
        names = self.decisive_names()
        return {name: value for name, value in self.plain().items() if name in names}

    @classmethod
    def decisive_names(cls) -> set[str]:
        return {one.name for one in fields(cls) if one.metadata["told"].changes_result}


def all_settings() -> tuple[Setting, ...]:
    """The table, row by row; the recipe's groups and the gate's policy, tables of their own, are not in it."""
    hints = get_type_hints(TrainerConfig)
    return tuple(_setting(one, hints[one.name]) for one in fields(TrainerConfig) if one.name not in TABLES)


def _setting(one: Any, hint: Any) -> Setting:
    kinds = [get_origin(kind) or kind for kind in _alternatives(hint) if kind is not type(None)]
    return Setting(one.name, kinds[0], len(_alternatives(hint)) > 1, default_of(one), one.metadata["told"])


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def default_of(one: Any) -> Any:
    return one.default if one.default is not MISSING else one.default_factory()


# What a person may set; paths and the gate's policy are the project's own.
SETTABLE = {one.name: one for one in all_settings() if one.told.can_be_set}
