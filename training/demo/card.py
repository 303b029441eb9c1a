"""The model card: figures for programs (card.json) and the same for people (MODEL_CARD.md)."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch

from mlbackend.model.inputs import PhraseTokenizer
from mlbackend.model.network import Sam3Network
from training.demo.architecture import CONCEPTS
from training.demo.examine import examine_domain, time_on_one_thread
from training.demo.examine_exemplars import examine_exemplars
from training.demo.sprites import EASY_BREEDS, HARD_BREEDS

EXAM_FIRST_SEED = 1_000_000
_ROWS = (
    ("CGF1 (x100)", "cgf1", 100),
    ("pmF1 (x100)", "pmf1", 100),
    ("IL_MCC", "il_mcc", 1),
    ("F1 at IoU 0.5, positive pairs", "f1_at_50", 1),
    ("F1 at IoU 0.5, all pairs", "all_f1_at_50", 1),
    ("Pairs with presence score 0.4-0.6", "presence_band_share", 1),
    ("One-click mask mIoU", "one_click_miou", 1),
    ("One-click masks with IoU >= 0.8", "one_click_over_80", 1),
)
_EXEMPLAR_ROWS = (
    ("the word alone", "word"),
    ("the word and a box", "word and box"),
    ("a box and a word never taught", "box"),
)
_TEXT = """# Model card: Roost's demo model

SAM 3's architecture (`transformers`' `Sam3Model` and `Sam3TrackerModel` over one shared ViT) at about 1/300 of its
size, trained from nothing on drawings by `python -m training.demo.build`. It proves the loop, not SAM 3's accuracy: it
knows drawn barns only. For photographs attach facebook/sam3.

- Parameters: {parameters_millions:.1f} million; image {image_size_px} px, patch 14, {grid} x {grid} tokens; 20 queries.
- Taught words: {words}. Any other word is read letter by letter; some were shown as always absent.
- Weights: `{weights_hash}`
- ViT: `{backbone_hash}`

## Data

{world_scenes} scenes from `training/demo/scenes.py`, half easy, half hard. Seeds {train_seeds}.

- *Easy*, in daylight: {easy}.
- *Hard*, with dusk, blur, noise, a fence and crowding, adds: {hard}.

The ViT, the click decoder's neck and the click decoder saw both, with class-agnostic masks; concepts were told on easy
scenes only. The detector's text, presence, box and mask heads saw easy scenes only: hard is what it hesitates on.
The geometry encoder, which reads boxes shown as examples and nothing else does, was told in both which objects are of
one kind.

## Training

{world_steps} steps of 16 scenes (ViT and clicks, {world_minutes:.0f} min), then {detector_steps} steps of 32 pairs
from {lesson_scenes} of the easy scenes on the frozen ViT ({detector_minutes:.0f} min), then {exemplar_steps} steps of
16 pictures from {exemplar_scenes} scenes a domain with all else frozen ({exemplar_minutes:.0f} min, other work beside
it); Muon and AdamW, seed {seed}.
Hardware: {hardware}.
{calibration}
{remarks}

## Quality on fresh scenes

{exam_scenes} scenes a domain, seeds from {exam_seed} on, never trained on; every word asked of every scene
({easy_pairs} and {hard_pairs} pairs). Kept: query score x presence score >= 0.5; mask logits are brought to full size,
then thresholded.

| | easy | hard |
|---|---|---|
{table}

Find more like this: of two objects of a kind or more the largest is shown as a box; found are the others at IoU over
0.5, query score >= 0.3.

| recall / precision | easy | hard |
|---|---|---|
{exemplar_table}

One CPU thread: encode {encode_ms:.0f} ms, click {click_ms:.1f} ms (median processor time).
"""


def examine(network: Sam3Network, tokenizer: PhraseTokenizer, scenes: int) -> dict:
    return {"scenes_per_domain": scenes, "first_seed": EXAM_FIRST_SEED} | {
        domain: examine_domain(network, tokenizer, domain, first_seed=EXAM_FIRST_SEED, scenes=scenes)
        | {"exemplars": examine_exemplars(network, tokenizer, domain, first_seed=EXAM_FIRST_SEED, scenes=scenes)}
        for domain in ("easy", "hard")
    }


def describe(network: Sam3Network, quality: dict, training: dict) -> dict:
    """Everything that card.json holds; `training` says what was run (steps, seeds, seconds, calibration)."""
    return {
        "name": "roost-demo",
        "date": datetime.now(UTC).date().isoformat(),
        "taught_words": list(CONCEPTS),
        "image_size_px": network.image_size_px,
        "grid": network.grid_size,
        "parameters_millions": sum(p.numel() for p in network.parameters()) / 1e6,
        "weights_hash": network.weights_hash(),
        "backbone_hash": network.backbone_hash(),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()}), torch {torch.__version__}, no GPU",
        "training": training,
        "quality": quality,
        "speed_one_thread": time_on_one_thread(network),
    }


def write_card(folder: Path, card: dict) -> None:
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    (folder / "MODEL_CARD.md").write_text(render(card))


def render(card: dict) -> str:
    training, quality = card["training"], card["quality"]
    table = "\n".join(
        f"| {title} | {_figure(quality['easy'][key] * scale)} | {_figure(quality['hard'][key] * scale)} |"
        for title, key, scale in _ROWS
    )
    return _TEXT.format(
        **{
            key: card[key]
            for key in ("parameters_millions", "image_size_px", "grid", "weights_hash", "backbone_hash", "hardware")
        },
        **{
            key: training[key]
            for key in (
                "world_scenes",
                "world_steps",
                "lesson_scenes",
                "detector_steps",
                "seed",
                "exemplar_steps",
                "exemplar_scenes",
                "train_seeds",
                "calibration",
            )
        },
        **card["speed_one_thread"],
        remarks=training.get("remarks", ""),
        table=table,
        exemplar_table="\n".join(_exemplar_row(title, name, quality) for title, name in _EXEMPLAR_ROWS),
        exemplar_minutes=training["exemplar_seconds"] / 60,
        words=", ".join(card["taught_words"]),
        world_minutes=training["world_seconds"] / 60,
        detector_minutes=training["detector_seconds"] / 60,
        exam_scenes=quality["scenes_per_domain"],
        exam_seed=quality["first_seed"],
        easy_pairs=quality["easy"]["pairs"],
        hard_pairs=quality["hard"]["pairs"],
        easy=_breeds(EASY_BREEDS),
        hard=_breeds(HARD_BREEDS),
    )


def _exemplar_row(title: str, name: str, quality: dict) -> str:
    cells = [quality[domain]["exemplars"][name] for domain in ("easy", "hard")]
    return f"| {title} | " + " | ".join(f"{one['recall']:.2f} / {one['precision']:.2f}" for one in cells) + " |"


def _figure(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 1.5 else f"{value:.2f}"


def _breeds(breeds: dict[str, list[str]]) -> str:
    return ", ".join(f"{' and '.join(names)} {concept}s" for concept, names in breeds.items())
