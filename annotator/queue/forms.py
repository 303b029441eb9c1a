"""What an admin types about the queue, checked for shape."""

from django import forms

from annotator.common.forms import PlainForm


class BandForm(PlainForm):
    """The band alone, as the queue's page sets it; the model holds the rule that it must not be empty."""

    presence_low = forms.FloatField(min_value=0, max_value=1)
    presence_high = forms.FloatField(min_value=0, max_value=1)


class HoldoutForm(PlainForm):
    count = forms.IntegerField(label="Holdout pairs", min_value=1, max_value=1000)
