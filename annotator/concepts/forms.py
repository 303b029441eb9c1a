"""What an admin types about a concept, checked for shape."""

from django import forms

from annotator.common.forms import PlainForm, names_in


class ConceptForm(PlainForm):
    name = forms.CharField(label="Noun phrase", max_length=80, help_text="What the model is asked for, in lower case.")
    synonyms = forms.CharField(
        required=False, max_length=2000, help_text="Category names that imports map onto it, separated by commas."
    )

    def clean_synonyms(self) -> list[str]:
        return names_in(self.cleaned_data["synonyms"])


class ConceptLookForm(PlainForm):
    colour = forms.RegexField(r"^#[0-9a-fA-F]{6}$")
    synonyms = forms.CharField(required=False, max_length=2000)

    def clean_synonyms(self) -> list[str]:
        return names_in(self.cleaned_data["synonyms"])


class RenameForm(PlainForm):
    name = forms.CharField(label="New name", max_length=80, help_text="What the model is asked for, in lower case.")
    keep_synonym = forms.BooleanField(
        required=False, initial=True, label="Keep the old name as a synonym", help_text="Imports go on mapping it here."
    )
    ask_again = forms.BooleanField(
        required=False,
        initial=True,
        label="Ask the model again under the new name",
        help_text="The word is the question, so another word gets another answer: scores that nobody has worked with "
        "are dropped, their waiting tasks withdrawn, and the next mining makes new ones. Off: the old scores stay.",
    )
