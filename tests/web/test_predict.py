"""`manage.py predict` against a real ML backend: a folder, zip or bucket in, SA-Co predictions out."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from pycocotools import mask as coco

from annotator.common import patience
from annotator.common.errors import JobCancelled
from annotator.data.formats import saco
from annotator.data.image_files import image_path
from annotator.data.image_store import image_add, image_file_remove, image_file_store
from annotator.data.sources import source_opened
from annotator.models import Image, Job
from annotator.predict import predictions
from annotator.predict.predictions import PredictionRequest, predictions_write
from annotator.predict.temporary_images import temporary_images_opened
from tests import factories
from tests.backend_door import backend_door
from tests.processes import PATIENCE_S, ROOT, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
DOCUMENTS = ("pairs.json", "predictions.json")


NAMES = ["B.png", "a-b/x.png", "a/x.png", "b.png", "more/1.PNG", "more/2.PNG"]


@pytest.fixture
def pictures(backend):
    """Six pictures that the backend can read, in an order that names with a dash or a capital get wrong easily."""
    return _pictures(100)


def _pictures(seed: int) -> dict[str, bytes]:
    from tests.backend.support import noisy_picture, png_bytes

    return {name: png_bytes(noisy_picture(seed + number)) for number, name in enumerate(NAMES)}


@pytest.fixture
def folder(tmp_path, pictures) -> Path:
    return _folder(tmp_path / "pictures", pictures)


def _folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def _predict(*arguments: object) -> str:
    told = io.StringIO()
    words = ("--version", "tiny", "--concepts", "chicken,duck", "--threshold", "0")
    call_command("predict", *map(str, arguments), *words, stdout=told, stderr=told)
    return told.getvalue()


def _documents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in DOCUMENTS}


def _read(out: Path, name: str):
    return json.loads((out / name).read_text())


def _stored() -> list[str]:
    """The hashes of all files in the image store; what a killed process was still taking in lies under another name."""
    files = (path for path in django_settings.IMAGES_DIR.rglob("*") if path.is_file())
    return sorted(path.name for path in files if len(path.name) == 64)


def test_every_picture_and_concept_is_a_pair_with_its_presence(folder, tmp_path):
    _predict(folder, "--out", tmp_path / "out")
    pairs = _read(tmp_path / "out", "pairs.json")["images"]
    asked = [(name, concept) for name in NAMES for concept in ("chicken", "duck")]
    assert [(pair["file_name"], pair["text_input"]) for pair in pairs] == asked
    assert [pair["id"] for pair in pairs] == list(range(1, 13))
    assert all(0 <= pair["presence"] <= 1 and (pair["width"], pair["height"]) == (160, 120) for pair in pairs)


def test_predictions_are_coco_results_in_pixels_of_the_picture(folder, tmp_path):
    _predict(folder, "--out", tmp_path / "out")
    rows = _read(tmp_path / "out", "predictions.json")
    assert len({row["image_id"] for row in rows}) == 12
    for row in rows:
        assert coco.decode(row["segmentation"]).shape == (120, 160)
        assert coco.toBbox(row["segmentation"]).tolist() == row["bbox"]
        assert 0 <= row["score"] <= 1


def test_documents_read_as_saco(folder, tmp_path):
    _predict(folder, "--out", tmp_path / "out")
    pairs, rows = (_read(tmp_path / "out", name) for name in DOCUMENTS)
    dataset = saco.read({**pairs, "annotations": rows})
    assert (dataset.problems, len(dataset.images)) == ([], 6)
    assert sum(len(image.instances) for image in dataset.images) == len(rows)


def test_same_documents_as_without_a_server(folder, tmp_path, backend):
    """`python -m mlbackend predict` asks the model itself, one picture at a time."""
    from mlbackend.__main__ import main

    _predict(folder, "--out", tmp_path / "asked")
    words = ["--version", "tiny", "--concepts", "chicken,duck", "--threshold", "0"]
    assert main(["predict", str(folder), "--out", str(tmp_path / "alone"), *words]) == 0
    asked, alone = (_read(tmp_path / name, "pairs.json")["images"] for name in ("asked", "alone"))
    assert [_without(pair, "presence") for pair in asked] == [_without(pair, "presence") for pair in alone]
    presences = zip((pair["presence"] for pair in asked), (pair["presence"] for pair in alone), strict=True)
    assert all(ours == pytest.approx(other, abs=2e-6) for ours, other in presences)
    masks = zip(*(_read(tmp_path / name, "predictions.json") for name in ("asked", "alone")), strict=True)
    assert all(ours["segmentation"] == other["segmentation"] for ours, other in masks)


def _without(row: dict, name: str) -> dict:
    return {key: value for key, value in row.items() if key != name}


def test_manifest_says_what_answered_and_adds_up(folder, tmp_path, backend):
    (folder / "notes.txt").write_text("no picture")
    _predict(folder, "--out", tmp_path / "out")
    manifest = _read(tmp_path / "out", "manifest.json")
    [row] = [row for row in backend.get("/v1/versions")["versions"] if row["version"] == "tiny"]
    assert (manifest["model_version"], manifest["weights_hash"]) == ("tiny", row["weights_hash"])
    assert (manifest["concepts"], manifest["threshold"]) == (["chicken", "duck"], 0)
    instances = len(_read(tmp_path / "out", "predictions.json"))
    counts = {"images": 6, "pairs": 12, "instances": instances, "refused": 0, "not_pictures": 1}
    assert manifest["counts"] == counts
    assert manifest["seconds"] > 0
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in _documents(tmp_path / "out").items()}
    assert manifest["sha256"] == sums


def test_picture_that_cannot_be_read_is_listed_with_the_reason(folder, tmp_path):
    (folder / "broken.jpg").write_bytes(b"no picture at all")
    told = _predict(folder, "--out", tmp_path / "out")
    [refused] = _read(tmp_path / "out", "manifest.json")["refused"]
    assert refused["file"] == "broken.jpg"
    assert "no image that Roost reads" in refused["reason"]
    assert len(_read(tmp_path / "out", "pairs.json")["images"]) == 12
    assert "1 pictures were refused" in told


def test_zip_and_bucket_give_what_the_folder_gives(folder, pictures, tmp_path, s3):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for name, content in pictures.items():
            archive.writestr(name, content)
    s3.bucket("predicted", {f"some/where/{name}": content for name, content in pictures.items()})
    for source, out in ((folder, "a"), (tmp_path / "pictures.zip", "b"), ("s3://predicted/some/where", "c")):
        _predict(source, "--out", tmp_path / out)
    assert _documents(tmp_path / "a") == _documents(tmp_path / "b") == _documents(tmp_path / "c")


def test_project_says_what_to_look_for_and_whom_to_ask(folder, tmp_path, tiny_barn):
    call_command("predict", str(folder), "--out", str(tmp_path / "out"), "--project", "barn", stdout=io.StringIO())
    manifest = _read(tmp_path / "out", "manifest.json")
    assert (manifest["model_version"], manifest["concepts"]) == ("tiny", ["chicken"])


class _Stop:
    """Progress that asks to stop after so many images."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, []

    def __call__(self, done: int, of: int, what: str, seconds_left: float | None) -> None:
        self.seen.append((done, of))
        if done >= self.after:
            raise JobCancelled("enough")


def _write(folder: Path, out: Path, on_progress, **changes) -> dict:
    request = PredictionRequest(**{"version": "tiny", "concepts": ["chicken", "duck"], "threshold": 0.0, **changes})
    with source_opened(folder) as source:
        return predictions_write(source=source, named=str(folder), request=request, out=out, on_progress=on_progress)


@pytest.fixture
def few_a_call(monkeypatch):
    monkeypatch.setattr(predictions, "IMAGES_A_CALL", 2)


def test_stopped_run_goes_on_and_gives_the_same_bytes(folder, tmp_path, few_a_call):
    _write(folder, tmp_path / "whole", lambda *args: None)
    with pytest.raises(JobCancelled):
        _write(folder, tmp_path / "halves", _Stop(4))
    assert not (tmp_path / "halves" / "manifest.json").exists()
    rest = _Stop(99)
    _write(folder, tmp_path / "halves", rest)
    assert min(done for done, _ in rest.seen) >= 4
    assert _documents(tmp_path / "halves") == _documents(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "halves").iterdir()) == sorted((*DOCUMENTS, "manifest.json"))


def test_line_that_a_power_cut_left_half_written_is_asked_for_again(folder, tmp_path, few_a_call):
    _write(folder, tmp_path / "whole", lambda *args: None)
    with pytest.raises(JobCancelled):
        _write(folder, tmp_path / "torn", _Stop(4))
    journal = tmp_path / "torn" / ".journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    _write(folder, tmp_path / "torn", lambda *args: None)
    assert _documents(tmp_path / "torn") == _documents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"version": "other"}, "other model version, weights hash"), ({"threshold": 0.4}, "other threshold")],
)
def test_half_of_another_question_is_not_gone_on_with(folder, tmp_path, few_a_call, changes, words):
    with pytest.raises(JobCancelled):
        _write(folder, tmp_path / "out", _Stop(2))
    before = (tmp_path / "out" / ".journal.jsonl").read_bytes()
    with pytest.raises(Exception, match=words):
        _write(folder, tmp_path / "out", lambda *args: None, **changes)
    assert (tmp_path / "out" / ".journal.jsonl").read_bytes() == before


def test_half_of_a_folder_that_has_changed_is_not_gone_on_with(folder, tmp_path, few_a_call):
    with pytest.raises(JobCancelled):
        _write(folder, tmp_path / "out", _Stop(2))
    (folder / "later.png").write_bytes(b"x")
    with pytest.raises(Exception, match="other files in the source"):
        _write(folder, tmp_path / "out", lambda *args: None)


def test_two_runs_never_write_to_one_folder_at_once(folder, tmp_path):
    def second(*args) -> None:
        with pytest.raises(Exception, match="Another run writes"):
            _write(folder, tmp_path / "out", lambda *args: None)
        raise JobCancelled("seen")

    with pytest.raises(JobCancelled):
        _write(folder, tmp_path / "out", second)


def test_killed_command_goes_on_and_leaves_nothing_in_the_store(tmp_path, backend):
    """SIGKILL in the middle: the next run continues, and takes out what the dead one had stored."""
    files = {f"{seed}/{name}": data for seed in (100, 300, 500) for name, data in _pictures(seed).items()}
    folder = _folder(tmp_path / "pictures", files)
    _write(folder, tmp_path / "whole", lambda *args: None)
    before = _stored()
    command = [sys.executable, "manage.py", "predict", str(folder), "--out", str(tmp_path / "out")]
    words = ["--version", "tiny", "--concepts", "chicken,duck", "--threshold", "0"]
    journal = tmp_path / "out" / ".journal.jsonl"
    is_held, is_dead = threading.Event(), threading.Event()

    def lines() -> int:
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def first_two_only(call: int) -> int:
        """Two are under way at once and come in either order; every later one waits for the kill."""
        if call <= 2:
            return 200
        is_held.set()
        is_dead.wait(PATIENCE_S)
        return 503

    with backend_door(backend.base_url, status=first_two_only) as door:
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings", "ROOST_MLBACKEND_URL": door.url}
        child = subprocess.Popen([*command, *words], cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: lines() > 1 and is_held.is_set())
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            is_dead.set()
    assert set(_stored()) > set(before)
    _predict(folder, "--out", tmp_path / "out")
    assert _documents(tmp_path / "out") == _documents(tmp_path / "whole")
    assert _stored() == before


def test_store_is_as_before_and_images_of_projects_stay(backend, tmp_path, barn):
    pictures = _pictures(200)
    folder = _folder(tmp_path / "pictures", pictures)
    kept, _ = image_add(project=barn.project, stream=io.BytesIO(pictures["b.png"]), name="b.png")
    _predict(folder, "--out", tmp_path / "out")
    assert image_path(kept.sha256).exists()
    assert not set(_stored()) & {hashlib.sha256(data).hexdigest() for data in pictures.values()} - {kept.sha256}
    assert Image.objects.count() == 1


def test_picture_that_is_imported_meanwhile_stays(barn):
    data = factories.image_bytes()
    with temporary_images_opened() as images:
        sha256 = images.store(io.BytesIO(data)).sha256
        image_add(project=barn.project, stream=io.BytesIO(data), name="a.png")
        images.remove([sha256])
    assert image_path(sha256).read_bytes() == data


def test_pictures_of_a_run_that_lives_are_left_to_it():
    with temporary_images_opened() as first:
        sha256 = first.store(io.BytesIO(factories.image_bytes())).sha256
        with temporary_images_opened():
            assert image_path(sha256).exists()
        assert image_path(sha256).exists()
    assert not image_path(sha256).exists()


def test_nothing_is_taken_out_while_an_import_runs(barn):
    """It may have found the file there, and not have written its row yet."""
    job = factories.make_job(barn.project, kind=Job.Kind.IMPORT, state=Job.State.RUNNING)
    with temporary_images_opened() as images:
        sha256 = images.store(io.BytesIO(factories.image_bytes())).sha256
        images.remove([sha256])
        assert image_path(sha256).exists()
        Job.objects.filter(pk=job.pk).update(state=Job.State.SUCCEEDED)
    assert not image_path(sha256).exists()


def test_file_that_is_wanted_by_the_time_it_is_taken_out_is_put_back():
    """An import's job that appears in between is seen: it is looked for after the file has gone."""
    data, was_there = factories.image_bytes(), []
    sha256 = image_file_store(stream=io.BytesIO(data)).sha256

    def is_wanted() -> bool:
        was_there.append(image_path(sha256).exists())
        return True

    assert not image_file_remove(sha256, is_wanted=is_wanted)
    assert was_there == [False]
    assert image_path(sha256).read_bytes() == data


def test_pictures_are_taken_out_of_a_bucket_store_too(s3, settings, folder, tmp_path):
    s3.bucket("predicted-store")
    settings.IMAGES_BUCKET = "s3://predicted-store/images"
    _predict(folder, "--out", tmp_path / "out")
    assert len(_read(tmp_path / "out", "pairs.json")["images"]) == 12
    assert s3.objects("predicted-store") == {}


def test_busy_backend_is_obeyed_and_asked_again(folder, tmp_path, backend, settings, monkeypatch):
    """429 with Retry-After, more often than any other failure would be borne."""
    monkeypatch.setattr(patience, "WAITS_SECONDS", (0.01,))
    with backend_door(backend.base_url, status=lambda call: 429 if call <= 2 else 200) as door:
        settings.MLBACKEND_URL = door.url
        _predict(folder, "--out", tmp_path / "busy")
    assert len(door.calls) == 3
    settings.MLBACKEND_URL = backend.base_url
    _predict(folder, "--out", tmp_path / "free")
    assert _documents(tmp_path / "busy") == _documents(tmp_path / "free")


def test_absent_backend_is_told_and_nothing_written(tmp_path, no_backend, monkeypatch):
    monkeypatch.setattr(patience, "WAITS_SECONDS", ())
    (tmp_path / "a.png").write_bytes(factories.image_bytes())
    with pytest.raises(CommandError, match="start it with") as caught:
        _predict(tmp_path, "--out", tmp_path / "out")
    assert "by hand" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written_to_is_told(folder, tmp_path):
    (tmp_path / "out").write_text("a file has that name")
    with pytest.raises(CommandError, match="can't be written"):
        _predict(folder, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/folder"], "no file or folder"),
        (["."], "no picture"),
        (["s3://"], "names no bucket"),
        ([".", "--threshold", "2"], "between 0 and 1"),
        ([".", "--version", "nobody"], "nobody"),
    ],
)
def test_wrong_wish_is_refused_in_words(backend, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    if "nobody" in arguments:
        (tmp_path / "a.png").write_bytes(factories.image_bytes())
    with pytest.raises(CommandError, match=words):
        call_command("predict", *arguments, "--out", str(tmp_path / "out"), "--concepts", "chicken")
    assert not (tmp_path / "out").exists()
