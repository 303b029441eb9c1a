"""What people type into pages, checked for shape; whether an action is allowed, the services say."""

from typing import Any

from django import forms

from annotator.common.forms import PlainForm, names_in
from annotator.common.project_settings import COLUMNS, SETTINGS, Group
from annotator.models import Project


class ProjectForm(PlainForm):
    name = forms.CharField(max_length=80, help_text="Shown in the top bar and in the address.")
    concepts = forms.CharField(
        label="What to look for",
        max_length=2000,
        help_text="Noun phrases, separated by commas: chicken, duck, feeder. More can be added later.",
    )

    def clean_concepts(self) -> list[str]:
        names = names_in(self.cleaned_data["concepts"])
        if not names:
            raise forms.ValidationError("Name at least one thing to look for.")
        if any(len(name) > 80 for name in names):
            raise forms.ValidationError("A noun phrase has 80 characters at most; put commas between them.")
        return names


class SettingsForm(forms.ModelForm):
    """Thresholds and policies; their ranges and words are the model's, their place on the page project_settings'."""

    class Meta:
        model = Project
        fields = SETTINGS

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, label_suffix="", **more)
        for field in self.fields.values():
            if isinstance(field.widget, forms.NumberInput) and isinstance(field, forms.FloatField):
                field.widget.attrs["step"] = "any"

    def columns(self) -> list[list[dict[str, Any]]]:
        """The page's two columns of groups, each with its fields in rows."""
        return [[self._group(group) for group in column] for column in COLUMNS]

    def _group(self, group: Group) -> dict[str, Any]:
        return {
            "title": group.title,
            "note": group.note,
            "rows": [[self[name] for name in row] for row in group.rows],
            "below": self._group(group.below) if group.below else None,
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        low, high = data.get("presence_low"), data.get("presence_high")
        if low is not None and high is not None and low >= high:
            self.add_error("presence_high", "The band must end above where it begins.")
        return data
