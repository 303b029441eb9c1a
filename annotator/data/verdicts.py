"""What several documents say of one picture -> what is true of it. Plain values: no database.

An absence is a claim, so it needs a statement: a document that lists the picture, judges the class, and either names it
as a negative or is vouched for by whoever imports it; or a person's word that the thing itself is not in the picture.
Where anything in the picture might be the thing looked for under a name that nobody has decided about, there is no
absence.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from annotator.common.masks import Rle, rle_iou

from .formats.documents import Listed
from .formats.records import Category, ImageRecord, Instance

# Two documents outlined the same object, once as a polygon and once as an RLE, say.
SAME_OBJECT_IOU = 0.9

C = TypeVar("C", bound=Hashable)


@dataclass(frozen=True)
class Vouch:
    """What the importer says of the documents. `complete`: of a class that is outlined in a picture, all instances are.

    `exhaustive`: besides, what is not outlined is not there.
    """

    complete: bool = False
    exhaustive: bool = False


@dataclass(frozen=True)
class Mention:
    """One document's word about one picture. `categories`: all classes that the document judges."""

    listed: Listed
    record: ImageRecord
    categories: frozenset[str]


@dataclass
class Classes(Generic[C]):
    """Which class of the documents is which concept. `left_out`: classes that the importer says are none of them.

    `undecided`: the documents' other classes, each of which may be any of the concepts for all that is known. `below`:
    for a class, those that name it as their parent.
    """

    by_category: dict[str, C]
    left_out: set[str] = field(default_factory=set)
    undecided: list[str] = field(default_factory=list)
    below: Mapping[str, set[str]] = field(default_factory=dict)

    def of_concept(self) -> dict[C, set[str]]:
        found: dict[C, set[str]] = defaultdict(set)
        for category, concept in self.by_category.items():
            found[concept].add(category)
        return found

    def is_undecided(self, category: str) -> bool:
        return category not in self.by_category and category not in self.left_out


@dataclass(frozen=True)
class Verdict:
    """Of one pair. `truth`: present, absent or unseen; unseen with instances: proposals for a person, and `why`.

    `disputed`: it was named as a negative, and something else says that it is there.
    """

    truth: str
    instances: tuple[Instance, ...] = ()
    is_exhaustive: bool = True
    why: str = ""
    disputed: bool = False

    @property
    def masks(self) -> list[Rle]:
        return [instance.mask for instance in self.instances]


UNREADABLE = "Some of its objects could not be read."
ONLY_BOXES = "Some of its objects have a box and no outline."
DISPUTED = "One document outlines it, another says that it is not there."
UNDECIDED = "Something in the picture may be it under a name that nobody has decided about."


def disputed_words(concept: str) -> str:
    return f"It was said to show no {concept}, and something else in these files says that it does: it is no negative."


def below_of(categories: Iterable[Category]) -> dict[str, set[str]]:
    """The classes under each class, children of children too; to be one's own parent says nothing."""
    parent = {one.name: one.supercategory for one in categories if one.supercategory not in ("", one.name)}
    found: dict[str, set[str]] = defaultdict(set)
    for name in parent:
        above, seen = parent.get(name), {name}
        while above and above not in seen:
            found[above].add(name)
            seen.add(above)
            above = parent.get(above)
    return found


def verdicts_of(mentions: Sequence[Mention], classes: Classes[C], vouch: Vouch) -> dict[C, Verdict]:
    """The verdict of every concept that is spoken of; the others stay unseen."""
    said = _Said(mentions, vouch)
    doubt = any(classes.is_undecided(name) for name in said.named)
    # Whoever vouches for a picture does so for what its documents judge; a named negative stands for itself.
    unjudged = not said.absent.issuperset(classes.undecided)
    found: dict[C, Verdict] = {}
    for concept, names in classes.of_concept().items():
        stated = bool(names & said.none_of) or names <= said.negatives
        unsure = doubt or bool(_below(names, classes) & said.named) or (unjudged and not stated)
        if verdict := _verdict(names, said, unsure):
            found[concept] = replace(verdict, disputed=_is_disputed(names, said))
    return found


def _is_disputed(names: set[str], said: "_Said") -> bool:
    """Named as a negative by one, and told to be there by another."""
    by_person = bool(names & said.none_of) and bool(names & (said.named | said.hinted))
    return by_person or bool(names & said.negatives & said.named)


def _below(names: set[str], classes: Classes) -> set[str]:
    return set().union(*(classes.below.get(name, set()) for name in names)) - names


def _verdict(names: set[str], said: "_Said", doubt: bool) -> Verdict | None:
    """`doubt`: something in the picture may be it under another name."""
    instances = tuple(one for name in sorted(names) for one in said.instances.get(name, ()))
    if names & said.unsure:
        return Verdict("unseen", instances, False, UNREADABLE)
    if any(one.coarse for one in instances):
        return Verdict("unseen", instances, False, ONLY_BOXES)
    if instances:
        disputed = bool(names & said.absent)
        whole = names <= said.complete and not names & said.incomplete and not disputed and not doubt
        return Verdict("present", instances, whole, DISPUTED if disputed else "")
    if names & said.incomplete or (names & said.none_of and names & said.hinted):
        return Verdict("unseen", (), False, DISPUTED) if _is_disputed(names, said) else None
    if names <= said.absent or names & said.none_of:
        return Verdict("unseen", (), False, UNDECIDED) if doubt else Verdict("absent")
    return None


class _Said:
    """All that is said of one picture, by class.

    `negatives`: named as not there; a class with an instance is in it only where documents contradict each other.
    `absent`: those, and what is vouched for.
    `none_of`: of those, what a person says of the thing itself, under whichever class it may be outlined.
    `complete`: stated to have all its instances outlined.
    """

    def __init__(self, mentions: Sequence[Mention], vouch: Vouch) -> None:
        records = [mention.record for mention in mentions]
        self.instances = _united(records)
        self.unsure = set().union(*(record.unsure for record in records))
        self.incomplete = set().union(*(record.incomplete for record in records))
        self.named = set(self.instances) | self.unsure | self.incomplete
        covered = set().union(*(mention.categories for mention in mentions if mention.listed.covered))
        self.none_of = set().union(*(record.none_of for record in records))
        self.hinted = set().union(*(record.hinted for record in records))
        self.negatives = {name for record in records for name in record.absent}
        self.absent = self.negatives | ((covered - self.named) if vouch.exhaustive else set())
        stated = set().union(*(record.complete for record in records)) | self.negatives
        self.complete = stated | (covered if vouch.complete or vouch.exhaustive else set())


def _united(records: Sequence[ImageRecord]) -> dict[str, list[Instance]]:
    """Each object once: equal masks of one record, and nearly equal ones of two."""
    found: dict[str, list[Instance]] = {}
    for record in records:
        before = {name: list(instances) for name, instances in found.items()}
        for one in record.instances:
            kept = found.setdefault(one.category, [])
            equal = any(one.mask["counts"] == other.mask["counts"] for other in kept)
            if not equal and not any(_same(one, other) for other in before.get(one.category, ())):
                kept.append(one)
    return found


def _same(one: Instance, other: Instance) -> bool:
    return one.mask["size"] == other.mask["size"] and rle_iou(one.mask, other.mask) >= SAME_OBJECT_IOU
