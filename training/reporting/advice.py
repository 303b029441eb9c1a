"""What the figures advise: a pure function of them, each piece with the settings that it is about.

The bounds between high and low are ours: at 0.6 a factor of CGF1 no longer is what holds the other one back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from training.reporting.figures import told_points, told_share, told_threshold, undefined

HIGH = 0.6
WIDE_POINTS = 10.0  # an interval of CGF1 that is wider than this tells no two models apart

NEGATIVES, MASKS, LABELS, RECALL, OPERATING, MORE, SELECTED, UNEDITED = (
    "negatives",
    "masks",
    "labels",
    "recall",
    "operating",
    "more_pairs",
    "selection",
    "unedited",
)


@dataclass(frozen=True)
class Advice:
    """`settings`: {key of training_settings: which way}; `level`: stop, act or know."""

    kind: str
    level: str
    words: str
    settings: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def advise(
    measures: Mapping[str, Any], *, recall_floor: float | None = None, decision: Mapping[str, Any] | None = None
) -> list[Advice]:
    """`decision`: the gate's manifest, where the model is its challenger."""
    found = [
        *_recall(measures, recall_floor),
        *_parts(measures),
        *_width(measures),
        *_operating(measures),
        *_unedited(measures),
        *_selection(decision or {}),
    ]
    order = {"stop": 0, "act": 1, "know": 2}
    return sorted(found, key=lambda one: order[one.level])


def _recall(measures: Mapping[str, Any], floor: float | None) -> list[Advice]:
    recall = (measures["at"].get("0.5") or {}).get("recall") or {}
    value, low, high, n = (recall.get(key) for key in ("value", "low", "high", "n"))
    if floor is None:
        words = "The policy sets no floor for recall (recall_floor): set one before the model works without a person."
        return [Advice(RECALL, "know", words)]
    asked = f"the policy's floor is {100 * floor:g} %"
    if value is None or not n:
        return [Advice(RECALL, "stop", f"Not for unattended use: no positive pair judged its recall; {asked}.")]
    told = told_share(value, low, high, int(n))
    if value < floor:
        return [Advice(RECALL, "stop", f"Not for unattended use: it finds {told} positives; {asked}.")]
    if low is not None and low < floor:
        words = f"Not for unattended use yet: it finds {told} positives; {asked}, and with so few it may lie below."
        return [Advice(RECALL, "stop", words)]
    return [Advice(RECALL, "know", f"It finds {told} positives, above the floor for certain; {asked}.")]


def _parts(measures: Mapping[str, Any]) -> list[Advice]:
    """CGF1 is a product: which of its factors holds it back."""
    if any(undefined(name, measures) for name in ("pmf1", "il_mcc")):
        return []
    pmf1, il_mcc = (measures["figures"][name]["value"] for name in ("pmf1", "il_mcc"))
    told = f"pmF1 is {told_points(pmf1)}, IL_MCC {told_points(il_mcc)}"
    if pmf1 >= HIGH > il_mcc:
        words = f"Its masks are good, its verdicts are not ({told}): have it learn more from negatives."
        settings = {"loss_presence": "higher", "positive_share": "lower", "blend_pairs": "higher"}
        return [Advice(NEGATIVES, "act", words, settings)]
    if il_mcc >= HIGH > pmf1:
        words = f"Its verdicts are good, its masks are not ({told}): let masks weigh more in training."
        settings = {"loss_mask_dice": "higher", "loss_mask_focal": "higher", "mask_pairs": "higher"}
        return [Advice(MASKS, "act", words, settings)]
    if pmf1 < HIGH and il_mcc < HIGH:
        words = (
            f"Neither its masks nor its verdicts are good ({told}): label more first, look through the gallery for "
            "labels that contradict each other, then train for longer."
        )
        return [Advice(LABELS, "act", words, {"steps": "higher"})]
    return []


def _width(measures: Mapping[str, Any]) -> list[Advice]:
    if undefined("cgf1", measures):
        return [Advice(MORE, "act", f"CGF1 is {undefined('cgf1', measures)}. Have some labelled, then judge again.")]
    figure = measures["figures"]["cgf1"]
    low, high = figure.get("low"), figure.get("high")
    if low is None or high is None or 100 * (high - low) <= WIDE_POINTS:
        return []
    words = (
        f"CGF1 spans {100 * low:.0f} to {100 * high:.0f}: on {measures['n'].get('pairs', 0):,} pairs two models that "
        "differ by less than that look alike. More pairs of other scenes narrow it."
    )
    return [Advice(MORE, "act", words)]


def _operating(measures: Mapping[str, Any]) -> list[Advice]:
    if not measures["n"].get("positives"):
        words = "No positive pair was judged: no threshold can be told for a wanted recall."
        return [Advice(OPERATING, "know", words)]
    return [Advice(OPERATING, "know", operating_words(row)) for row in measures["operating"]]


def operating_words(row: Mapping[str, Any]) -> str:
    wanted = f"For a recall of {100 * row['recall']:g} %"
    if row.get("threshold") is None:
        return f"{wanted} no threshold is low enough: from the lowest score that was kept on it finds too few of them."
    low, high, alarms = row.get("low"), row.get("high"), row.get("false_alarms") or {}
    between = "" if low is None or high is None else f" (95 %: {told_threshold(low)} to {told_threshold(high)})"
    told = told_share(alarms.get("value"), alarms.get("low"), alarms.get("high"), int(alarms.get("n") or 0))
    firing = (
        "no negative was there to say how often it would fire"
        if told == "not judged"
        else f"it then fires on {told} negatives"
    )
    return f"{wanted} take instances from a score of {told_threshold(row['threshold'])} on{between}; {firing}."


def _unedited(measures: Mapping[str, Any]) -> list[Advice]:
    part = (measures.get("drawn") or {}).get("model_unedited")
    count = ((part or {}).get("n") or {}).get("positives")
    if not count:
        return []
    share = count / max(1, measures["n"].get("positives") or count)
    words = (
        f"{count:,} pairs of the truth ({100 * share:.0f} % of the positives) hold masks that a model "
        "drew and nobody changed: they favour models like that one. Their figures stand apart in the tables."
    )
    return [Advice(UNEDITED, "know", words)]


def _selection(decision: Mapping[str, Any]) -> list[Advice]:
    """Whoever is chosen for a gain has had luck in it as well."""
    gain = decision.get("delta_cgf1")
    if decision.get("decision") != "promote" or gain is None:
        return []
    words = (
        f"It passed with a gain of {100 * gain:+.1f} points. Selection inflates it: a model is promoted for what it "
        "gains here, luck included. On pairs that nobody has looked at expect less."
    )
    return [Advice(SELECTED, "know", words)]
