"""How many images of about 13 kB are stored a second: one by one, as imports did, and many at once, in one run.

    python -m bench.import_images [--images 600] [--batch 100]

Both ways end with the same: files under their hashes, held by the disk, each decoded wholly in a child process.
"""

import argparse
import io
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--batch", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(ROOST_VAR=folder, DJANGO_SETTINGS_MODULE="annotator.settings")
        _django()
        files = [_photograph(number) for number in range(2 * options.images)]
        print(f"{options.images} images of {sum(map(len, files)) / len(files) / 1000:.1f} kB, {os.cpu_count()} cores")
        _timed("one by one ", files[: options.images], _one_by_one)
        _timed("many at once", files[options.images :], lambda data: _at_once(data, options.batch))


def _django() -> None:
    import django

    django.setup()


def _photograph(number: int) -> bytes:
    """320 x 240 px with forms and grain: 13 kB at quality 75."""
    rng = np.random.default_rng(number)
    forms = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 9, (240, 320, 3))
    file = io.BytesIO()
    Image.fromarray((np.asarray(forms) + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=75)
    return file.getvalue()


def _one_by_one(files: Sequence[bytes]) -> None:
    from annotator.data.image_store import image_file_store

    for data in files:
        image_file_store(stream=io.BytesIO(data))


def _at_once(files: Sequence[bytes], batch: int) -> None:
    from annotator.data.image_store import image_files_store

    for start in range(0, len(files), batch):
        chosen = files[start : start + batch]
        image_files_store(openers=[lambda data=data: nullcontext(io.BytesIO(data)) for data in chosen])


def _timed(name: str, files: Sequence[bytes], store: Callable[[Sequence[bytes]], None]) -> None:
    from annotator.data.decoders import decoders

    store(files[:4])  # the children start
    before, started = _cpu_seconds(decoders.all), time.perf_counter()
    store(files[4:])
    wall, cpu = time.perf_counter() - started, _cpu_seconds(decoders.all) - before
    count = len(files) - 4
    each = f"{1000 * cpu / count:5.2f} ms of CPU each, {count / cpu:5.0f} a CPU second"
    print(f"{name}: {count / wall:6.0f} images/s, {each}")


def _cpu_seconds(children: Sequence) -> float:
    """This process's and its decoding children's so far."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    pids = [decoder.child.pid for decoder in children if decoder.child]
    ticks = sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for pid in pids)
    return own.ru_utime + own.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
