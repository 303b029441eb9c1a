"""A training setting is told once: what stands in the table is on the form, in the API and in the trainer."""

import json
import re
from html import unescape

import pytest
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from annotator.management.commands.retrain import Command
from annotator.models import Job
from annotator.registry.forms import RetrainForm
from tests import factories
from toolbox.training_recipes import RECIPES
from toolbox.training_settings import SETTABLE, all_settings
from training.config import read_config

ON_FORM = [setting for setting in SETTABLE.values() if setting.told.form_help]
RANGED = [setting for setting in SETTABLE.values() if setting.told.high is not None]
KINDS = {int: "integer", float: "number", bool: "boolean", str: "string"}


def test_form_offers_what_the_table_has_words_for(barn, signed_in):
    form = RetrainForm(project=barn.project)
    assert list(form.fields) == ["snapshot", *(setting.name for setting in ON_FORM)]
    assert {setting.name: form.fields[setting.name].help_text for setting in ON_FORM} == {
        "recipe": "Sets all that is left empty here.",
        "steps": "Empty: as many as is usual for this model; for the demo model they follow the number of pairs.",
        "learning_rate": "Empty: as usual.",
        "text_rate": "Empty: as usual. 0 leaves the text tower as it is, which needs the least memory.",
        "views": "Drawn views of each image: parts of it, other light, blur, dusk. Empty: as the recipe has it.",
        "click_rate": "Empty: 0, clicks stay as they are. Above 0 they are tuned, and kept only if no more are needed.",
        "seed": "Empty: 0. The same seed and data give the same model.",
        "precision": "Empty: whole on a CPU, half as many bits on a GPU.",
        "micro_pairs": "Pairs learned from together. Empty: as many as fit the card. Fewer need less memory.",
        "judge_pairs": "Pairs judged together. Empty: as many as fit the card.",
        "recompute": "Compute layers again instead of keeping them: less memory, a third slower.",
    }
    factories.make_pair(barn.project, truth="absent")
    page = signed_in(barn.admin).get(reverse("training", args=["barn"])).content.decode()
    assert all(f'name="{setting.name}"' in page and setting.told.form_help in page for setting in ON_FORM)


@pytest.mark.parametrize("setting", [one for one in ON_FORM if one in RANGED], ids=lambda setting: setting.name)
def test_form_refuses_beyond_the_table_s_range(barn, setting):
    for value, is_good in ((setting.told.low, True), (setting.told.high, True), (setting.told.high * 2, False)):
        form = RetrainForm({setting.name: str(value)}, project=barn.project)
        assert form.is_valid() == is_good
        assert (setting.name in form.errors) != is_good


def test_document_of_the_api_shows_every_setting_with_its_range(db):
    components = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]
    shown = components["RunSettings"]["properties"]
    assert components["Retrain"]["properties"]["config"]["$ref"].endswith("/RunSettings")
    assert set(shown) == {"snapshot", *SETTABLE}
    for setting in RANGED:
        row = shown[setting.name]
        assert (row["type"], row["minimum"], row["maximum"]) == (
            KINDS[setting.kind],
            setting.told.low,
            setting.told.high,
        )


ROOM = {"steps": 10_000_000, "batch_pairs": 4096, "positive_share": 0.5, "one_to_many": True, "semantic": True}
ROOM |= {"validate_every": 1, "vit": "lora", "views": 1}


def test_trainer_takes_every_setting_at_both_ends_of_its_range():
    """Among others with which it has an effect: a long run, a large batch, both branches, clicks that are tuned."""
    needed = {"snapshot": "s", "images": "i", "base_model": "b", **ROOM}
    for setting in RANGED:
        for end in (setting.told.low, setting.told.high):
            clicks = {"vit": "frozen", "click_rate": 1.0} if setting.name.startswith("click_") else {}
            given = needed | clicks | ({"steps": "null"} if setting.name == "passes" else {}) | {setting.name: end}
            config = read_config("train", None, [f"{name}={value}" for name, value in given.items()])
            assert getattr(config, setting.name) == end


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"steps": 0}, "The config's key 'steps' must be between 1 and 10000000, it is 0."),
        ({"warmup": 0.95}, "The config's key 'warmup' must be between 0.0 and 0.9, it is 0.95."),
        ({"precision": "int8"}, "The config's key 'precision' is one of auto, float32, bfloat16, float16."),
        (
            {"recipe": "sam3_heads", "layer_decay": 0.8},
            "The key 'layer_decay' has no effect: the ViT is frozen. Set vit to full or lora.",
        ),
        (
            {"recipe": "pilot", "patience": 9},
            "The key 'patience' has no effect: 60 steps have 2 validations before their end (validate_every 20). "
            "Set validate_every to 6 or less or patience to 2.",
        ),
    ],
)
def test_value_out_of_range_is_refused_before_a_run_is_begun_in_the_trainer_s_words(barn, api, config, sentence):
    factories.make_pair(barn.project, truth="absent")
    answer = api(barn.admin).post("/api/v1/projects/barn/retrain", {"config": config}, format="json")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, sentence)
    assert not Job.objects.exists()


def test_form_offers_each_recipe_with_when_to_take_it_and_what_it_sets(barn, signed_in):
    factories.make_pair(barn.project, truth="absent")
    page = signed_in(barn.admin).get(reverse("training", args=["barn"])).content.decode()
    options = {
        name: json.loads(unescape(sets))
        for name, sets in re.findall(r'<option value="(\w+)"[^>]* data-sets="(.*?)"', page)
    }
    assert list(options) == list(RECIPES)
    assert ("steps" in options["demo"], options["demo"]["learning_rate"]) == (False, 3e-4)
    assert (options["sam3_heads"]["learning_rate"], options["sam3_heads"]["text_rate"]) == (8e-5, 0.0)
    assert all(f"{recipe.name}: {recipe.when}" in unescape(page) for recipe in RECIPES.values())


def test_recipe_of_the_form_goes_to_the_run_and_the_usual_one_is_no_setting(barn):
    chosen = RetrainForm({"recipe": "sam3_heads", "steps": "40"}, project=barn.project)
    usual = RetrainForm({"recipe": "demo"}, project=barn.project)
    assert chosen.is_valid()
    assert usual.is_valid()
    assert (chosen.config(), usual.config()) == ({"recipe": "sam3_heads", "steps": 40}, {})


def test_command_names_every_setting():
    told = Command().create_parser("manage.py", "retrain").format_help()
    assert all(name in told for name in SETTABLE)


def test_paths_and_the_machine_are_nobody_s_to_set():
    kept = {setting.name for setting in all_settings()} - set(SETTABLE)
    assert kept >= {"snapshot", "images", "base_model", "champion", "features", "device", "threads", "memory_mib"}
