"""Which labels of the holdout the models of the newest decision contradict with confidence, from the rows they left.

Champion and challenger both ask, so that neither alone chooses what is looked at again; the model as shipped does not:
it was never taught this project's pictures.
"""

from collections.abc import Iterable
from typing import Any

from annotator.common.batches import batched
from annotator.models import Pair, Project
from annotator.queue.second_labels import pairs_askable

from .judged_files import rows_of

ROLES = ("champion", "challenger")
# Confidently opposite, as on the queue's page: sure that it is there where people saw none, or that there is none.
SURE_OF_SOME, SURE_OF_NONE = 0.8, 0.1
IMAGES_AT_ONCE = 500


def labels_doubted(*, project: Project) -> list[int]:
    """Ids of pairs that can be asked about again; none before a decision, or where its rows are not kept."""
    gate = project.gate_decisions.order_by("-pk").first()
    rows = rows_of(gate) if gate else None
    wanted = {(row["image"], row["text_input"]) for row in rows or () if any(_contradicts(row, role) for role in ROLES)}
    return sorted(_pairs(project, wanted))


def _contradicts(row: dict[str, Any], role: str) -> bool:
    presence, fires = row[role]["presence"], row[role]["predicted"] > 0
    if row["instances"]:
        return not fires and presence <= SURE_OF_NONE
    return bool(fires and presence >= SURE_OF_SOME)


def _pairs(project: Project, wanted: set[tuple[str, str]]) -> Iterable[int]:
    askable = pairs_askable(project=project)
    for images in batched(sorted({image for image, _ in wanted}), IMAGES_AT_ONCE):
        found = Pair.objects.filter(pk__in=askable.values("pk"), image__sha256__in=images)
        for pair, image, concept in found.values_list("pk", "image__sha256", "concept__name"):
            if (image, concept) in wanted:
                yield pair
