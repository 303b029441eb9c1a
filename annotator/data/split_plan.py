"""The scenes and splits of one import's new images, batch by batch; what lies across splits is told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count

from annotator.common.errors import ImportRefusedError
from annotator.models import Image, Pair, Project

from .scenes import Newcomer, SceneIndex, SceneMatch, scene_rename, splits_by_scene
from .splits import (
    DEFAULT,
    PROTECTED,
    Shares,
    Tally,
    Weighed,
    holdout_draw,
    most_protected,
    split_for,
    splits_assign,
    tally_new,
)


@dataclass(frozen=True)
class Crossing:
    """A new image whose scene lies in several splits, and why that is left so."""

    name: str
    sha256: str
    split: str
    splits: tuple[str, ...]

    @property
    def words(self) -> str:
        others = ", ".join(self.splits)
        return f"It went into {self.split}, but its scene lies in {others}. The page «Splits» offers to mend that."


@dataclass(frozen=True)
class Placed:
    scene: str
    split: str


class SplitPlan:
    """Where the new images of one import go. Older images of a scene are followed; a split asked for by name is kept.

    `holdout_share`: of the scenes that are new and not for val, test or holdout, so many are drawn for the holdout.
    """

    def __init__(
        self,
        *,
        project: Project,
        shares: Shares = DEFAULT,
        holdout_share: float = 0.0,
        index: SceneIndex | None = None,
    ) -> None:
        if not 0 <= holdout_share < 1:
            raise ImportRefusedError("The holdout's share must be at least 0 and below 1.")
        self._project, self._shares, self._holdout_share = project, shares, holdout_share
        self._index = index or SceneIndex(project=project)
        self._tally: Tally | None = None
        self._crossings: list[Crossing] = []

    def place(self, newcomers: Sequence[Newcomer]) -> dict[str, Placed]:
        """{hash: scene and split}; call it in the transaction that writes the rows, which the next call reads."""
        matches = self._index.matches(newcomers)
        for match in matches:
            scene_rename(project=self._project, old=match.older[1:], new=match.scene)
        known = splits_by_scene(project=self._project, scenes=[match.scene for match in matches if match.older])
        drawn = {match.scene for match in matches if self._is_drawn(match)}
        fresh = [match for match in matches if not (match.older or _asked(match) or match.scene in drawn)]
        by_share = self._shared_out(fresh)
        placed: dict[str, Placed] = {}
        for match in matches:
            older, asked = known.get(match.scene, set()), _asked(match)
            if match.scene in drawn:
                splits = dict.fromkeys((one.sha256 for one in match.members), str(Image.Split.HOLDOUT))
            else:
                rest = by_share.get(match.scene) or most_protected(older or asked)
                splits = {one.sha256: one.split or rest for one in match.members}
            self._note_crossing(match, splits, older)
            placed |= {sha256: Placed(match.scene, split) for sha256, split in splits.items()}
        return placed

    def crossings(self) -> list[Crossing]:
        """Those since the last call."""
        told, self._crossings = self._crossings, []
        return told

    def _is_drawn(self, match: SceneMatch) -> bool:
        """Only new scenes, and of those only what is not asked for by another name than train."""
        may_be = not match.older and _asked(match) <= {Image.Split.TRAIN}
        return may_be and bool(holdout_draw(sha256s=[match.scene], share=self._holdout_share))

    def _shared_out(self, fresh: Sequence[SceneMatch]) -> dict[str, str]:
        """By strata where labels are known, else by hash."""
        labelled = [match for match in fresh if any(one.strata for one in match.members)]
        splits = {match.scene: split_for(match.scene, self._shares) for match in fresh}
        if labelled:
            weighed = [_weighed(match) for match in labelled]
            splits |= splits_assign(scenes=weighed, shares=self._shares, tally=self._counted())
        return splits

    def _note_crossing(self, match: SceneMatch, splits: dict[str, str], older: set[str]) -> None:
        together = older | set(splits.values())
        if len(together) > 1:
            ordered = tuple(str(split) for split in PROTECTED if split in together)
            self._crossings += [Crossing(one.name, one.sha256, splits[one.sha256], ordered) for one in match.members]

    def _counted(self) -> Tally:
        if self._tally is None:
            self._tally = project_tally(project=self._project)
        return self._tally


def strata_of(*, source: str, verdicts: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """What an image counts for: its source, and (concept, presence) of each verdict that is known."""
    return (f"source {source}", *(f"{concept} {truth}" for concept, truth in verdicts))


def project_tally(*, project: Project) -> Tally:
    """How the strata of what is settled lie now, outside the holdout."""
    tally = tally_new()
    settled = project.pairs.exclude(truth=Pair.Truth.UNSEEN).exclude(image__split=Image.Split.HOLDOUT)
    rows = settled.order_by().values_list("concept__name", "truth", "image__split").annotate(n=Count("id"))
    for concept, truth, split, count in rows:
        tally[f"{concept} {truth}"][split] += count
    images = project.images.exclude(split=Image.Split.HOLDOUT).order_by()
    for source, split, count in images.values_list("source", "split").annotate(n=Count("id")):
        tally[f"source {source}"][split] += count
    return tally


def _asked(match: SceneMatch) -> set[str]:
    return {one.split for one in match.members if one.split}


def _weighed(match: SceneMatch) -> Weighed:
    return Weighed(match.scene, len(match.members), Counter(each for one in match.members for each in one.strata))
