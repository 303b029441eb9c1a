"""What pages about imports ask of the boxes that came with them."""

from collections.abc import Mapping
from typing import Any

from django import template

from annotator.data.box_drawing import boxes_askable
from annotator.models import Job

register = template.Library()


@register.simple_tag
def boxes_wait(imported: Job) -> bool:
    """Whether the model could draw in some box of this import, and does not already."""
    return boxes_askable(imported=imported)


@register.simple_tag
def import_of(report: Mapping[str, Any]) -> Job | None:
    """The import whose boxes a job drew in, if its row is still there."""
    return Job.objects.select_related("project").filter(pk=report["imported"], kind=Job.Kind.IMPORT).first()
