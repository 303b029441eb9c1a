"""How a retrain is to go, checked for shape."""

from typing import Any

from django import forms

from annotator.common.forms import PlainForm
from annotator.models import Project


class RetrainForm(PlainForm):
    """What one may choose about a run; everything else is as in training/conf/train.yaml."""

    snapshot = forms.TypedChoiceField(
        coerce=int, empty_value=None, required=False, help_text="«By now» takes a fresh snapshot."
    )
    steps = forms.IntegerField(
        min_value=1, max_value=1_000_000, required=False, help_text="Empty: as many as is usual for this model."
    )
    learning_rate = forms.FloatField(min_value=1e-8, max_value=1.0, required=False, help_text="Empty: as usual.")
    seed = forms.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="Empty: 0. The same seed and data give the same model.",
    )

    def __init__(self, *args: Any, project: Project, **more: Any) -> None:
        super().__init__(*args, **more)
        rows = project.snapshots.only("number", "created_at")[:50]
        fresh = ("", "All approved by now")
        named = [(row.number, f"Snapshot {row.number}, {row.created_at:%d %b %H:%M} UTC") for row in rows]
        snapshots: Any = self.fields["snapshot"]
        snapshots.choices = [fresh, *named]
        self.fields["learning_rate"].widget.attrs["step"] = "any"

    def config(self) -> dict[str, Any]:
        """Only what was asked for; see services.training_runs.TUNABLE."""
        return {name: value for name, value in self.cleaned_data.items() if value is not None}
