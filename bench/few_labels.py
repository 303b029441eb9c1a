"""What do 3, 8 and 24 labelled photographs teach the demo model, which has seen drawings alone?

    .venv/bin/python -m bench.few_labels --folder DIR [--images 3 8 24] [--seeds 0 1 2] [--write]

Photographs of fuse neutrals as a COCO export has them (--photographs, with train/ and valid/). Each is a positive of
"fuse neutral" and a negative of "chicken"; as many drawn scenes are negatives of "fuse neutral". A seed draws which
photographs, and the run's own draws. `valid` is the snapshot's val, as an import makes it: it judges, and it also
chooses the checkpoint, which flatters what was trained; the last step's figures, which nobody chose, are told beside.
Drawn scenes with all their concepts are the holdout: what the model forgets.

Every run is `python -m training` with the defaults of a retrain (or `--set key=value`), in a folder of its own under
--folder: what is finished there is not done again. --write keeps bench/results/few_labels.json and .svg, and puts the
table of what is finished into docs/training.md.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolbox.processes import jemalloc_environment

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = REPOSITORY / "mlbackend" / "weights" / "demo"
PHOTOGRAPHS = REPOSITORY.parent / "shared" / "data" / "fuse_neutrals"
PHRASE, ABSENT = "fuse neutral", "chicken"
FIRST_SCENE, FIRST_VALID_SCENE, FIRST_HOLDOUT_SCENE = 7_000_000, 7_500_000, 7_600_000
HOLDOUT_SCENES = 20
JUDGED = {"photographs": "val", "drawings": "holdout"}


@dataclass(frozen=True)
class Picture:
    """A stored image and the masks of each phrase that somebody asked of it; an empty list is a verified negative."""

    sha256: str
    size_px: tuple[int, int]
    source: str
    asked: dict[str, list[Any]]


@dataclass(frozen=True)
class Cell:
    """One training: how many photographs, which seed, and what was set otherwise than a retrain has it."""

    images: int
    seed: int
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "-".join([str(self.images), str(self.seed), *sorted(self.settings)]).replace("/", "_")


def photographs(folder: Path, store: Path) -> list[Picture]:
    """Of a COCO export's folder, in the order of their names: every instance outlined, and no chicken on any."""
    from annotator.common.masks import polygons_to_rle

    document = json.loads((folder / "_annotations.coco.json").read_text(encoding="utf-8"))
    pictures = []
    for row in sorted(document["images"], key=lambda row: row["file_name"]):
        size = {"height_px": row["height"], "width_px": row["width"]}
        outlines = [one["segmentation"] for one in document["annotations"] if one["image_id"] == row["id"]]
        if not outlines:
            raise SystemExit(f"{row['file_name']} has no outline: whether a fuse neutral is there, nobody said.")
        found = [polygons_to_rle(outline, **size) for outline in outlines]
        sha256 = stored((folder / row["file_name"]).read_bytes(), store)
        pictures.append(Picture(sha256, (row["width"], row["height"]), "photograph", {PHRASE: found, ABSENT: []}))
    return pictures


def without_fuses(first_scene: int, count: int, store: Path) -> list[Picture]:
    """Drawn scenes, easy and hard by turns, as negatives of the photographs' phrase."""
    return [_scene(first_scene + n, store, lambda _found: {PHRASE: []}) for n in range(count)]


def drawn_world(store: Path) -> list[Picture]:
    """Scenes with all that was drawn, and of what was not the first: the demo model's own world."""
    from training.demo.architecture import CONCEPTS

    def asked(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
        absent = [concept for concept in CONCEPTS if concept not in found]
        return found | {concept: [] for concept in absent[:1]}

    return [_scene(FIRST_HOLDOUT_SCENE + n, store, asked) for n in range(HOLDOUT_SCENES)]


def _scene(number: int, store: Path, asked: Any) -> Picture:
    from annotator.common.masks import encode_mask
    from training.demo.scenes import DOMAINS, draw_scene

    scene = draw_scene(number, DOMAINS[number % 2])
    found: dict[str, list[Any]] = {}
    for concept, mask in scene.instances:
        found.setdefault(concept, []).append(encode_mask(mask))
    buffer = io.BytesIO()
    Image.fromarray(scene.image_HWC).save(buffer, "PNG", compress_level=1)
    height, width = scene.image_HWC.shape[:2]
    return Picture(stored(buffer.getvalue(), store), (width, height), scene.domain, asked(found))


def stored(content: bytes, store: Path) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    path = store / sha256[:2] / sha256
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return sha256


def freeze(folder: Path, splits: dict[str, list[Picture]]) -> None:
    """A snapshot as the annotator writes it, by its own code: a SA-Co document a split, pairs.jsonl, manifest.json."""
    use_django(folder.parent)
    from annotator.data.snapshot_documents import canonical, documents_write

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = documents_write(folder=folder, pairs=_settled(splits))
    concepts = [{"name": PHRASE, "category_id": 1}, {"name": ABSENT, "category_id": 2}]
    hashes = {"content_hash": written.content_hash, "files": written.files, "counts": written.counts}
    manifest = {"format": "sa-co", "project": "few-labels", "concepts": concepts, **hashes}
    (folder / "manifest.json").write_bytes(canonical(manifest))


def use_django(var: Path) -> None:
    import django

    os.environ.setdefault("ROOST_VAR", str(var / "var"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
    django.setup()


def _settled(splits: dict[str, list[Picture]]) -> Iterable[Any]:
    from annotator.data.snapshot_documents import SettledPair

    rows = [(picture, split) for split, pictures in splits.items() for picture in pictures]
    for picture, split in sorted(rows, key=lambda row: row[0].sha256):
        for phrase, masks in picture.asked.items():
            yield SettledPair(
                sha256=picture.sha256,
                width=picture.size_px[0],
                height=picture.size_px[1],
                split=split,
                phrase=phrase,
                category_id=1 if phrase == PHRASE else 2,
                truth="present" if masks else "absent",
                masks=tuple(masks),
                is_exhaustive=True,
                source=picture.source,
                truth_source="annotated",
                round=0,
                prompts=tuple([] for _ in masks),
            )


def chosen(pictures: Sequence[Picture], count: int, seed: int) -> list[Picture]:
    """Which photographs a seed has labelled; those of 3 are among those of 8."""
    if count > len(pictures):
        raise SystemExit(f"{count} photographs were asked for; the export has {len(pictures)} to train on.")
    return [pictures[place] for place in np.random.default_rng(seed).permutation(len(pictures))[:count]]


class Bench:
    """A folder of runs: one snapshot a cell, pictures and features shared."""

    def __init__(self, folder: Path, export: Path) -> None:
        self.folder, self.store = folder.resolve(), folder.resolve() / "images"
        self._train = photographs(export / "train", self.store)
        valid = photographs(export / "valid", self.store)
        self._others = {
            "val": [*valid, *without_fuses(FIRST_VALID_SCENE, len(valid), self.store)],
            "holdout": drawn_world(self.store),
        }

    def base(self) -> None:
        """The model as it came, judged on what judges every run."""
        home = self.folder / "base"
        if not (home / "result.json").exists():
            freeze(home / "snapshot", {"train": [], **self._others})
            self._judge(DEMO, home, {"model": "demo"})

    def run(self, cell: Cell) -> None:
        """Train and judge, unless that is finished."""
        home = self.folder / cell.name
        if (home / "result.json").exists():
            return
        train = chosen(self._train, cell.images, cell.seed)
        scenes = without_fuses(FIRST_SCENE + 1000 * cell.seed, len(train), self.store)
        freeze(home / "snapshot", {"train": [*train, *scenes], **self._others})
        trained = self._call("train", home, ["base_model=" + str(DEMO), f"seed={cell.seed}", *cell.settings])
        facts = {"images": cell.images, "seed": cell.seed, "settings": list(cell.settings)}
        facts |= {"validations": trained["metrics"]["validations"], "best_step": trained["metrics"]["best_step"]}
        self._judge(home / "train" / "model", home, facts | {"train_seconds": trained["seconds"]})
        for left in ("checkpoints", "model"):
            shutil.rmtree(home / "train" / left)

    def _judge(self, model: Path, home: Path, facts: dict[str, Any]) -> None:
        for name, split in JUDGED.items():
            # Average precision, told of photographs, wants the whole list; CGF1 reads from 0.5 on whatever is kept.
            keep = 0.0 if name == "photographs" else 0.5
            self._call("evaluate", home, [f"model={model}", f"split={split}", f"keep_score={keep}"], out=name)
        (home / "result.json").write_text(json.dumps(facts, indent=1) + "\n")

    def _call(self, verb: str, home: Path, settings: list[str], out: str = "") -> dict[str, Any]:
        places = [f"snapshot={home / 'snapshot'}", f"images={self.store}", f"features={self.folder / 'features'}"]
        return trainer(verb, home / (out or verb), [*places, *settings])


def trainer(verb: str, folder: Path, settings: list[str]) -> dict[str, Any]:
    """`python -m training VERB` as the product calls it, as nice as this process is; its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "training", verb, "--out", str(folder), *settings, f"nice={max(0, os.nice(0))}"]
    environment = os.environ | jemalloc_environment() | {"OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("w") as log:
        made = subprocess.run(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=log, check=False
        )
    if made.returncode:
        last = (folder / "events.jsonl").read_text().splitlines()[-1:]
        raise SystemExit(f"{verb} in {folder} ended with {made.returncode}: {' '.join(last)}")
    return json.loads((folder / "manifest.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the runs; what is finished there is kept")
    parser.add_argument("--photographs", type=Path, default=PHOTOGRAPHS, help="a COCO export with train/ and valid/")
    parser.add_argument("--images", type=int, nargs="+", default=[3, 8, 24])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="key=value", help="of the trainer")
    parser.add_argument("--write", action="store_true", help="keep figures, plot and docs table")
    asked = parser.parse_args()
    if not (asked.photographs / "train" / "_annotations.coco.json").is_file():
        raise SystemExit(f"There are no photographs in {asked.photographs}: name a COCO export by --photographs.")
    bench = Bench(asked.folder, asked.photographs)
    bench.base()
    for seed in asked.seeds:
        for images in asked.images:
            bench.run(Cell(images, seed, tuple(asked.settings)))
    from bench.few_labels_report import report

    report(asked.folder, write=asked.write)


if __name__ == "__main__":
    main()
