"""What came of an import: counts for its page, problems in groups, and the whole list of them as a file."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from annotator.models import Job

from .formats.records import Problem
from .import_truth import TruthOutcome

REPORTED_PROBLEMS, REPORTED_GROUPS, FILES_A_GROUP = 200, 50, 5


def problems_path(job: Job) -> Path:
    """Every problem of an import, a line each: the file, a tab, why."""
    return settings.IMPORTS_DIR / f"{job.pk}.txt"


@dataclass
class Tally:
    """Counts as they grow; `file` takes every problem, the report only the first ones."""

    file: IO[str] | None = None
    added: int = 0
    already_there: int = 0
    refused: int = 0
    truth: TruthOutcome = field(default_factory=TruthOutcome)
    by_split: dict[str, int] = field(default_factory=dict)
    unknown_categories: dict[str, int] = field(default_factory=dict)
    unknown_negatives: dict[str, int] = field(default_factory=dict)
    disputed: int = 0
    concepts_made: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    groups: dict[str, list] = field(default_factory=dict)
    problem_count: int = 0

    def add_problems(self, problems: Iterable[Problem]) -> None:
        for one in problems:
            self.problem_count += 1
            if len(self.problems) < REPORTED_PROBLEMS:
                self.problems.append(one)
            if one.why in self.groups or len(self.groups) < REPORTED_GROUPS:
                self._group(one)
            if self.file:
                self.file.write(f"{one.where}\t{one.why}\n".replace("\r", " "))

    def _group(self, problem: Problem) -> None:
        group = self.groups.setdefault(problem.why, [0, []])
        group[0] += 1
        if len(group[1]) < FILES_A_GROUP:
            group[1].append(problem.where[:300])

    def first_reasons(self) -> str:
        return " ".join(f"{problem.where}: {problem.why}" for problem in self.problems[:3])

    def as_report(self) -> dict[str, Any]:
        truth = self.truth
        groups = sorted(self.groups.items(), key=lambda row: -row[1][0])
        return {
            "images_added": self.added,
            "images_already_there": self.already_there,
            "images_refused": self.refused,
            "instances": truth.instances,
            "pairs_settled": truth.settled,
            "negatives": truth.negatives,
            "negatives_withheld": truth.withheld,
            "negatives_contradicted": self.disputed + len(truth.contradicted),
            "pairs_not_exhaustive": truth.not_exhaustive,
            "pairs_left_open": truth.left_open,
            "pairs_sketched": truth.sketched,
            "boxes": truth.boxes,
            "pairs_kept": truth.kept,
            "pairs_as_before": truth.as_before,
            "pairs_completed": truth.completed,
            "pairs_differ": truth.differ,
            "by_split": self.by_split,
            "unknown_categories": self.unknown_categories,
            "unknown_negatives": self.unknown_negatives,
            "concepts_made": self.concepts_made,
            "problem_groups": [{"why": why, "count": count, "files": files} for why, (count, files) in groups],
            "problems": [{"file": one.where[:300], "why": one.why} for one in self.problems],
            "more_problems": self.problem_count - len(self.problems),
        }
