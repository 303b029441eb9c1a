"""How fast, and in how much memory, do exports and documents go? `python -m bench.formats [--images 100000] [--write]`

Builds a project of that size in an own database (pictures are rows without files), exports it through the job's own
code, reads what was exported as an import does, and tells instances a second and the process's peak memory of both;
beside it, label-studio-sdk's converter on tasks of the same masks, fewer of them. Each measurement is a process of its
own, so that one's memory is not another's. `--documents` writes and reads the documents alone, without a database.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

A_PICTURE = 5
SIDE_PX = 640
ROWS_A_WRITE = 1000
CONVERTED = 200
RESULT = Path(__file__).parent / "results" / "formats.json"
FORMATS = ("coco", "coco polygon", "saco", "yolo", "labelme", "label_studio")


def build(images: int) -> None:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from annotator.home.services import project_create
    from annotator.models import Image, Pair, Project

    call_command("migrate", verbosity=0)
    if Project.objects.exists():
        return
    user = get_user_model().objects.create_user("admin")
    project = project_create(name="Big", concepts=["chicken"], user=user)
    concept = project.concepts.get()
    drawn = masks()
    for start in range(0, images, ROWS_A_WRITE):
        rows = [_image(project, number) for number in range(start, min(start + ROWS_A_WRITE, images))]
        Image.objects.bulk_create(rows)
        pairs = []
        for number, row in enumerate(rows, start=start):
            chosen = [{"mask": drawn[(number * A_PICTURE + place) % len(drawn)]} for place in range(A_PICTURE)]
            pairs.append(Pair(project=project, image=row, concept=concept, truth="present", instances=chosen))
        Pair.objects.bulk_create(pairs)


def _image(project: Any, number: int) -> Any:
    from annotator.models import Image

    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    split = "val" if number % 10 == 1 else "train"
    size = {"width": SIDE_PX, "height": SIDE_PX, "bytes": 90_000, "media_type": "image/jpeg"}
    return Image(project=project, sha256=sha256, original_name=f"frame-{number:06d}.jpg", split=split, **size)


def masks() -> list[dict]:
    """Two hundred ragged discs of 20 to 120 px."""
    from annotator.common.masks import encode_mask

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    found = []
    for _ in range(200):
        centre, radius, waves = rng.uniform(100, SIDE_PX - 100, 2), rng.uniform(10, 60), rng.integers(3, 9)
        angle = np.arctan2(y - centre[1], x - centre[0])
        found.append(encode_mask(np.hypot(y - centre[1], x - centre[0]) < radius * (1 + 0.2 * np.sin(waves * angle))))
    return found


def export(name: str, unpacked: Path) -> dict[str, float]:
    """One export as a worker does it, without pictures."""
    from annotator.data.exports import export_file, export_start
    from annotator.jobs.runner import job_run
    from annotator.models import Project

    format, _, masks_as = name.partition(" ")
    project = Project.objects.get()
    wishes = {"masks": masks_as} if masks_as else {}
    started, cpu = time.perf_counter(), time.process_time()
    job = export_start(project=project, user=None, format=format, with_images=False, **wishes)
    job_run(job_id=job.pk)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    job.refresh_from_db()
    instances = sum(row["instances"] for row in job.report["counts"].values())
    rates = _rates(instances, seconds, cpu_s)
    path = export_file(job=job)
    zipfile.ZipFile(path).extractall(unpacked)
    rates["zip_mb"] = round(path.stat().st_size / 1e6, 1)
    path.unlink()
    return rates


def write_documents(name: str, images: int, folder: Path) -> dict[str, float]:
    """The format's writer alone, to a folder."""
    from annotator.data.convert import FolderOut
    from annotator.data.export_layouts import LAYOUTS
    from annotator.data.formats.records import Category, ImageRecord, Instance
    from annotator.data.writers.parts import Row, Wishes

    format, _, masks_as = name.partition(" ")
    drawn, out = masks(), FolderOut(folder)
    wishes = Wishes(**({"masks": masks_as} if masks_as else {}))
    writer = LAYOUTS[format].writer([Category(1, "chicken")], out, folder, wishes)
    started, cpu = time.perf_counter(), time.process_time()
    for number in range(images):
        chosen = [Instance("chicken", drawn[(number * A_PICTURE + place) % len(drawn)]) for place in range(A_PICTURE)]
        record = ImageRecord(f"{number}.jpg", SIDE_PX, SIDE_PX, "train", f"{number}.jpg", chosen)
        writer.add(Row(number + 1, number * A_PICTURE + 1, f"{number:064x}", record.name, record))
    writer.finish()
    return _rates(images * A_PICTURE, time.perf_counter() - started, time.process_time() - cpu)


def read_documents(folder: Path) -> dict[str, float]:
    """As an import does: all documents' tables, then picture by picture; nothing is kept."""
    from annotator.data.formats.recognise import documents_found

    started, cpu = time.perf_counter(), time.process_time()
    instances = 0
    for document in documents_found(_Folder(folder)).documents:
        for listed in document.images:
            record, problems = document.read(listed, (SIDE_PX, SIDE_PX))
            if problems:
                raise SystemExit(f"{listed.name}: {problems[0].why}")
            instances += len(record.instances)
    return _rates(instances, time.perf_counter() - started, time.process_time() - cpu)


class _Folder:
    """Its files by name; YOLO's labels need names of pictures beside them, which nobody opens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        pictures = [f"images/{name[7:-4]}.jpg" for name in files if name.startswith("labels/")]
        self.names = [*files, *pictures]

    def open(self, name: str) -> Any:
        return (self._folder / name).open("rb")


def convert() -> dict[str, float]:
    """label-studio-sdk's converter: tasks with brushes to COCO."""
    from label_studio_sdk.converter import Converter

    from annotator.data.formats.records import Category, ImageRecord, Instance
    from annotator.data.writers.label_studio import label_config, task
    from annotator.data.writers.parts import Row

    drawn, rows = masks(), []
    for number in range(CONVERTED // A_PICTURE):
        chosen = [Instance("chicken", drawn[(number * A_PICTURE + place) % len(drawn)]) for place in range(A_PICTURE)]
        record = ImageRecord(f"{number}.jpg", SIDE_PX, SIDE_PX, "train", f"{number}.jpg", chosen)
        rows.append({"id": number, **task(Row(number + 1, 1, str(number), record.name, record), url=f"{number}.jpg")})
        rows[-1]["annotations"][0]["id"] = number
    categories = [Category(1, "chicken")]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "tasks.json")
        source.write_text(json.dumps(rows))
        converter = Converter(label_config([one.name for one in categories]), folder, download_resources=False)
        started, cpu = time.perf_counter(), time.process_time()
        converter.convert(str(source), str(Path(folder, "out")), "BRUSH_TO_COCO", is_dir=False)
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        found = json.loads(Path(folder, "out", "result_coco.json").read_text())
    return _rates(len(found["annotations"]), seconds, cpu_s)


def _rates(instances: int, seconds: float, cpu_s: float) -> dict[str, float]:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "instances": instances,
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "instances_a_second": round(instances / seconds),
        "instances_a_cpu_second": round(instances / cpu_s),
        "peak_mb": round(peak_mb),
    }


def _apart(folder: str, images: int, what: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.formats", "--folder", folder, "--images", str(images), "--only", what]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", help="keep the database here")
    parser.add_argument("--formats", nargs="*", default=FORMATS)
    parser.add_argument("--documents", action="store_true", help="writers and readers alone, without a database")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=f"keep the result as {RESULT.name}")
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(_one(asked.only, asked.images, asked.folder)))
        return
    with tempfile.TemporaryDirectory() as own:
        result = _measured(asked.folder or own, asked.images, asked.formats, asked.documents)
    print(json.dumps(result, indent=1))
    if asked.write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


def _measured(folder: str, images: int, formats: Sequence[str], documents: bool) -> dict[str, Any]:
    """The converter is measured before and after: the machine's load changes meanwhile."""
    result: dict[str, Any] = {"images": images, "through": "writers and readers alone" if documents else "export jobs"}
    result |= {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    if not documents:
        _apart(folder, images, "build")
    converters = [_apart(folder, images, "convert")]
    for name in formats:
        written = _apart(folder, images, f"{'write' if documents else 'export'} {name}")
        result[name] = {"write": written, "read": _apart(folder, images, f"read {name}")}
        print(name, result[name], file=sys.stderr, flush=True)
    converters.append(_apart(folder, images, "convert"))
    best = max(one["instances_a_cpu_second"] for one in converters)
    for name in formats:
        for one in result[name].values():
            one["times_the_converter"] = round(one["instances_a_cpu_second"] / best, 1)
    return result | {"label-studio-sdk's converter": converters, "load_after": os.getloadavg()[0]}


def _one(what: str, images: int, folder: str) -> dict[str, float]:
    os.environ |= {"ROOST_VAR": folder, "DJANGO_SETTINGS_MODULE": "annotator.settings"}
    import django

    django.setup()
    if what == "build":
        build(images)
        return {}
    if what == "convert":
        return convert()
    act, _, name = what.partition(" ")
    documents = Path(folder, "documents", name.replace(" ", "-"))
    if act == "read":
        return read_documents(documents)
    return write_documents(name, images, documents) if act == "write" else export(name, documents)


if __name__ == "__main__":
    main()
