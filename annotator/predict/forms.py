"""What to ask a model about, checked for shape."""

from collections.abc import Sequence
from typing import Any

from django import forms

from annotator.common.forms import PlainForm, names_in
from annotator.data.forms import PlaceField


class PredictForm(PlainForm):
    place = PlaceField(label="Folder or bucket")
    upload = forms.FileField(
        required=False,
        label="Or a zip of pictures",
        widget=forms.FileInput(attrs={"accept": ".zip"}),
        help_text="It is deleted once the predictions are made.",
    )
    concepts = forms.CharField(
        required=False,
        max_length=6000,
        label="What to look for",
        help_text="Noun phrases, separated by commas. Empty: all of the project's concepts.",
    )
    version = forms.ChoiceField(required=False)
    threshold = forms.FloatField(
        label="Least score",
        min_value=0,
        max_value=1,
        initial=0.5,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Objects with a lower score are left out. The presence score of every picture is kept anyway.",
    )

    def __init__(self, *args: Any, serving: str, versions: Sequence[str], opened: Sequence[str], **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["place"].prepare(opened)
        others = [(name, name) for name in versions if name != serving]
        self.fields["version"].choices = [("", f"{serving} (serves now)"), *others]

    def clean_concepts(self) -> list[str]:
        return names_in(self.cleaned_data["concepts"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "upload" in data and bool(data.get("place")) == bool(data.get("upload")):
            self.add_error("place", "Name a folder or bucket, or choose a zip: one of the two.")
        return data
