"""What people type into pages, checked for shape; whether a deed is allowed, the services say."""

from typing import Any

from django import forms

from annotator.common.forms import PlainForm, names_in
from annotator.common.project_settings import SETTINGS
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
    """Thresholds and policies; the model holds their ranges, the sentences are here."""

    class Meta:
        model = Project
        fields = SETTINGS
        labels = {
            "name": "Project name",
            "presence_low": "Band from",
            "presence_high": "Band to",
            "stability_below": "A mask is borderline below",
            "audit_share": "Share drawn at random",
            "mine_batch": "Tasks a round",
            "weight_band": "Weight of the band",
            "weight_disagreement": "Weight of disagreement",
            "weight_borderline": "Weight of borderline masks",
            "weight_fill": "Weight of the nearest to 0.5",
            "double_share": "Share labelled twice",
            "honeypot_share": "Share with a known answer",
            "honeypot_feedback": "Tell at once whether a known answer was met",
            "one_pass": "Show all concepts of an image together",
            "review_policy": "What reviewers see",
            "review_share": "Share for review",
            "bulk_score": "Near-certain: score from",
            "bulk_iou": "Near-certain: overlap from",
            "bulk_look_share": "Share looked at one by one",
            "self_review_allowed": "People may review their own work",
            "gate_min_gain_points": "Least gain in CGF1 points",
            "gate_bootstrap_rounds": "Bootstrap rounds",
            "gate_confidence": "Confidence of the interval",
            "gate_max_fpr_rise": "Allowed rise of false positives",
        }
        help_texts = {
            "presence_low": "Presence scores from here …",
            "presence_high": "… to here count as hesitation; the nearest to 0.5 comes first.",
            "stability_below": "Stability is the overlap of a mask at two thresholds; an unstable one is queued.",
            "audit_share": "Drawn at random, because a confident mistake is in no band. 0.1 is one in ten.",
            "mine_batch": "One press of Mine queues this many at most.",
            "weight_band": "The lanes share a batch in proportion to their weights, after the random share is taken.",
            "weight_disagreement": "Pairs on which the newest model that does not serve sees something else.",
            "weight_borderline": "Pairs with a mask that depends on where the line is drawn.",
            "weight_fill": "Pairs outside the band, nearest first. 0, here or above: only when the others run out.",
            "double_share": "Two people label it without seeing each other; needs two who annotate. 0.1 is one in ten.",
            "honeypot_share": "Settled pairs asked again, unmarked, reviewed like all; the truth stays. Tell people.",
            "honeypot_feedback": "The answer's reply then says whether verdict and masks meet the truth.",
            "one_pass": "Whoever takes an image is asked for every concept that nobody has looked at there, at one go. "
            "A known answer still comes alone.",
            "review_policy": "Answers that need no review settle their pair at once.",
            "review_share": "Used by «a random share» only. 0.2 is one in five.",
            "bulk_score": "The serving model is at least this sure of what the answer says, there or not there.",
            "bulk_iou": "Each mask of the answer overlaps one of that model's by at least this much (IoU).",
            "bulk_look_share": "Of the near-certain answers, drawn by chance. 1 turns approving many at once off.",
            "self_review_allowed": "Useful when you work alone; otherwise leave it off.",
            "gate_min_gain_points": "A challenger must beat the champion on the holdout by more than this, out of 100.",
            "gate_bootstrap_rounds": "How often the holdout is drawn anew to see how much is luck. 1000 is usual.",
            "gate_confidence": "The gain's interval at this confidence must lie above zero. 0.95 is customary.",
            "gate_max_fpr_rise": "How much the false-positive rate on hard negatives may rise; 0 means not at all.",
        }

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, label_suffix="", **more)
        for field in self.fields.values():
            if isinstance(field.widget, forms.NumberInput) and isinstance(field, forms.FloatField):
                field.widget.attrs["step"] = "any"

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        low, high = data.get("presence_low"), data.get("presence_high")
        if low is not None and high is not None and low >= high:
            self.add_error("presence_high", "The band must end above where it begins.")
        return data
