"""The bond to a Label Studio, checked for shape."""

from typing import Any

from django import forms
from django.contrib.auth import get_user_model

from annotator.common.forms import PlainForm
from annotator.models import Project


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
