"""Published data versions, with real git and real DVC: what comes out elsewhere is what went in, bit for bit."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from annotator.common.errors import ConflictError, RoostError
from annotator.data.data_checkout import NotAsPromisedError, dataset_checkout
from annotator.data.data_repository import DataRepository, tag_commit
from annotator.data.dvc import dvc_program
from annotator.data.image_files import image_path
from annotator.data.publications import publish_start
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshot_names import snapshot_describe
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run
from annotator.models import Job, Snapshot
from tests import factories

needs_dvc = pytest.mark.skipif(dvc_program() is None, reason="DVC is not installed (requirements-extras.txt)")


@pytest.fixture
def barn(transactional_db) -> factories.Barn:
    """Committed rows: a job's lease is renewed by a connection of its own."""
    return factories.make_barn()


@pytest.fixture
def places(settings, tmp_path) -> Path:
    settings.DATASETS_DIR, settings.DATA_REMOTE = tmp_path / "datasets", str(tmp_path / "remote")
    return tmp_path


def snapshot_of(barn, **words) -> Snapshot:
    for truth in ("present", "absent"):
        factories.make_pair(barn.project, truth=truth)
    return snapshot_describe(snapshot=snapshot_create(project=barn.project, user=barn.admin), user=barn.admin, **words)


def publish(snapshot: Snapshot) -> Job:
    job = publish_start(project=snapshot.project, user=None, number=snapshot.number)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.reason
    snapshot.refresh_from_db()
    return job


def sums(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@needs_dvc
def test_version_is_rebuilt_bit_for_bit_in_an_empty_folder(barn, places):
    snapshot = snapshot_of(barn, name="Baseline", tag="v1.0-baseline")
    documents = sums(snapshot_folder(snapshot))
    images = set(barn.project.images.values_list("sha256", flat=True))
    job = publish(snapshot)
    later = snapshot_of(barn)
    publish(later)

    elsewhere = places / "elsewhere"
    found = dataset_checkout(tag="v1.0-baseline", into=elsewhere, source=job.report["remote"])

    assert sums(elsewhere / "snapshot") == documents
    assert {Path(name).stem: content for name, content in sums(elsewhere / "images").items()} == {
        sha256: sha256 for sha256 in images
    }
    assert found.revision == snapshot.data_revision == job.report["revision"]
    assert found.content_hash == snapshot.content_hash
    # git and DVC by themselves, as somebody without Roost would have them.
    plain = places / "plain"
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1"}
    bundle = Path(job.report["remote"]) / "repository.bundle"
    subprocess.run(["git", "clone", "-q", "-b", "v1.0-baseline", bundle, plain], check=True, capture_output=True)
    subprocess.run([dvc_program(), "pull", "-q"], cwd=plain, check=True, env=environment)
    assert sums(plain / "images") == sums(elsewhere / "images")
    assert sums(plain / "snapshot") == documents


@needs_dvc
def test_publishing_leaves_the_image_store_alone_and_is_done_once(barn, places, monkeypatch):
    (places / "gitconfig").write_text("[user]\n\tname = Somebody\n\temail = a@b.example\n[commit]\n\tgpgsign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(places / "gitconfig"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    snapshot = snapshot_of(barn)
    before = {path: (path.stat().st_mode, path.read_bytes()) for path in stored(snapshot)}
    publish(snapshot)
    (places / "datasets" / barn.project.slug / ".git" / "index.lock").touch()  # of a worker that was killed
    first = snapshot.data_revision
    publish(snapshot)
    assert snapshot.data_revision == first
    assert {path: (path.stat().st_mode, path.read_bytes()) for path in stored(snapshot)} == before
    command = ["git", "-C", DataRepository(barn.project).folder, "log", "--format=%an %cn"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "Roost Roost\n"


def stored(snapshot: Snapshot) -> list[Path]:
    return [image_path(sha256) for sha256 in snapshot.project.images.values_list("sha256", flat=True)]


@needs_dvc
def test_tag_that_comes_later_names_the_same_commit_and_then_stays(barn, places):
    snapshot = snapshot_of(barn)
    assert publish(snapshot).report["tag"] == "snapshot-1"
    snapshot_describe(snapshot=snapshot, user=barn.admin, tag="v1.0")
    assert publish(snapshot).report["tag"] == "v1.0"
    folder = DataRepository(barn.project).folder
    assert tag_commit(folder, "v1.0") == tag_commit(folder, "snapshot-1") == snapshot.data_revision
    with pytest.raises(ConflictError, match="published tag stays"):
        snapshot_describe(snapshot=snapshot, user=barn.admin, tag="v2.0")


def speaks_s3() -> bool:
    program = dvc_program()
    return bool(program) and "\ts3 (" in subprocess.run([program, "version"], capture_output=True, text=True).stdout


def test_version_goes_to_a_bucket_and_comes_back(barn, places, settings, s3):
    if not speaks_s3():
        pytest.skip("This DVC can't reach S3; ROOST_DVC may name one that can (docs/data.md)")
    settings.DATA_REMOTE = f"s3://{s3.bucket('versions')}/roost"
    snapshot = snapshot_of(barn)
    remote = publish(snapshot).report["remote"]
    dataset_checkout(tag="snapshot-1", into=places / "out", source=remote)
    assert sums(places / "out" / "snapshot") == sums(snapshot_folder(snapshot))


@needs_dvc
def test_without_a_remote_the_version_stays_here_and_can_be_checked_out_here(barn, places, settings):
    settings.DATA_REMOTE = ""
    snapshot = snapshot_of(barn)
    assert publish(snapshot).report["remote"] == ""
    dataset_checkout(tag="snapshot-1", into=places / "out")
    assert sums(places / "out" / "snapshot") == sums(snapshot_folder(snapshot))


@needs_dvc
def test_unknown_version_and_changed_file_are_told_and_nothing_is_left(barn, places):
    job = publish(snapshot_of(barn))
    for path in (Path(job.report["remote"]) / "dvc").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(b"\x89PNG"):
            path.chmod(0o644)
            path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(RoostError, match="There are: snapshot-1"):
        dataset_checkout(tag="v9", into=places / "out", source=job.report["remote"])
    with pytest.raises((NotAsPromisedError, RoostError), match=r"SHA-256|dvc pull"):
        dataset_checkout(tag="snapshot-1", into=places / "out", source=job.report["remote"])
    assert not (places / "out").exists()


def test_checkout_never_writes_into_a_folder_that_holds_something(places):
    (places / "mine").mkdir()
    (places / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(RoostError, match=r"not empty|not installed"):
        dataset_checkout(tag="v1", into=places / "mine")
    assert json.dumps(sums(places / "mine")).count("thesis.txt") == 1


def test_without_dvc_publishing_says_what_to_install_and_snapshots_work(barn, settings):
    settings.DVC_PROGRAM = "/nowhere/dvc"
    snapshot = snapshot_of(barn)
    with pytest.raises(RoostError, match=r"requirements-extras\.txt"):
        publish_start(project=barn.project, user=barn.admin, number=snapshot.number)
