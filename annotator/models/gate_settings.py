"""What a project's gate asks of a challenger: the columns behind toolbox.gate_policy.Policy, with their words."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from toolbox.gate_policy import MARGIN, NONE_MORE, RANGES, Policy
from toolbox.presets import PILOT, PRESETS


def _within(name: str) -> list:
    low, high = RANGES[name]
    return [MinValueValidator(low), MaxValueValidator(high)]


def _number(name: str, label: str, words: str, *, may_be_empty: bool = False) -> models.FloatField:
    """`may_be_empty`: no limit, though there usually is one; what has none usually may be empty all the same."""
    usual = getattr(Policy(), name)
    optional = may_be_empty or usual is None
    return models.FloatField(
        label, default=usual, null=optional, blank=optional, validators=_within(name), help_text=words
    )


def _count(name: str, label: str, words: str) -> models.PositiveIntegerField:
    return models.PositiveIntegerField(
        label, default=getattr(Policy(), name), validators=_within(name), help_text=words
    )


class GateSettings(models.Model):
    """Columns `gate_<key of the policy>`, and what the models are meant for."""

    gate_min_gain_points = _number(
        "min_gain_points",
        "least gain in CGF1 points",
        "A challenger must beat the champion on the holdout by more than this, out of 100.",
    )
    gate_level = _number(
        "level",
        "chance of a false promotion",
        "Of promoting a model that is no better, over all decisions on one holdout together: each later one has to be "
        "more certain, until fresh pairs come in. 0.05 is customary.",
    )
    gate_alarms = models.CharField(
        "false alarms",
        max_length=12,
        default=MARGIN,
        choices=[(MARGIN, "no more than a margin"), (NONE_MORE, "not one more")],
        help_text="«Not one more» refuses two in five models that raise none in truth: chance alone adds one.",
    )
    gate_alarm_margin = _number(
        "alarm_margin",
        "margin of false alarms",
        "A rise of the false-positive rate over all negatives that is as good as none; the true one must surely be "
        "smaller. With 0.02 and hardly any alarms about 130 negatives say so; with 0.1 about 25.",
    )
    gate_alarm_cap = _number(
        "alarm_cap",
        "most false alarms",
        "Empty: no limit. The challenger's own false-positive rate must be certain to be smaller: 0.05 needs at least "
        "72 negatives.",
    )
    gate_recall_margin = _number(
        "recall_margin",
        "margin of misses",
        "A rise of the positives on which nothing is found that is as good as none; it must be certain to be smaller.",
    )
    gate_recall_floor = _number(
        "recall_floor",
        "least recall",
        "Empty: no limit. The share of positives on which the challenger finds something must be certain to be larger.",
    )
    gate_above_baseline = models.BooleanField(
        "better than the model as shipped in IL_MCC",
        default=Policy().above_baseline,
        help_text="For certain: it takes many pairs where the shipped model tells presence from absence well already.",
    )
    gate_speed_ratio = _number(
        "speed_ratio",
        "most time",
        "Empty: no limit. The challenger's time over the champion's, for encoding a picture and for a click; it is too "
        "slow where it takes longer for certain. Measured only where the two are different networks.",
        may_be_empty=True,
    )
    gate_concept_points = _number(
        "concept_points",
        "what a concept may lose",
        "CGF1 points. A challenger that makes any concept with 20 positives and 20 negatives worse than this for "
        "certain is rejected.",
    )
    gate_min_scenes = _count(
        "min_scenes",
        "least scenes",
        "The holdout's positives and its negatives must each show so many scenes; pictures of one scene count once.",
    )
    gate_confidence = _number(
        "confidence", "confidence of the bounds", "Of the intervals that are told, the margins, caps and floors."
    )
    gate_bootstrap = _count(
        "bootstrap", "bootstrap rounds", "How often the holdout is drawn anew to see how much is luck. 1000 is usual."
    )

    preset = models.CharField(
        "what the models are for",
        max_length=12,
        default=PILOT,
        choices=[(name, preset.words) for name, preset in PRESETS.items()],
        help_text="Each evaluation ends in a sentence: deploy, label so many more, or check the training.",
    )

    class Meta:
        abstract = True

    @property
    def gate_policy(self) -> dict[str, object]:
        """As the trainer's config has it."""
        return {name: getattr(self, f"gate_{name}") for name in POLICY_KEYS}


POLICY_KEYS = tuple(Policy.__dataclass_fields__)
