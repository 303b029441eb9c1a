"""How images are shared out among the splits: by scene, in the wanted shares, and evenly by what is on them.

Without labels a scene's hash decides, so that every import of it agrees; with labels each stratum (concept and
presence, source) is brought as near to the shares as whole scenes allow.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotator.common.errors import ImportRefusedError, RoostError
from annotator.models import Image

# From the split that judges most to the one that teaches: a scene in several belongs to the first of them.
PROTECTED = (Image.Split.HOLDOUT, Image.Split.TEST, Image.Split.VAL, Image.Split.TRAIN)
TAUGHT = (Image.Split.TRAIN, Image.Split.VAL, Image.Split.TEST)


@dataclass(frozen=True)
class Shares:
    """Per cent of train, val and test; they make 100."""

    train: int
    val: int
    test: int = 0

    def __str__(self) -> str:
        return "/".join(str(share) for share in (self.train, self.val, self.test) if share or share is self.train)

    def of(self) -> dict[str, float]:
        return {split: share / 100 for split, share in zip(TAUGHT, (self.train, self.val, self.test), strict=True)}


DEFAULT = Shares(85, 15)
OFFERED = {str(one): one for one in (DEFAULT, Shares(80, 10, 10), Shares(70, 15, 15))}


def shares_named(text: str) -> Shares:
    """`80/10/10` (train, val, test) or `85/15`; RoostError says what was meant."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(part.isascii() and part.isdecimal() and len(part) < 4 for part in parts):
        raise RoostError(f"{text!r} are no shares; write per cent of train, val and test, as in 80/10/10.")
    numbers = [int(part) for part in parts]
    if sum(numbers) != 100 or not numbers[0]:
        raise RoostError(f"The shares {text} must make 100, with something for train.")
    return Shares(*numbers)


def split_for(sha256: str, shares: Shares = DEFAULT) -> str:
    """By hash: `val`, then `test`, else `train`; `holdout` is only ever drawn or asked for by name."""
    place = int(sha256[:8], 16) % 100
    if place < shares.val:
        return Image.Split.VAL
    return Image.Split.TEST if place < shares.val + shares.test else Image.Split.TRAIN


def most_protected(splits: Iterable[str]) -> str:
    """Of the splits that a scene lies in, the one that it must not be taken out of."""
    return min(splits, key=[str(split) for split in PROTECTED].index)


def holdout_draw(*, sha256s: Iterable[str], share: float) -> set[str]:
    """A random share of the scenes, each by the hash it is called by; the same ones and share give the same draw."""
    if not 0 <= share < 1:
        raise ImportRefusedError("The holdout's share must be at least 0 and below 1.")
    return {sha256 for sha256 in sha256s if random.Random(f"holdout {sha256}").random() < share}


Tally = dict[str, dict[str, int]]  # stratum -> split -> images


def tally_new() -> Tally:
    return defaultdict(lambda: defaultdict(int))


@dataclass(frozen=True)
class Weighed:
    """A scene with how many of its images are of each stratum; `images` in all."""

    scene: str
    images: int
    strata: Mapping[str, int]


def splits_assign(*, scenes: Sequence[Weighed], shares: Shares, tally: Tally) -> dict[str, str]:
    """A split for each scene, the largest first, each where its strata lack most; counted in `tally`, which goes on
    from one batch to the next. The same scenes in the same batches give the same splits."""
    placed = {}
    for one in sorted(scenes, key=lambda one: (-one.images, one.scene)):
        placed[one.scene] = split = _most_lacking(one, shares, tally)
        for stratum, count in one.strata.items():
            tally[stratum][split] += count
    return placed


def _most_lacking(one: Weighed, shares: Shares, tally: Tally) -> str:
    """Rare strata weigh more: a stratum's lack is told in parts of itself."""

    def lack(split: str, share: float) -> float:
        lacking = 0.0
        for stratum, count in one.strata.items():
            after = sum(tally[stratum].values()) + count
            lacking += (share * after - tally[stratum][split]) / after
        return lacking

    wanted = {split: share for split, share in shares.of().items() if share}
    return max(wanted, key=lambda split: (round(lack(split, wanted[split]), 9), wanted[split]))
