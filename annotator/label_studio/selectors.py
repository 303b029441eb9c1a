"""What the settings page shows of a project's bond to Label Studio."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from annotator.concepts.selectors import concepts_by_name, plain_name
from annotator.models import Concept, Job, LabelStudioLink, LabelStudioPush, Project


@dataclass(frozen=True)
class LinkCard:
    """`mapped`: Label Studio's labels and the concepts they are here; `unmapped`: labels without one."""

    link: LabelStudioLink
    mapped: list[tuple[str, Concept]]
    unmapped: list[str]
    last_job: Job | None
    waiting: int


def link_card(*, project: Project) -> LinkCard | None:
    """None for a project that is not linked. Reads the database alone: Label Studio may be away."""
    link = LabelStudioLink.objects.select_related("author", "linked_by").filter(project=project).first()
    if link is None:
        return None
    known = concepts_by_name(project=project)
    mapped = [(label, known[plain_name(label)]) for label in link.labels if plain_name(label) in known]
    unmapped = [label for label in link.labels if plain_name(label) not in known]
    last = project.jobs.filter(kind=Job.Kind.LABEL_STUDIO).first()
    return LinkCard(link, mapped, unmapped, last, link.bells.count())


@dataclass(frozen=True)
class PushCard:
    """`pushes`: projects in Label Studio that something was sent to, each with `.count` of its tasks."""

    pushes: Sequence[LabelStudioPush]
    last_job: Job | None


def push_card(*, project: Project) -> PushCard:
    pushes = project.label_studio_pushes.annotate(count=Count("tasks__number", distinct=True)).order_by("-pk")
    return PushCard(list(pushes[:20]), project.jobs.filter(kind=Job.Kind.STUDIO_PUSH).first())
