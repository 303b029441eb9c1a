"""How many images of about 13 kB come in a second, and what of the CPU's time each takes, in one run.

    python -m bench.import_images [--images 2000] [--write] [--profile FILE]

The store alone, one by one and many at once; then whole imports as the job does them: a folder of pictures, and one
with a COCO document of three outlined objects a picture. All end with the same: files under their hashes, held by the
disk, each decoded wholly in a child process. CPU time is that of this process and of all its children, user and system.
Other work on the machine slows the images a second; much less the CPU time, which says what two idle cores would do.
"""

import argparse
import cProfile
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RESULT = Path(__file__).parent / "results" / "import.json"
WARM_UP, BATCH, OBJECTS = 8, 100, 3
WIDTH_PX, HEIGHT_PX = 320, 240


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(ROOST_VAR=f"{folder}/var", DJANGO_SETTINGS_MODULE="annotator.settings")
        Path(folder, "var").mkdir()
        _django()
        files = [_photograph(number) for number in range(4 * options.images + WARM_UP)]
        parts = [files[WARM_UP + n * options.images :][: options.images] for n in range(4)]
        _at_once(files[:WARM_UP])  # the children start
        rows = [_timed("the store, one by one", parts[0], _one_by_one, "")]
        rows.append(_timed("the store, many at once", parts[1], _at_once, ""))
        for name, part, document in (("pictures", parts[2], False), ("pictures and COCO", parts[3], True)):
            source = _folder(Path(folder, name), part, document)
            rows.append(
                _timed(f"whole import, {name}", part, lambda _, source=source: _import(source), options.profile)
            )
        conditions = _conditions(files, options.images)
    print(json.dumps(conditions))
    if options.write:
        RESULT.write_text(json.dumps(conditions | {"ways": rows}, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="keep the figures in bench/results/import.json")
    parser.add_argument("--profile", default="", help="write cProfile's figures of the whole imports below this name")
    return parser.parse_args()


def _conditions(files: Sequence[bytes], images: int) -> dict[str, Any]:
    size = round(sum(map(len, files)) / len(files) / 1000, 1)
    load = round(os.getloadavg()[0], 1)
    return {"images_each": images, "kilobytes": size, "load_average": load, "cores": os.cpu_count()}


def _django() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _photograph(number: int) -> bytes:
    """320 x 240 px with forms and grain: 13 kB at quality 75."""
    rng = np.random.default_rng(number)
    forms = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (WIDTH_PX, HEIGHT_PX), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 9, (HEIGHT_PX, WIDTH_PX, 3))
    file = io.BytesIO()
    Image.fromarray((np.asarray(forms) + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=75)
    return file.getvalue()


def _folder(folder: Path, files: Sequence[bytes], with_document: bool) -> Path:
    folder.mkdir()
    for number, data in enumerate(files):
        (folder / f"{number:06d}.jpg").write_bytes(data)
    if with_document:
        (folder / "_annotations.coco.json").write_text(json.dumps(_document(len(files))))
    return folder


def _document(images: int) -> dict[str, Any]:
    """Three outlines of twelve corners a picture, of two classes."""
    size = {"width": WIDTH_PX, "height": HEIGHT_PX}
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    outlines = [
        np.stack([80 + 70 * n + 30 * np.cos(angles), 120 + 40 * np.sin(angles)], 1).ravel() for n in range(OBJECTS)
    ]
    rows = [
        {"image_id": number, "category_id": n % 2, "segmentation": [outlines[n].round(1).tolist()]}
        for number in range(images)
        for n in range(OBJECTS)
    ]
    listed = [{"id": number, "file_name": f"{number:06d}.jpg", **size} for number in range(images)]
    names = [{"id": 0, "name": "chicken"}, {"id": 1, "name": "feeder"}]
    return {"images": listed, "annotations": [{"id": n, **row} for n, row in enumerate(rows)], "categories": names}


def _one_by_one(files: Sequence[bytes]) -> None:
    from annotator.data.image_store import image_file_store

    for data in files:
        image_file_store(stream=io.BytesIO(data))


def _at_once(files: Sequence[bytes]) -> None:
    from annotator.data.image_store import image_files_store

    for start in range(0, len(files), BATCH):
        chosen = files[start : start + BATCH]
        image_files_store(openers=[lambda data=data: nullcontext(io.BytesIO(data)) for data in chosen])


def _import(source: Path) -> None:
    """Into a new project of two concepts."""
    from annotator.data.imports import import_start
    from annotator.home.services import project_create
    from annotator.jobs.runner import job_run

    project = project_create(name=f"Bench of {source.name}", concepts=["chicken", "feeder"], user=_person())
    job = import_start(project=project, user=None, upload_path=source, complete=True)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    assert job.report["images_refused"] == 0, job.report


def _person() -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.get_or_create(username="bench")[0]


def _timed(name: str, files: Sequence[bytes], work: Callable[[Sequence[bytes]], None], profile: str) -> dict[str, Any]:
    from annotator.data.decoders import decoders

    profiler = cProfile.Profile()
    before, started = _cpu_seconds(decoders.all), time.perf_counter()
    if profile:
        profiler.enable()
    work(files)
    if profile:
        profiler.disable()
        profiler.dump_stats(f"{profile}.{name.replace(' ', '-').replace(',', '')}")
    wall, after = time.perf_counter() - started, _cpu_seconds(decoders.all)
    own, children = (1000 * (late - early) / len(files) for early, late in zip(before, after, strict=True))
    speed, idle = len(files) / wall, 2000 / (own + children)
    print(
        f"{name:36} {speed:5.0f} images/s; CPU {own + children:5.2f} ms each ({own:.2f} here, {children:.2f} decoding)",
        file=sys.stderr,
    )
    figures = {"images_a_second": speed, "own_cpu_ms": own, "children_cpu_ms": children, "cpu_ms": own + children}
    return (
        {"way": name} | {key: round(value, 2) for key, value in figures.items()} | {"by_cpu_of_two_cores": round(idle)}
    )


def _cpu_seconds(children: Sequence) -> tuple[float, float]:
    """This process's and its decoding children's so far, user and system."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    pids = [decoder.child.pid for decoder in children if decoder.child]
    ticks = sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for pid in pids)
    return own.ru_utime + own.ru_stime, ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
