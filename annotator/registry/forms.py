"""How a retrain is to go, checked for shape."""

import json
from typing import Any

from django import forms

from annotator.common.forms import PlainForm
from annotator.models import Image, Project
from toolbox.presets import PRESETS
from toolbox.setting_kinds import Setting
from toolbox.training_effects import resolved, set_by
from toolbox.training_recipes import DEFAULT_RECIPE, RECIPES
from toolbox.training_settings import SETTABLE

from .evaluating import SPLITS
from .models_page import versions_of

Choices = list[tuple[Any, str]]
ON_FORM = {name: setting for name, setting in SETTABLE.items() if setting.told.form_help}


class RecipeSelect(forms.Select):
    """Each recipe carries what it sets, which the page shows in the fields that are empty."""

    def create_option(self, name: str, value: Any, *rest: Any, **more: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *rest, **more)
        if value:
            sets = resolved({}, set_by(value))
            option["attrs"]["data-when"] = RECIPES[value].when
            option["attrs"]["data-sets"] = json.dumps({name: sets[name] for name in ON_FORM if sets[name] is not None})
        return option


def _recipes() -> list[tuple[str, str]]:
    return [(recipe.name, f"{recipe.name}: {recipe.when}") for recipe in RECIPES.values()]


class OfSnapshotForm(PlainForm):
    """On which snapshot."""

    snapshot = forms.TypedChoiceField(
        coerce=int, empty_value=None, required=False, help_text="«By now» takes a fresh snapshot."
    )

    def __init__(self, *args: Any, project: Project, **more: Any) -> None:
        super().__init__(*args, **more)
        _offer(self, "snapshot", _snapshots(project))


class RetrainForm(OfSnapshotForm):
    """What one may choose about a run: of the trainer's settings those that have words for this form."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields |= {name: _field(setting) for name, setting in ON_FORM.items()}

    def fill(self, asked: dict[str, Any]) -> None:
        """Begin with settings that a link names, such as those that a plan or a run without memory advised."""
        known = {name: value for name, value in asked.items() if name in self.fields and name in SETTABLE}
        self.initial = {**self.initial, **known}

    def config(self) -> dict[str, Any]:
        """Only what was asked for; what a run may be told, toolbox/training_settings.py says."""
        asked = {name: value for name, value in self.cleaned_data.items() if value is not None}
        if asked.get("recipe") == DEFAULT_RECIPE:  # what a run without one follows: no news by itself
            del asked["recipe"]
        return asked


def _field(setting: Setting) -> forms.Field:
    """A setting as a field that may stay empty: then it is as usual."""
    told = setting.told
    shown: dict[str, Any] = {"required": False, "help_text": told.form_help}
    if setting.name == "recipe":
        return forms.TypedChoiceField(choices=_recipes(), empty_value=None, widget=RecipeSelect, **shown)
    if told.choices:
        named = [("", "As usual"), *((choice, choice) for choice in told.choices)]
        return forms.TypedChoiceField(choices=named, empty_value=None, **shown)
    if setting.kind is bool:
        return forms.NullBooleanField(**shown)
    if setting.kind is int:
        return forms.IntegerField(min_value=told.low, max_value=told.high, **shown)
    any_step = forms.NumberInput(attrs={"step": "any"})
    return forms.FloatField(min_value=told.low, max_value=told.high, widget=any_step, **shown)


def _snapshots(project: Project) -> Choices:
    rows = project.snapshots.only("project", "number", "created_at")[:50]
    named = [(row.number, f"Snapshot {row.number}, {row.created_at:%d %b %H:%M} UTC") for row in rows]
    return [("", "All approved by now"), *named]


def _offer(form: forms.Form, name: str, choices: Choices) -> None:
    field: Any = form.fields[name]
    field.choices = choices


class OfVersionForm(OfSnapshotForm):
    """Which version, on which snapshot."""

    field_order = ("version", "snapshot")
    version = forms.ChoiceField()

    def __init__(self, *args: Any, project: Project, **more: Any) -> None:
        super().__init__(*args, project=project, **more)
        _offer(self, "version", self.offered(project))

    def offered(self, project: Project) -> Choices:
        return [(name, name) for name in versions_of(project=project).values_list("name", flat=True)[:200]]


class EvaluationForm(OfVersionForm):
    split = forms.ChoiceField(
        choices=[(split, Image.Split(split).label) for split in SPLITS],
        initial=Image.Split.TEST,
        help_text="On the holdout it counts as a look: the gate has to be more certain from then on.",
    )
    preset = forms.ChoiceField(
        choices=[("", "as in the settings"), *((name, one.words) for name, one in PRESETS.items())],
        required=False,
        label="Meant for",
    )


class GateForm(OfVersionForm):
    """Any version but the one that serves."""

    def offered(self, project: Project) -> Choices:
        return [choice for choice in super().offered(project) if choice[0] != project.serving_version.name]
