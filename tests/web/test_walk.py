"""From a mask to people, snapshots, runs, models and gates, and back."""

import json
import time
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotator.data.learnt import answers_learnt, people_of, reviewers_of, versions_of_answer
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshot_rows import snapshots_index
from annotator.data.snapshots import snapshot_create
from annotator.models import Annotation, Image, Pair, SecondLabel, Snapshot, SnapshotPair, Task
from annotator.queue.submissions import task_submit
from annotator.review.decisions import review_decide
from tests import factories
from tests.web.test_submit import wire_instance

API = "/api/v1"


def answered(barn, *, split="train", decision="approve", verdict="present") -> Annotation:
    """The answer that settled a pair, through the real doors of submission and review."""
    image = factories.make_image(barn.project, split=split)
    task = factories.make_task(
        barn.project, factories.make_pair(barn.project, barn.chicken, image), holder=barn.annotator
    )
    given = submitted(task, barn.annotator, verdict)
    more = {}
    if decision == "fix":
        more = {"verdict": "present", "instances": [wire_instance(factories.box_rle(1, 1, 5, 5))]}
    review = review_decide(annotation=given, reviewer=barn.reviewer, decision=decision, **more)
    return review.fixed or given


def submitted(task: Task, author, verdict: str) -> Annotation:
    instances = [wire_instance(factories.box_rle())] if verdict == "present" else []
    return task_submit(
        task=task, user=author, attempt=1, client_uuid=uuid.uuid4(), verdict=verdict, instances=instances
    )


def trained(barn, number: int = 1, decision: str = "promote", **fields):
    """A version of a run on what is approved now."""
    snapshot = snapshot_create(project=barn.project, user=barn.admin)
    version = factories.make_version(f"barn-v{number}", project=barn.project)
    run = factories.make_training_run(barn.project, snapshot=snapshot, version=version, **fields)
    factories.make_gate(run, decision)
    return version


@pytest.fixture
def reviewed_barn(db):
    return factories.make_barn(review_policy="all")


def read(snapshot: Snapshot, split: str) -> dict:
    return json.loads((snapshot_folder(snapshot) / f"{split}.json").read_text())


def test_snapshot_tells_who_gave_an_answer_who_let_it_through_and_how_each_mask_was_made(reviewed_barn):
    barn = reviewed_barn
    answer = answered(barn)
    document = read(snapshot_create(project=barn.project, user=None), "train")
    assert document["images"][0]["answer"] == {
        "annotation": answer.pk,
        "revision": 1,
        "author": barn.annotator.pk,
        "reviewer": barn.reviewer.pk,
    }
    (mask,) = document["annotations"]
    stored = answer.instances[0]
    assert (mask["origin"], mask["model_version"], mask["edited"]) == (
        stored["origin"],
        stored["model_version"],
        stored["edited"],
    )


def test_fixed_answer_is_the_reviewers_revision_of_the_first_authors_task(reviewed_barn):
    fixed = answered(reviewed_barn, decision="fix")
    (image,) = read(snapshot_create(project=reviewed_barn.project, user=None), "train")["images"]
    assert image["answer"] == {
        "annotation": fixed.pk,
        "revision": 2,
        "author": reviewed_barn.annotator.pk,
        "reviewer": reviewed_barn.reviewer.pk,
    }


def test_content_hash_sees_none_of_it(reviewed_barn):
    """The same masks as an import brought them: another history, and the same content."""
    answer = answered(reviewed_barn)
    before = snapshot_create(project=reviewed_barn.project, user=None)
    assert answer.snapshot_rows.count() == 1
    Pair.objects.update(settled_by=None, truth_source="imported")
    assert snapshot_create(project=reviewed_barn.project, user=None) == before


def test_which_models_learnt_from_an_answer_is_one_query(reviewed_barn):
    taught, judging = answered(reviewed_barn), answered(reviewed_barn, split="holdout")
    first = trained(reviewed_barn)
    later = answered(reviewed_barn)
    second = trained(reviewed_barn, 2, "reject", base_version=first)
    one, two = (version.training_run.snapshot.number for version in (first, second))
    with CaptureQueriesContext(connection) as asked:
        readers = versions_of_answer(answer=taught)
    assert len(asked) == 1
    assert [(row.version, row.snapshot, row.role, row.gate) for row in readers] == [
        ("barn-v1", one, "learnt", "promote"),
        ("barn-v2", two, "learnt", "reject"),
    ]
    assert [row.version for row in versions_of_answer(answer=later)] == ["barn-v2"]
    assert {row.role for row in versions_of_answer(answer=judging)} == {"judged by"}


def test_answer_that_was_replaced_was_learnt_by_the_earlier_model_alone(reviewed_barn):
    old = answered(reviewed_barn)
    trained(reviewed_barn)
    task = factories.make_task(reviewed_barn.project, old.pair, holder=reviewed_barn.annotator)
    new = submitted(task, reviewed_barn.annotator, "absent")
    review_decide(annotation=new, reviewer=reviewed_barn.reviewer, decision="approve")
    trained(reviewed_barn, 2)
    assert [row.version for row in versions_of_answer(answer=old)] == ["barn-v1"]
    assert [row.version for row in versions_of_answer(answer=new)] == ["barn-v2"]


def test_back_from_a_version_to_people(reviewed_barn):
    barn = reviewed_barn
    fixed, _ = answered(barn, decision="fix"), answered(barn, verdict="absent")
    factories.make_pair(barn.project, barn.chicken, truth="present", truth_source="imported")
    version = trained(barn)
    snapshot = version.training_run.snapshot
    people = {row.name: (row.pairs, row.masks) for row in people_of(snapshot=snapshot)}
    assert people == {"reviewer": (1, 1), "annotator": (1, 0), None: (1, 1)}
    assert {row.name: row.pairs for row in reviewers_of(snapshot=snapshot)} == {None: 1, "reviewer": 1}
    rows = answers_learnt(version=version)
    assert {(row["annotation"], row["author"]) for row in rows} >= {(fixed.pk, "reviewer")}


def test_snapshot_from_before_the_index_gets_the_answers_of_its_time(reviewed_barn):
    old = answered(reviewed_barn)
    snapshot = snapshot_create(project=reviewed_barn.project, user=None)
    SnapshotPair.objects.all().delete()
    Snapshot.objects.update(is_indexed=False, created_at=timezone.now())
    task = factories.make_task(reviewed_barn.project, old.pair, holder=reviewed_barn.annotator)
    new = submitted(task, reviewed_barn.annotator, "absent")
    review_decide(annotation=new, reviewer=reviewed_barn.reviewer, decision="approve")
    assert snapshots_index() == {snapshot: 1}
    assert SnapshotPair.objects.get().answer == old
    assert snapshots_index() == {}


@pytest.mark.parametrize("verdict", ["present", "absent"])
def test_second_label_that_agreed_does_not_take_the_first_ones_place(reviewed_barn, verdict):
    first = answered(reviewed_barn, split="holdout")
    lane = Task.Reason.SECOND_LABEL
    pair = Pair.objects.get(pk=first.pair_id)  # as it was settled
    task = factories.make_task(reviewed_barn.project, pair, holder=reviewed_barn.admin, lane=lane)
    SecondLabel.objects.create(task=task, is_doubted=False)
    second = submitted(task, reviewed_barn.admin, verdict)
    if verdict == "absent":
        review_decide(annotation=second, reviewer=reviewed_barn.reviewer, decision="approve")
    assert SecondLabel.objects.get().changed is (verdict == "absent")
    snapshot_create(project=reviewed_barn.project, user=None)
    SnapshotPair.objects.all().delete()
    Snapshot.objects.update(is_indexed=False, created_at=timezone.now())
    snapshots_index()
    assert SnapshotPair.objects.get().answer == (second if verdict == "absent" else first)


def test_image_page_says_who_learnt_from_it(reviewed_barn, signed_in):
    answer = answered(reviewed_barn)
    trained(reviewed_barn)
    page = signed_in(reviewed_barn.annotator).get(reverse("image", args=["barn", answer.pair.image.sha256]))
    told = " ".join(page.content.decode().split())
    assert 'Learnt by</dt><dd><a href="/p/barn/models/barn-v1/#learnt">barn-v1</a>' in told
    assert "Answered «in the image» with 1 mask; learnt by barn-v1" in told


def test_image_page_keeps_quiet_about_a_known_answer_that_is_asked_for(reviewed_barn, signed_in):
    """Otherwise who is tested would see that the pair is known."""
    answer = answered(reviewed_barn)
    trained(reviewed_barn)
    factories.make_task(reviewed_barn.project, answer.pair, lane=Task.Reason.KNOWN_ANSWER)
    page = signed_in(reviewed_barn.annotator).get(reverse("image", args=["barn", answer.pair.image.sha256]))
    assert "barn-v1" not in page.content.decode()


def test_version_page_names_people_to_reviewers_alone(reviewed_barn, signed_in):
    answered(reviewed_barn)
    trained(reviewed_barn)
    address = reverse("version", args=["barn", "barn-v1"])
    assert "<td>annotator</td>" in signed_in(reviewed_barn.reviewer).get(address).content.decode()
    assert "<td>annotator</td>" not in signed_in(reviewed_barn.annotator).get(address).content.decode()


def test_api_walks_both_ways_for_reviewers(reviewed_barn, api):
    answer = answered(reviewed_barn)
    trained(reviewed_barn)
    reviewer = api(reviewed_barn.reviewer)
    (reader,) = reviewer.get(f"{API}/annotations/{answer.pk}/models").json()
    assert (reader["version"], reader["role"], reader["run"]) == ("barn-v1", "learnt", 1)
    back = reviewer.get(f"{API}/projects/barn/models/barn-v1/learnt").json()
    assert [(row["annotation"], row["reviewer"]) for row in back["rows"]] == [(answer.pk, "reviewer")]
    assert back["people"] == [{"name": "annotator", "pairs": 1, "masks": 1}]
    assert api(reviewed_barn.annotator).get(f"{API}/annotations/{answer.pk}/models").status_code == 403


@pytest.mark.slow
def test_walk_from_an_answer_is_quick_among_100_000_pairs(reviewed_barn):
    """One query, and a fraction of a second."""
    barn = reviewed_barn
    answer = answered(barn)
    project, most = barn.project, 100_000
    images = [
        Image(project=project, sha256=f"{n:064x}", width=9, height=9, media_type="image/png", bytes=1)
        for n in range(most)
    ]
    Image.objects.bulk_create(images, batch_size=5000)
    ids = Image.objects.exclude(pk=answer.pair.image_id).values_list("pk", flat=True)
    absent = {"truth": "absent", "truth_source": "imported"}
    Pair.objects.bulk_create([Pair(project=project, image_id=pk, concept=barn.chicken, **absent) for pk in ids], 5000)
    began = time.monotonic()
    version = trained(barn)
    taken = time.monotonic() - began
    with CaptureQueriesContext(connection) as asked:
        began = time.monotonic()
        assert [row.version for row in versions_of_answer(answer=answer)] == ["barn-v1"]
        looked = time.monotonic() - began
        people_of(snapshot=version.training_run.snapshot)
        counted = time.monotonic() - began - looked
    assert len(asked) == 2
    assert SnapshotPair.objects.count() == most + 1
    print(f"snapshot {taken:.2f} s, walk {1000 * looked:.1f} ms, people {1000 * counted:.1f} ms")
    assert looked < 0.1
