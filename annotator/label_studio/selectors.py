"""What the settings page shows of a project's bond to Label Studio."""

from dataclasses import dataclass

from annotator.concepts.selectors import concepts_by_name, plain_name
from annotator.models import Concept, Job, LabelStudioLink, Project


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
