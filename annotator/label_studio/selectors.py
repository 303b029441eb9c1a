"""What the settings page shows of a project's bond to Label Studio."""

from dataclasses import dataclass

from annotator.data.formats.records import Category
from annotator.data.import_truth import concept_map
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
    categories = [Category(0, label) for label in link.labels]
    found = concept_map(project=project, categories=categories, create=False, user=None)
    mapped = [(label, found.by_category[label]) for label in link.labels if label in found.by_category]
    unmapped = [label for label in link.labels if label not in found.by_category]
    last = project.jobs.filter(kind=Job.Kind.LABEL_STUDIO).first()
    return LinkCard(link, mapped, unmapped, last, link.bells.count())
