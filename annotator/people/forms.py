"""What people and their admins type about people, checked for shape."""

from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm

from annotator.common.forms import PlainForm
from annotator.models import Membership


class MemberForm(PlainForm):
    username = forms.CharField(
        label="Name", max_length=150, help_text="An account that exists, or a new one: its password is shown once."
    )
    role = forms.ChoiceField(choices=Membership.Role.choices)


class InvitationForm(PlainForm):
    prefix = "invitation"
    note = forms.CharField(label="For whom", max_length=80, help_text="So that you can tell open invitations apart.")
    role = forms.ChoiceField(choices=Membership.Role.choices)
    days = forms.IntegerField(label="Days it can be used", min_value=1, max_value=90, initial=7)


class JoinForm(UserCreationForm):
    """Name and password of a new account; Django's own rules for both."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, label_suffix="", **more)
        self.fields["username"].label = "Name"


class TokenForm(PlainForm):
    name = forms.CharField(label="What it is for", max_length=80, help_text="For example: nightly export.")
