"""Whether every run of a sweep can be made, before the first of them begins: material, images, the card's memory.

`python -m training.sweep.checks DIR SPLIT NAME …` is a process of its own, so that the sweep itself loads no torch and
has nothing on the card while its runs train. It writes DIR/checked.json, {name: why not}; "" stands for all runs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from toolbox.files import write_json
from training.config import Config, read_config
from training.dataset import Snapshot
from training.errors import Refused
from training.events import silent
from training.features import image_path
from training.launch import settle
from training.material import choose_material
from training.models import choose_device
from training.plan import Planner, free_card_bytes
from training.rehearsal import Rehearsal
from training.sweep.folder import CHECKED


def refusals(configs: Mapping[str, Config], split: str, card_bytes: int | None = None) -> dict[str, str]:
    """Why a run cannot be made, by its name; card_bytes: of a card that is not here."""
    config = next(iter(configs.values()))
    try:
        _check_material(config, split)
        choose_device(config.device)
    except Refused as error:
        return {"": error.message}
    card_bytes = _card_bytes(config) if card_bytes is None else card_bytes
    return {} if card_bytes is None else _too_large(configs, card_bytes)


def _check_material(config: Config, split: str) -> None:
    """What all runs have in common."""
    snapshot = Snapshot(config.snapshot)
    material, judges = choose_material(snapshot, config, silent()), snapshot.split(split)
    positives = sum(pair.is_positive for pair in judges.judged)
    negatives = sum(pair.is_negative for pair in judges.judged)
    if not positives or not negatives:
        raise Refused(
            "unjudgeable_split",
            f"The split '{split}' has {positives} positive and {negatives} negative pairs in which every instance is "
            "marked: it takes both to tell one run from another. Settle some such pairs, then freeze again, or name "
            "another split by the key 'split'.",
        )
    for pair in [*material.train, *material.val.pairs, *judges.judged]:
        if not image_path(Path(config.images), pair.image).is_file():
            raise Refused("absent_image", f"Image {pair.image} of the snapshot is not in {config.images}.")


def _card_bytes(config: Config) -> int | None:
    is_on_card = choose_device(config.device).type == "cuda"
    return free_card_bytes(config.kept_free_mib) if is_on_card else None


def _too_large(configs: Mapping[str, Config], card_bytes: int) -> dict[str, str]:
    """Runs of one base model share its rehearsal: what two of them do alike is rehearsed once."""
    rehearsals: dict[str, Rehearsal] = {}
    found = {}
    for name, config in configs.items():
        assert config.base_model is not None
        rehearsal = rehearsals.setdefault(config.base_model, Rehearsal(config.base_model))
        plan = Planner(config, config.base_model, card_bytes, rehearsal).train()
        if plan.fits is False:
            found[name] = plan.sentence
    return found


def main() -> None:
    out, split, *names = sys.argv[1:]
    configs = {name: read_config("train", Path(out) / "runs" / name / "asked.json") for name in names}
    first = next(iter(configs.values()))
    settle(threads=first.threads, nice=first.nice)
    write_json(Path(out) / CHECKED, refusals(configs, split), indent=1, alone=True)


if __name__ == "__main__":
    main()
