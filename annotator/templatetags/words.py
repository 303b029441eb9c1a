"""Numbers as people read them."""

from typing import Any

from django import template

from annotator.common.told import duration, points
from annotator.data.export_layouts import LAYOUTS
from annotator.models import Image, Job, Task
from toolbox.run_size import gigabytes

register = template.Library()
register.filter(points)
register.filter(duration)
# Exports are called as their layouts say; the rest only comes in.
FORMATS = {name: layout.words for name, layout in LAYOUTS.items()} | {"cvat": "CVAT", "negatives": "list of negatives"}


@register.filter
def grouped(value: Any) -> str:
    """12345 -> 12,345; nothing -> a dash."""
    return f"{value:,}" if isinstance(value, int | float) else "–"


@register.filter
def points_or_why(value: Any) -> str:
    """A metric in points, or the words that say why there is none."""
    return value if isinstance(value, str) else points(value)


@register.filter
def signed_points(fraction: Any) -> str:
    """A difference in points: 0.031 -> +3.1."""
    return f"{100 * fraction:+.1f}" if isinstance(fraction, int | float) else "–"


@register.filter
def percent(fraction: Any) -> str:
    return f"{100 * fraction:.0f} %" if isinstance(fraction, int | float) else "–"


@register.filter
def score(value: Any) -> str:
    """A probability with two places: 0.52."""
    return f"{value:.2f}" if isinstance(value, int | float) else "–"


@register.filter
def audited(value: Any) -> Any:
    """What an audit entry says: {"one_pass": [False, True]} -> one pass from no to yes; other things as they are."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{name.replace('_', ' ')} {_change(change)}" for name, change in value.items())


def _change(change: Any) -> str:
    if isinstance(change, list) and len(change) == 2:
        return f"from {audited(change[0])} to {audited(change[1])}"
    return str(audited(change))


@register.filter
def disk(size: Any) -> str:
    """6.9 GB, 48 MB."""
    return gigabytes(int(size))


@register.filter
def seconds(value: Any) -> str:
    """2.51 -> 2.5 s."""
    return f"{value:.1f} s" if isinstance(value, int | float) else "–"


@register.filter
def took(job: Job) -> str:
    """How long a job ran, or has been running."""
    if not job.started_at or not job.finished_at:
        return "–"
    return duration((job.finished_at - job.started_at).total_seconds())


@register.filter
def entry(mapping: Any, key: str) -> Any:
    """mapping[key], or None."""
    return mapping.get(key) if isinstance(mapping, dict) else None


@register.filter
def reason(key: str) -> str:
    """band -> Presence in the band; a reason of an older report that there is no more stays as it is."""
    return str(Task.Reason(key).label) if key in Task.Reason.values else key


@register.filter
def split_words(key: str) -> str:
    """val -> Validation."""
    return str(Image.Split(key).label) if key in Image.Split.values else key


@register.filter
def format_words(key: str) -> str:
    """yolo_detect -> YOLO, boxes: what an export is called."""
    return FORMATS.get(key, key)


@register.filter
def document_words(key: str) -> str:
    """yolo -> YOLO: what a file that comes in is called; its reader takes outlines and boxes alike."""
    return format_words(key).split(",")[0]
