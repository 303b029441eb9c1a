"""Pairs that the model is sure of as pseudo-labels: only where the audit bears them out, only to learn from, marked."""

import json

import numpy as np
import pytest
from django.urls import reverse

from annotator.common.agreement import clopper_upper
from annotator.data.export_rows import settled_of
from annotator.data.formats.saco import read as read_saco
from annotator.data.pseudo_labels import pseudo_bound, pseudo_pairs
from annotator.data.snapshot_difference import snapshot_difference
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_create
from annotator.models import Pair, SnapshotPair, Task
from tests import factories
from training.dataset import Snapshot as TrainerSnapshot

MASK = factories.box_rle()
HERE, ELSEWHERE, FAR = ([1, 0, 0], [0, 1, 0], [0, 0, 1])
# Of 14 audited answers without a fault 1 - 0.05 ** (1 / 14) = 19.3 % may be wrong, of 13 more than 20 %.
ENOUGH, ALLOWED = 14, 0.2


def seen(pair: Pair, presence: float, *, look=HERE, query: float = 0.95, stability: float | None = 0.9) -> Pair:
    found = {"mask": MASK, "box": [2, 3, 9, 10], "query_score": query, "score": query * presence, "stability": 0.9}
    instances = [found] if presence > 0.5 else []
    fields = {"feature": np.array(look, np.float16).tobytes(), "min_stability": stability if instances else None}
    factories.make_prediction(pair, presence, instances, **fields)
    return pair


def audit(barn, truth: str = "present", presence: float = 0.99, mask=MASK, **fields) -> None:
    instances = [factories.make_instance(mask)] if truth == "present" else []
    image = factories.make_image(barn.project, split=fields.pop("split", "train"))
    pair = factories.make_pair(barn.project, image=image, truth=truth, instances=instances)
    lane = {"lane": Task.Reason.AUDIT, "state": Task.State.APPROVED}
    factories.make_task(barn.project, seen(pair, presence, **fields), predicted=False, **lane)


def unseen(barn, presence: float, *, split: str = "train", **fields) -> Pair:
    image = factories.make_image(barn.project, split=split)
    return seen(factories.make_pair(barn.project, image=image), presence, **fields)


@pytest.fixture
def sure_barn(barn):
    """Audited without a fault, half of it absent, and pseudo-labels wanted."""
    barn.project.pseudo_labels, barn.project.pseudo_error = True, ALLOWED
    barn.project.save()
    for number in range(1, ENOUGH):
        audit(barn, *(("present", 0.99) if number % 2 else ("absent", 0.01)))
    audit(barn, "absent", 0.01, look=FAR)  # likeness is told by how looks differ from the middle of several
    return barn


def taken(barn) -> list[str]:
    """The images whose pairs would enter."""
    return [one.sha256 for one in pseudo_pairs(project=barn.project)]


def test_upper_bound_of_no_fault_is_the_closed_form():
    assert clopper_upper(0, 299) == pytest.approx(1 - 0.05 ** (1 / 299), abs=1e-8)
    assert clopper_upper(0, 298) > 0.01 > clopper_upper(0, 299)
    # One of ten: R's binom.test(1, 10, alternative = "less") gives 0.3941633.
    assert clopper_upper(1, 10) == pytest.approx(0.3941633, abs=1e-6)
    assert (clopper_upper(0, 0), clopper_upper(3, 3)) == (1.0, 1.0)


def test_sure_pairs_that_look_like_rightly_audited_ones_enter(sure_barn):
    wanted = {unseen(sure_barn, 0.985).image.sha256, unseen(sure_barn, 0.015).image.sha256}
    assert set(taken(sure_barn)) == wanted


@pytest.mark.parametrize(
    "fields",
    [
        {"presence": 0.97},
        {"presence": 0.03},
        {"presence": 0.99, "split": "val"},
        {"presence": 0.99, "split": "test"},
        {"presence": 0.01, "split": "holdout"},
        {"presence": 0.99, "look": ELSEWHERE},
        {"presence": 0.99, "query": 0.6},
        {"presence": 0.99, "stability": 0.4},
        {"presence": 0.99, "stability": None},
    ],
)
def test_pair_that_is_in_doubt_or_looks_otherwise_or_is_not_to_learn_from_stays_out(sure_barn, fields):
    unseen(sure_barn, **fields)
    assert taken(sure_barn) == []


def test_pair_that_somebody_is_asked_about_stays_out(sure_barn):
    factories.make_task(sure_barn.project, unseen(sure_barn, 0.99), predicted=False)
    assert taken(sure_barn) == []


def test_nothing_enters_unless_it_is_wanted_and_the_audit_bears_it_out(sure_barn):
    unseen(sure_barn, 0.99)
    assert pseudo_bound(project=sure_barn.project).is_met
    sure_barn.project.pseudo_error = 0.19
    assert taken(sure_barn) == []
    sure_barn.project.pseudo_error, sure_barn.project.pseudo_labels = ALLOWED, False
    assert taken(sure_barn) == []


@pytest.mark.parametrize(
    "wrong", [{"truth": "absent"}, {"truth": "present", "presence": 0.01}, {"mask": factories.box_rle(10, 10, 14, 14)}]
)
def test_a_wrong_answer_or_outline_of_the_audit_counts_against_them(sure_barn, wrong):
    unseen(sure_barn, 0.99)
    audit(sure_barn, **wrong)
    found = pseudo_bound(project=sure_barn.project)
    assert (found.wrong, found.total, found.is_met) == (1, ENOUGH + 1, False)
    assert taken(sure_barn) == []


def test_looks_that_the_model_had_wrong_stay_out_where_the_bound_is_met(sure_barn):
    for _ in range(40):
        audit(sure_barn)
    audit(sure_barn, "absent", 0.99, look=ELSEWHERE)
    unseen(sure_barn, 0.99, look=ELSEWHERE)
    assert pseudo_bound(project=sure_barn.project).is_met
    assert taken(sure_barn) == []


def test_snapshot_marks_them_counts_them_apart_and_the_trainer_reads_them(sure_barn):
    there, absent = unseen(sure_barn, 0.99), unseen(sure_barn, 0.01)
    snapshot = snapshot_create(project=sure_barn.project, user=None)
    assert snapshot.counts["train"]["pairs"] == ENOUGH
    assert {split: counts["pseudo"] for split, counts in snapshot.counts.items()} == {
        "train": 2,
        "val": 0,
        "test": 0,
        "holdout": 0,
    }
    document = json.loads((snapshot_folder(snapshot) / "train.json").read_bytes())
    rows = {row["id"]: row for row in document["images"] if row["truth"] == "pseudo"}
    assert {row["file_name"] for row in rows.values()} == {there.image.sha256, absent.image.sha256}
    marks = [row for row in document["annotations"] if row["image_id"] in rows]
    assert [(row["origin"], row["model_version"]) for row in marks] == [("pseudo", "demo")]
    read = {pair.image: pair for pair in TrainerSnapshot(snapshot_folder(snapshot)).split("train").trainable}
    assert read[there.image.sha256].is_positive
    assert not read[there.image.sha256].is_exhaustive, "nobody vouches that the model found all"
    assert read[absent.image.sha256].is_negative
    indexed = SnapshotPair.objects.filter(snapshot=snapshot, pair__in=[there, absent])
    assert not indexed.exists(), "no answer of a person is behind them"
    assert set(Pair.objects.filter(pk__in=[there.pk, absent.pk]).values_list("truth", flat=True)) == {"unseen"}


def test_same_pair_settled_by_a_person_is_another_content(sure_barn):
    absent = unseen(sure_barn, 0.01)
    before = snapshot_create(project=sure_barn.project, user=None)
    Pair.objects.filter(pk=absent.pk).update(truth="absent")
    after = snapshot_create(project=sure_barn.project, user=None)
    found = snapshot_difference(before=before, after=after)
    assert found.aspects == {"whether a person settled it": 1}


def test_export_of_a_snapshot_leaves_them_out_and_counts_them(sure_barn):
    pseudo = unseen(sure_barn, 0.99)
    source = settled_of(
        project=sure_barn.project, snapshot=snapshot_create(project=sure_barn.project, user=None).number
    )
    images = [one.sha256 for one in source.images(lambda done, of: None)]
    assert len(images) == ENOUGH
    assert pseudo.image.sha256 not in images
    assert source.pseudo == 1


def test_import_of_a_snapshot_s_document_takes_none_of_them_for_truth(sure_barn):
    there, absent = unseen(sure_barn, 0.99), unseen(sure_barn, 0.01)
    snapshot = snapshot_create(project=sure_barn.project, user=None)
    found = read_saco(json.loads((snapshot_folder(snapshot) / "train.json").read_bytes()))
    mine = [one for one in found.images if one.file_name in (there.image.sha256, absent.image.sha256)]
    assert [(one.instances, one.absent, one.unsure) for one in mine] == [([], [], {"chicken"})] * 2
    assert len([one for one in found.problems if "nobody vouches" in one.why]) == 2


def test_pages_of_snapshots_tell_of_them_and_of_the_bound(sure_barn, signed_in):
    unseen(sure_barn, 0.99)
    snapshot = snapshot_create(project=sure_barn.project, user=None)
    browser = signed_in(sure_barn.annotator)
    page = browser.get(reverse("snapshot", args=["barn", snapshot.number])).content.decode()
    assert "Besides, 1 pseudo-label in the train split" in page
    page = browser.get(reverse("snapshots", args=["barn"])).content.decode()
    assert "0 of 14 sure answers of the audit were wrong, so at most 19.3 %; 20 % is allowed: the next" in page
