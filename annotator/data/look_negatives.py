"""What the project knows already of the negatives that a look found: those are no news, or contradicted."""

from collections import Counter
from collections.abc import Iterator

from django.db.models import Exists, OuterRef

from annotator.common.batches import batched
from annotator.models import Pair, Project, Task

from .formats.records import Problem
from .import_truth import found_before

PICTURES_A_QUERY = 500


class NegativesTold:
    """Negatives by picture and concept. `problems`: those that were found before to show the thing."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files: dict[tuple[str, str], str] = {}
        self._again = 0
        self.problems: list[Problem] = []

    def add(self, file: str, sha256: str, concept: str) -> None:
        """Two files of the same bytes are one picture. Without `sha256` nothing can be compared."""
        if sha256 and self._files.setdefault((sha256, concept), file) != file:
            self._again += 1

    def known(self) -> Counter[str]:
        """What to add to the counts: what would not be written is taken off `absent`."""
        counts = Counter(absent=-self._again, contradicted=0, as_before=0, kept=0)
        for pair in self._pairs():
            file = self._files.get((pair.image.sha256, pair.concept.name))
            if file is not None and (what := self._what(pair, file)):
                counts.update({what: 1, "absent": -1})
        return counts

    def _what(self, pair: Pair, file: str) -> str:
        if why := found_before(pair):
            self.problems.append(Problem(file, why))
            return "contradicted"
        if pair.truth == Pair.Truth.ABSENT:
            return "as_before"
        return "kept" if pair.in_hand else ""  # type: ignore[attr-defined]

    def _pairs(self) -> Iterator[Pair]:
        open_task = Task.objects.filter(pair=OuterRef("pk"), state__in=Task.OPEN_STATES)
        rows = Pair.objects.filter(project=self._project).select_related("image", "concept")
        for hashes in batched(sorted({sha256 for sha256, _ in self._files}), PICTURES_A_QUERY):
            yield from rows.filter(image__sha256__in=hashes).annotate(in_hand=Exists(open_task)).iterator()
