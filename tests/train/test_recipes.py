"""Recipes: what they compose to, what may be overridden, and what is refused because it would do nothing."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.train.snapshots import Snapshot, tiny_model
from tests.train.support import StopAfter
from toolbox.training_effects import idle_of_run
from toolbox.training_recipes import RECIPES
from toolbox.training_settings import SETTABLE, TrainerConfig
from training.__main__ import perform
from training.config import Config, read_config
from training.errors import Refused
from training.events import Events
from training.heads import build_optimiser, set_rate, trainable
from training.launch import StopRequest
from training.losses import LossWeights
from training.models import load_model
from training.recipes import CONF, GROUPS, as_json
from training.runs import run_train

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ["snapshot=s", "images=i", "base_model=b"]
OF_NO_GROUP = {"recipe", "groups", "snapshot", "images", "base_model", "model", "split", "prompt", "champion"}
OF_NO_GROUP |= {
    "challenger",
    "baseline",
    "resume",
    "tracking_folder",
    "tracking_project",
    "run_name",
    "mlflow_uri",
    "data_revision",
    "seed",
    "features",
    "features_read_also",
    "features_mib",
    "kept_free_mib",
}
OF_NO_GROUP |= {"keep_score", "policy", "looks", "trained_on"}


def asked(*overrides: str, verb: str = "train") -> Config:
    return read_config(verb, None, [*NEEDED, *overrides])


def refusal(*overrides: str) -> str:
    with pytest.raises(Refused) as told:
        asked(*overrides)
    assert told.value.code == "bad_config"
    return told.value.message


def settings_of(group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((CONF / group).glob("*.yaml")):
        yield path.stem, yaml.safe_load(path.read_text(encoding="utf-8"))


def test_run_without_a_recipe_is_the_demo_recipe_and_what_it_always_was() -> None:
    plain = asked().plain()
    assert plain == asked("recipe=demo").plain()
    assert plain == {**TrainerConfig().plain(), "snapshot": "s", "images": "i", "base_model": "b"}


def test_sam3_heads_has_the_public_recipe_s_figures() -> None:
    """Rates, decay, clipping, 20 steps of warm-up and the weights of the losses: facts of the published config."""
    config = asked("recipe=sam3_heads")
    assert config.learning_rate == pytest.approx(8e-5)
    assert config.learning_rate * config.neck_rate == pytest.approx(2.5e-5)
    assert (config.text_rate, config.weight_decay, config.clip_norm) == (0.0, 0.1, 0.1)
    assert config.steps is not None
    assert config.warmup * config.steps == pytest.approx(20)
    assert 0.05 <= config.warmup <= 0.1
    weights = LossWeights.of(config)
    assert (weights.box_l1, weights.giou, weights.score, weights.presence) == (5, 2, 20, 20)
    assert (weights.positive_weight, weights.mask_focal, weights.mask_dice) == (10, 200, 10)
    assert weights.presence_smoothing == weights.one_to_many == weights.semantic_focal == 0


def test_text_tower_learns_at_5e_6_by_a_choice_of_one_group() -> None:
    config = asked("recipe=sam3_heads", "optimizer=sam3_heads_text")
    assert config.learning_rate * config.text_rate == pytest.approx(5e-6)
    assert config.groups.optimizer == "sam3_heads_text"
    assert config.groups.schedule == "sam3_heads"


def test_both_branches_have_the_public_weights_by_a_choice_of_one_group() -> None:
    weights = LossWeights.of(asked("loss=public_branches"))
    assert (weights.one_to_many, weights.semantic_focal, weights.semantic_dice) == (2, 20, 30)


def test_loss_weights_can_be_set() -> None:
    keys = ("score", "presence", "box_l1", "giou", "mask_focal", "mask_dice", "semantic_focal", "semantic_dice")
    given = [f"loss_{key}={number}" for number, key in enumerate(keys, start=1)]
    weights = LossWeights.of(asked("semantic=true", "one_to_many=true", "loss_one_to_many=9", *given))
    assert [getattr(weights, key) for key in keys] == list(range(1, 9))
    assert weights.one_to_many == 9


def test_drawn_views_are_a_choice_of_the_data_and_off_in_every_recipe() -> None:
    assert {asked(f"recipe={name}").views for name in RECIPES} == {0}
    config = asked("recipe=pilot", "data=views", "view_strength=0.8")
    assert (config.views, config.mirror, config.view_strength, config.batch_pairs) == (4, True, 0.8, 8)


@pytest.mark.parametrize("key", ["view_strength=0.9", "view_colour=false"])
def test_how_views_are_drawn_has_no_effect_where_none_is(key: str) -> None:
    name = key.split("=")[0]
    assert refusal(key) == f"The key '{name}' has no effect: no view is drawn. Set views to 1 or more."
    assert asked(key, "views=1").views == 1


def test_keys_override_the_recipe_and_leave_the_rest_of_it() -> None:
    config = asked("recipe=production", "learning_rate=0.00005", "steps=900")
    assert (config.learning_rate, config.steps, config.patience, config.text_rate) == (5e-5, 900, 6, 0)


def test_run_told_its_minutes_goes_by_the_clock_and_not_by_the_recipe_s_steps() -> None:
    assert asked("recipe=sam3_heads", "minutes=5").steps is None
    assert asked("recipe=sam3_heads", "minutes=5", "steps=30").steps == 30


@pytest.mark.parametrize("group", GROUPS)
def test_choices_of_a_group_set_the_same_keys(group: str) -> None:
    found = {name: set(values) for name, values in settings_of(group)}
    assert len({frozenset(keys) for keys in found.values()}) == 1, found


def test_every_setting_of_a_run_belongs_to_one_group() -> None:
    keys = [key for group in GROUPS for key in next(settings_of(group))[1]]
    assert sorted(keys) == sorted(set(TrainerConfig().plain()) - OF_NO_GROUP)


def test_web_side_is_told_of_every_recipe_as_it_is_written() -> None:
    """Else: python -m training.recipes > toolbox/training_recipes.json"""
    assert (ROOT / "toolbox" / "training_recipes.json").read_text(encoding="utf-8") == as_json()
    assert set(RECIPES) == {"demo", "sam3_heads", "sam3_full", "sam3_lora", "pilot", "production"}


@pytest.mark.parametrize("name", list(RECIPES))
def test_web_side_resolves_a_recipe_as_the_trainer_does(name: str) -> None:
    config = asked(f"recipe={name}").plain()
    usual = {key: one.default for key, one in SETTABLE.items()} | RECIPES[name].values
    assert {key: config[key] for key in SETTABLE} == usual | {"recipe": name}


def test_sam3_full_has_the_public_recipe_s_rates() -> None:
    """Facts of the published config: vision backbone 2.5e-5 with a decay of 0.9 a layer, the rest 8e-5."""
    config = asked("recipe=sam3_full")
    assert (config.vit, config.layer_decay) == ("full", 0.9)
    assert config.learning_rate * config.vit_rate == pytest.approx(2.5e-5)
    assert config.learning_rate * config.neck_rate == pytest.approx(2.5e-5)
    assert (config.learning_rate, config.text_rate, config.weight_decay, config.clip_norm) == (8e-5, 0.0, 0.1, 0.1)
    assert (config.mirror, config.blend_pairs) == (True, 0)


def test_sam3_lora_differs_from_sam3_full_in_what_learns_and_how_fast() -> None:
    full, lora = (asked(f"recipe={name}").plain() for name in ("sam3_full", "sam3_lora"))
    changed = {key: lora[key] for key in full if lora[key] != full[key] and key not in ("recipe", "groups")}
    assert changed == {"vit": "lora", "vit_rate": 1.25, "layer_decay": 1.0}
    assert lora["learning_rate"] * lora["vit_rate"] == pytest.approx(1e-4)


def test_heads_of_any_recipe_learn_with_the_vit_by_a_choice_of_one_group() -> None:
    assert (asked("model=full").vit, asked("recipe=pilot", "model=lora").vit) == ("full", "lora")


WITHOUT_EFFECT = [
    (["lerning_rate=1"], "unknown key 'lerning_rate' (did you mean 'learning_rate'?)"),
    (["optimiser=demo"], "unknown key 'optimiser' (did you mean 'optimizer'?)"),
    (["recipe=sam3_head"], "Did you mean 'sam3_heads'?"),
    (
        ["optimizer=sam3heads"],
        "has no choice 'sam3heads'; those it has: demo, sam3_full, sam3_heads, sam3_heads_text, sam3_lora",
    ),
    (["groups.optimiser=demo"], "no group 'optimiser'; the groups are model, data, optimizer"),
    (["model=/models/sam3"], "is the key 'base_model'"),
    (["split=val"], "The key 'split' has no effect on `train`: it is for `evaluate`."),
    (["policy.min_gain_points=2"], "it is for `gate`"),
    (["steps=150", "validate_every=151"], "past the run's 150 steps. Set validate_every to 150"),
    (["steps=150", "passes=3"], "steps or minutes say how long the run is. Set both to null"),
    (["start_share=0", "choose_start_share=false"], "there is no way back to choose from. Set it above 0"),
    (
        ["steps=150", "patience=3"],
        "2 validations before their end (validate_every 50). Set validate_every to 49 or less or patience to 2",
    ),
    (["steps=1", "patience=1"], "Set steps to more"),
    (["loss_one_to_many=3"], "Set one_to_many to true"),
    (["loss_semantic_dice=3"], "Set semantic to true"),
    (["semantic=true", "loss_semantic_focal=0", "loss_semantic_dice=0"], "The key 'semantic' has no effect"),
    (["click_pairs=2"], "the click decoder is left as it is. Set click_rate above 0"),
    (["loss_score=0", "positive_weight=3"], "loss_score is 0"),
    (["loss_mask_focal=0", "loss_mask_dice=0", "mask_pairs=2"], "no mask is learned from"),
    (["batch_pairs=4", "mask_pairs=8"], "a batch of 4 pairs holds 2 positives and 2 negatives"),
    (["layer_decay=0.8"], "The key 'layer_decay' has no effect: the ViT is frozen. Set vit to full or lora."),
    (["vit_rate=0.1"], "the ViT is frozen"),
    (["model=full", "lora_rank=4"], "nothing has an adapter. Set vit to lora"),
    (["recipe=sam3_full", "vit_dtype=float32"], "has the arithmetic of the rest. Set precision"),
    (["blend_pairs=9"], "Set blend_pairs below 6"),
]


@pytest.mark.parametrize(("overrides", "words"), WITHOUT_EFFECT, ids=[" ".join(row[0]) for row in WITHOUT_EFFECT])
def test_override_without_effect_is_refused_and_the_right_key_named(overrides: list[str], words: str) -> None:
    assert words in refusal(*overrides)


WITH_EFFECT = [
    ["validate_every=150"],
    ["patience=2"],
    ["patience=9", "minutes=5"],
    ["mask_pairs=9"],
    ["batch_pairs=4"],
    ["steps=10"],
    ["one_to_many=true", "loss_one_to_many=3"],
    ["recipe=production", "steps=100"],
    ["vit=full", "layer_decay=0.8"],
    ["vit=lora", "lora_rank=4", "lora_alpha=4", "lora_targets=vit_detr", "vit_rate=0.1"],
    ["click_rate=0.3", "click_pairs=2", "click_rounds=1", "click_judged=9"],
]


@pytest.mark.parametrize("overrides", WITH_EFFECT, ids=" ".join)
def test_override_with_an_effect_is_taken_whatever_else_it_makes_idle(overrides: list[str]) -> None:
    asked(*overrides)
    given = {key: yaml.safe_load(value) for key, value in (one.split("=") for one in overrides)}
    assert idle_of_run(given) is None


@pytest.mark.parametrize("given", ["steps=5", "recipe=pilot", "optimizer=demo", "patience=2"])
def test_keys_of_a_training_run_are_refused_by_the_verbs_that_judge(given: str) -> None:
    key = given.partition("=")[0]
    with pytest.raises(Refused, match=f"'{key}' has no effect on `evaluate`: it is for `train` and `plan`"):
        read_config("evaluate", None, ["snapshot=s", "images=i", "model=m", given])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    made = Snapshot(root).add_scenes("train", "easy", 5).add_scenes("val", "easy", 3).freeze()
    folders = {"snapshot": made.folder, "images": made.images, "base_model": tiny_model(root / "model")}
    return {key: str(folder) for key, folder in folders.items()} | {"features": str(root / "features")}


SHORT = {"recipe": "pilot", "steps": 4, "batch_pairs": 4, "validate_every": 2, "checkpoint_every": 2, "mirror": False}


def config_of(world: dict[str, str], folder: Path, **changes: Any) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "asked.json").write_text(json.dumps({**world, **SHORT, **changes}))
    return read_config("train", folder / "asked.json")


def test_rates_of_neck_text_tower_and_rest_are_their_shares(world: dict[str, str], tmp_path: Path) -> None:
    config = config_of(world, tmp_path, optimizer="sam3_heads_text")
    parameters = trainable(load_model(world["base_model"], device=torch.device("cpu")).network)
    optimiser = build_optimiser(parameters, config)
    set_rate(optimiser, config, config.warmup)
    rates = {id(one): group["lr"] for group in optimiser.param_groups for one in group["params"]}
    decays = {id(one): group["weight_decay"] for group in optimiser.param_groups for one in group["params"]}
    for name, parameter in parameters.items():
        is_text = name.startswith(("text_encoder", "text_projection"))
        official = 5e-6 if is_text else 2.5e-5 if name.startswith("vision_encoder.neck") else 8e-5
        assert rates[id(parameter)] == pytest.approx(official), name
    assert set(decays.values()) == {0.0, 0.1}


def test_neck_without_a_rate_stays_as_it_is(world: dict[str, str]) -> None:
    network = load_model(world["base_model"], device=torch.device("cpu")).network
    frozen = {name.split(".")[1] for name in trainable(network)} - {
        name.split(".")[1] for name in trainable(network, with_neck=False)
    }
    assert frozen == {"neck"}
    assert not any(parameter.requires_grad for parameter in network.detector.vision_encoder.parameters())


def test_run_by_recipe_leaves_its_whole_config_which_gives_the_same_run_again(
    world: dict[str, str], tmp_path: Path
) -> None:
    config = config_of(world, tmp_path / "run")
    manifest = json.loads(run_train(config, tmp_path / "run", Events([]), StopRequest()).read_text())
    written = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    plain = yaml.safe_load(written)
    assert list(plain)[:2] == ["recipe", "groups"]
    assert (plain["recipe"], plain["groups"]["data"], plain["steps"]) == ("pilot", "few", 4)
    assert read_config("train", tmp_path / "run" / "config.yaml").plain() == config.plain()
    assert (manifest["recipe"], manifest["config"]) == ("pilot", config.plain())
    assert json.loads((tmp_path / "run" / "model" / "manifest.json").read_text())["recipe"] == "pilot"


def test_run_by_recipe_goes_on_from_its_config_file_with_the_same_weights(
    world: dict[str, str], tmp_path: Path
) -> None:
    from training.errors import Stopped

    whole = json.loads(
        run_train(config_of(world, tmp_path / "whole"), tmp_path / "whole", Events([]), StopRequest()).read_text()
    )
    out, stop = tmp_path / "cut", StopRequest()
    with pytest.raises(Stopped):
        run_train(config_of(world, out), out, StopAfter(stop), stop)
    again = json.loads(run_train(read_config("train", out / "config.yaml"), out, Events([]), StopRequest()).read_text())
    assert again["weights_hash"] == whole["weights_hash"]


def test_folder_of_another_run_keeps_its_config_file(world: dict[str, str], tmp_path: Path) -> None:
    run_train(config_of(world, tmp_path), tmp_path, Events([]), StopRequest())
    before = (tmp_path / "config.yaml").read_text()
    with pytest.raises(Refused):
        run_train(config_of(world, tmp_path, recipe="demo"), tmp_path, Events([]), StopRequest())
    assert (tmp_path / "config.yaml").read_text() == before


def test_plan_of_a_recipe_needs_no_file(world: dict[str, str]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = perform(["plan", "recipe=sam3_heads", f"base_model={world['base_model']}", "nice=0", "--card", "24GB"])
    assert status == 0
    assert "it fits" in said.getvalue()


def test_page_s_table_of_recipes_is_what_they_compose() -> None:
    """docs/training.md: one row a recipe, its choices in the order of the groups, each with words after a colon."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    told = {row[0].strip("`"): [cell.split(":")[0] for cell in row[2:]] for row in rows if len(row) == 2 + len(GROUPS)}
    assert told == {name: [recipe.groups[group] for group in GROUPS] for name, recipe in RECIPES.items()}
