"""The bond to a Label Studio, checked for shape."""

from typing import Any

from django import forms
from django.contrib.auth import get_user_model

from annotator.common.forms import PlainForm
from annotator.models import Image, Project


class LabelStudioForm(PlainForm):
    number = forms.IntegerField(
        label="Number of the project in Label Studio",
        min_value=1,
        max_value=2**63 - 1,
        help_text="As in its address there: /projects/3/ is 3. Its tasks' images come here as well.",
    )
    author = forms.ModelChoiceField(
        get_user_model().objects.none(),
        empty_label="choose …",
        label="Whose answers they are when the author is no member here",
        help_text="Authors are told by their e-mail address in Label Studio, which must be a member's address or name "
        "here. For all others take somebody who does not review: nobody decides on answers of their own.",
    )
    exhaustive = forms.BooleanField(
        required=False,
        label="What is not annotated is not in the image",
        help_text="You vouch that a submitted annotation marks every object of every label. On: what it leaves out "
        "becomes «not in this image», for review. Off: it stays «not looked at», which is never a negative.",
    )

    def __init__(self, *args: Any, project: Project, **more: Any) -> None:
        super().__init__(*args, **more)
        members: Any = self.fields["author"]
        members.queryset = get_user_model().objects.filter(memberships__project=project, is_active=True)


class PushForm(PlainForm):
    title = forms.CharField(
        required=False,
        max_length=50,
        label="A new project, called",
        help_text="It gets a labelling interface to match: a brush for each concept, and what is not in an image.",
    )
    number = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        label="Or the number of one that is there",
        help_text="One that was sent to before gets what is new or changed; nothing is doubled.",
    )
    snapshot = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, label="What to send")
    splits = forms.MultipleChoiceField(
        required=False, choices=Image.Split.choices, widget=forms.CheckboxSelectMultiple, label="Splits (none: all)"
    )
    as_predictions = forms.BooleanField(
        required=False,
        label="As predictions",
        help_text="People there see them as proposals and submit their own. Off: as finished annotations.",
    )

    def __init__(self, *args: Any, project: Project, **more: Any) -> None:
        super().__init__(*args, auto_id="push_%s", **more)  # the page has another form with a number
        numbers = project.snapshots.values_list("number", flat=True)[:200]
        choice: Any = self.fields["snapshot"]
        choice.choices = [("", "what is settled now"), *((number, f"snapshot {number}") for number in numbers)]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and (cleaned.get("number") is None) == (not cleaned.get("title")):
            self.add_error("title", "Give either a name for a new project, or the number of one that is there.")
        return cleaned
