"""What a killed worker left: gone with the job's next attempt, or after a day; what is being written stays."""

import os
import time

import pytest

from annotator.data.leftovers import unfinished_expire
from annotator.jobs.downloads import download_written

DAY_SECONDS = 86_400


@pytest.fixture(autouse=True)
def folders_of_its_own(settings, tmp_path) -> None:
    settings.EXPORTS_DIR, settings.SNAPSHOTS_DIR = tmp_path / "exports", tmp_path / "snapshots"
    (settings.EXPORTS_DIR).mkdir()
    (settings.SNAPSHOTS_DIR / "barn").mkdir(parents=True)


def _aged(path, days: float) -> None:
    then = time.time() - days * DAY_SECONDS
    os.utime(path, (then, then))


def test_next_attempt_takes_away_what_the_killed_one_left(settings):
    """Seen by hand: `kill -9` in an export left 7 MB beside the export that came after."""
    left = settings.EXPORTS_DIR / f".barn-1-coco.zip.{'0' * 32}.tmp"
    other = settings.EXPORTS_DIR / f".barn-2-coco.zip.{'0' * 32}.tmp"
    for path in (left, other):
        path.write_bytes(b"half")
    with download_written(name="barn-1-coco.zip") as archive:
        archive.writestr("a", b"a")
    assert sorted(os.listdir(settings.EXPORTS_DIR)) == [other.name, "barn-1-coco.zip"]


def test_half_written_files_and_snapshots_go_after_a_day(settings):
    snapshot = settings.SNAPSHOTS_DIR / "barn" / f".{'a' * 64}.{'0' * 32}.tmp"
    snapshot.mkdir()
    (snapshot / "train.json").write_text("{")
    export, whole = settings.EXPORTS_DIR / ".object.tmp", settings.EXPORTS_DIR / "barn-1-coco.zip"
    for path in (export, whole):
        path.write_bytes(b"half")
        _aged(path, 2)
    _aged(snapshot, 2)
    assert (unfinished_expire(), export.exists(), whole.exists()) == (1, False, True)
    assert snapshot.exists(), "a file in it was written just now"
    _aged(snapshot / "train.json", 2)
    assert (unfinished_expire(), snapshot.exists()) == (1, False)
