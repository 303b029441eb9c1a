"""What a large data version costs in time and memory. `python -m bench.snapshots [--images 100000] [--write]`

A project of so many images, five outlined objects each; each step runs in a process of its own, whose CPU time and
largest memory are told: taking a snapshot (read, hashed, written), taking it again after one pair in a hundred changed,
the difference of the two, and a COCO document of the same size through an import's gathering and verdicts. Of its
pictures one in fifty is read to its objects: they are read one by one and not kept, so the memory is the same.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "snapshots.json"
WIDTH_PX, HEIGHT_PX, OBJECTS, READ_EVERY = 640, 480, 5, 50
OUTLINE = [100, 100, 160, 90, 220, 130, 230, 200, 190, 260, 120, 250, 90, 200, 80, 140]
DOCUMENT = "_annotations.coco.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help="keep the figures in bench/results/snapshots.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(ROOST_VAR=folder, DJANGO_SETTINGS_MODULE="annotator.settings")
        _step("build", build, options.images)
        rows = [
            _step("snapshot", take),
            _step("snapshot after changes", take_changed),
            _step("difference", difference),
        ]
        document = _step("document", write_document, Path(folder, DOCUMENT), options.images)["answer"]
        rows.append(_step("import gathered", gather, Path(folder, DOCUMENT), options.images))
    size = {"images": options.images, "instances": OBJECTS * options.images, "document_bytes": document}
    conditions = size | {"load_average": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    print(json.dumps(conditions))
    if options.write:
        RESULT.write_text(json.dumps(conditions | {"steps": rows}, indent=1) + "\n")


def _step(name: str, work: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """Run it in a fresh process; what it cost there, the start of Python and Django included in the memory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_measured, args=(theirs, work, args))
    child.start()
    theirs.close()
    row = {"step": name, **ours.recv()}
    child.join()
    figures = f"{row['seconds']:7.1f} s, {row['cpu_seconds']:7.1f} s of CPU, {row['largest_mb']:5d} MB"
    print(f"{name:24} {figures}  {row['answer']}", file=sys.stderr)
    return row


def _measured(pipe: Any, work: Callable[..., Any], args: tuple) -> None:
    import django

    django.setup()
    started, cpu = time.perf_counter(), time.process_time()
    answer = work(*args)
    spent = {"seconds": round(time.perf_counter() - started, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    largest_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    pipe.send({**spent, "largest_mb": largest_mb, "answer": answer})


def build(images: int) -> int:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from annotator.home.services import project_create
    from annotator.models import Image, Pair

    call_command("migrate", verbosity=0)
    person = get_user_model().objects.create_user("bench")
    project = project_create(name="Big", concepts=["chicken"], user=person)
    concept = project.concepts.get()
    sizes = {"width": WIDTH_PX, "height": HEIGHT_PX, "bytes": 90_000, "media_type": "image/jpeg"}
    rows = (Image(project=project, sha256=_sha256(n), original_name=f"{n}.jpg", **sizes) for n in range(images))
    Image.objects.bulk_create(rows, batch_size=2000)
    settled = {"truth": "present", "truth_source": "annotated", "instances": [{"mask": mask} for mask in masks()]}
    ids = project.images.values_list("pk", flat=True).order_by("pk")
    pairs = (Pair(project=project, image_id=image, concept=concept, **settled) for image in ids.iterator())
    return len(Pair.objects.bulk_create(pairs, batch_size=2000))


def _sha256(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def outlines() -> list[list[float]]:
    return [
        [value + (40 * n if place % 2 == 0 else 20 * n) for place, value in enumerate(OUTLINE)] for n in range(OBJECTS)
    ]


def masks() -> list[Any]:
    from annotator.common.masks import polygons_to_rle

    return [polygons_to_rle([outline], height_px=HEIGHT_PX, width_px=WIDTH_PX) for outline in outlines()]


def take() -> str:
    from annotator.data.snapshots import snapshot_create
    from annotator.models import Project

    return snapshot_create(project=Project.objects.get(), user=None).content_hash


def take_changed() -> str:
    from django.db.models import F

    from annotator.models import Pair

    changed = Pair.objects.annotate(rest=F("image_id") % 100).filter(rest=7)
    changed.update(truth="absent", instances=[])
    return take()


def difference() -> dict[str, int]:
    from annotator.data.snapshot_difference import snapshot_difference
    from annotator.models import Snapshot

    before, after = Snapshot.objects.order_by("number")
    return snapshot_difference(before=before, after=after).counts


def write_document(path: Path, images: int) -> int:
    """As COCO's own are: a row an object with its box, its area and an outline of eight corners."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info":{},"images":[')
        file.writelines(_joined(_image_row(n) for n in range(images)))
        file.write('],"annotations":[')
        file.writelines(
            _joined(_annotation_row(n, outline) for n in range(images) for outline in enumerate(outlines()))
        )
        file.write('],"categories":[{"id":1,"name":"chicken","supercategory":"bird"}]}')
    return path.stat().st_size


def _joined(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"{',' if number else ''}{json.dumps(row)}"


def _image_row(number: int) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number:06d}.jpg", "width": WIDTH_PX, "height": HEIGHT_PX}


def _annotation_row(image: int, outline: tuple[int, list[float]]) -> dict[str, Any]:
    number, corners = outline
    xs, ys = corners[::2], corners[1::2]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    shape = {"segmentation": [corners], "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    return {"id": OBJECTS * image + number, "image_id": image, "category_id": 1, **shape}


class _Source:
    """Pictures by name, whose bytes nobody asks for, beside one document."""

    def __init__(self, document: Path, images: int) -> None:
        self._document = document
        self.names = sorted([DOCUMENT, *(f"{number:06d}.jpg" for number in range(images))])
        self.problems: list[Any] = []

    def open(self, name: str) -> Any:
        assert name == DOCUMENT, name
        return self._document.open("rb")


def gather(document: Path, images: int) -> dict[str, int]:
    from annotator.data.import_documents import documents_gathered
    from annotator.data.verdicts import Classes, Mention, Vouch, verdicts_of

    gathered = documents_gathered(_Source(document, images))
    assert not gathered.problems, gathered.problems[:3]
    found = {"pictures": len(gathered.words), "read": 0, "objects": 0}
    for number, words in enumerate(gathered.words.values()):
        if number % READ_EVERY:
            continue
        read = [(word, word.document.read(word.listed, (WIDTH_PX, HEIGHT_PX))[0]) for word in words]
        mentions = [Mention(word.listed, record, frozenset({"chicken"})) for word, record in read]
        verdicts = verdicts_of(mentions, Classes({"chicken": 1}), Vouch(complete=True))
        found["read"] += 1
        found["objects"] += sum(len(verdict.instances) for verdict in verdicts.values())
    return found


if __name__ == "__main__":
    main()
