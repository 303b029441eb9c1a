"""What a snapshot holds, and that equal approved work gives an equal snapshot."""

import json

import pytest

from annotator.common.errors import RoostError
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_create, snapshot_start
from annotator.jobs.runner import job_run
from annotator.models import Image, Pair, Snapshot
from tests import factories
from training.dataset import Snapshot as TrainerSnapshot


def take(barn) -> Snapshot:
    return snapshot_create(project=barn.project, user=barn.admin)


def document(snapshot: Snapshot, split: str = "train") -> dict:
    return json.loads((snapshot_folder(snapshot) / f"{split}.json").read_text())


def present(barn, **fields) -> Pair:
    return factories.make_pair(barn.project, truth="present", **fields)


def absent(barn, **fields) -> Pair:
    return factories.make_pair(barn.project, truth="absent", **fields)


def test_positive_and_explicit_negative_are_both_in_and_unseen_is_not(barn):
    positive, negative = present(barn), absent(barn)
    factories.make_pair(barn.project)
    content = document(take(barn))
    ids = {row["file_name"]: row["id"] for row in content["images"]}
    assert set(ids) == {positive.image.sha256, negative.image.sha256}
    assert [row["image_id"] for row in content["annotations"]] == [ids[positive.image.sha256]]


def test_rows_are_what_the_contract_says(barn):
    # The factory's box covers columns 2-8 and rows 3-9 of 16 x 16.
    pair = present(barn, round=2)
    content = document(take(barn))
    assert content["images"][0] == {
        "id": 1,
        "file_name": pair.image.sha256,
        "text_input": "chicken",
        "width": 16,
        "height": 16,
        "queried_category": "1",
        "is_instance_exhaustive": 1,
        "is_pixel_exhaustive": 1,
        "source": "",
        "truth": "annotated",
        "round": 2,
        "scene": pair.image.scene or pair.image.sha256,
    }
    assert content["annotations"][0]["bbox"] == [2 / 16, 3 / 16, 7 / 16, 7 / 16]
    assert content["annotations"][0]["area"] == 49 / 256
    assert content["annotations"][0]["segmentation"] == factories.box_rle()
    assert content["categories"] == [{"id": 1, "name": "object"}]


def test_splits_go_to_their_own_documents_with_counts(barn):
    present(barn)
    absent(barn, image=factories.make_image(barn.project, split=Image.Split.HOLDOUT))
    present(barn, image=factories.make_image(barn.project, split=Image.Split.VAL))
    snapshot = take(barn)
    assert [len(document(snapshot, split)["images"]) for split in ("train", "val", "test", "holdout")] == [1, 1, 0, 1]
    assert snapshot.counts["holdout"] == {
        "pairs": 1,
        "positives": 0,
        "negatives": 1,
        "instances": 0,
        "not_exhaustive": 0,
        "without_masks": 0,
        "pseudo": 0,
    }


def test_same_approved_work_gives_the_same_snapshot(barn):
    present(barn), absent(barn)
    assert take(barn) == take(barn)
    assert Snapshot.objects.count() == 1


def test_same_hash_on_another_machine_with_the_rows_in_another_order(barn, settings, tmp_path):
    pairs = [present(barn), absent(barn), present(barn)]
    first = take(barn)
    first_bytes = (snapshot_folder(first) / "train.json").read_bytes()
    Snapshot.objects.all().delete()
    for pair in reversed(pairs):
        pair.save()
    settings.SNAPSHOTS_DIR = tmp_path
    second = take(barn)
    assert second.content_hash == first.content_hash
    assert (snapshot_folder(second) / "train.json").read_bytes() == first_bytes


def test_one_more_approved_pair_is_another_snapshot_and_the_old_one_stays(barn):
    present(barn)
    first = take(barn)
    before = (snapshot_folder(first) / "train.json").read_bytes()
    absent(barn)
    second = take(barn)
    assert (second.number, second.content_hash != first.content_hash) == (2, True)
    assert (snapshot_folder(first) / "train.json").read_bytes() == before


def test_trainer_reads_what_was_written(barn):
    present(barn), absent(barn)
    snapshot = take(barn)
    read = TrainerSnapshot(snapshot_folder(snapshot))
    assert read.hash == snapshot.content_hash
    assert sorted(pair.is_positive for pair in read.split("train").pairs) == [False, True]


def test_nothing_half_written_is_left_behind(barn, settings, tmp_path):
    settings.SNAPSHOTS_DIR = tmp_path / "snapshots"
    present(barn)
    snapshot = take(barn)
    assert [path.name for path in settings.SNAPSHOTS_DIR.iterdir()] == [barn.project.slug]
    assert [path.name for path in (settings.SNAPSHOTS_DIR / barn.project.slug).iterdir()] == [snapshot.content_hash]


def test_nothing_approved_is_refused_with_what_to_do(barn):
    factories.make_pair(barn.project)
    with pytest.raises(RoostError, match="Nothing is approved"):
        snapshot_start(project=barn.project, user=barn.admin)


@pytest.mark.django_db(transaction=True)
def test_snapshot_job_reports_its_number():
    barn = factories.make_barn()
    present(barn)
    job = snapshot_start(project=barn.project, user=barn.admin)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.report["snapshot"]) == ("succeeded", 1)
