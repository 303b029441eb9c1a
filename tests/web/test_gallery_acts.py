"""What is done to many images at once: the rows after it, what is left alone and told, and the way back."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from annotator.common.active import pairs_active
from annotator.common.errors import ConflictError, RoostError
from annotator.data import bulk_actions
from annotator.data.bulk_actions import bulk_act, bulk_undo
from annotator.data.image_files import image_path
from annotator.data.image_filter import ImageFilter
from annotator.data.image_store import image_add
from annotator.data.snapshots import snapshot_create
from annotator.data.trash import KEPT, trash_empty, trash_page
from annotator.jobs.runner import job_run
from annotator.models import AuditEvent, BulkAction, Draft, Image, Job, Pair, Project, Task
from annotator.queue.candidates import pairs_to_mine
from annotator.review.decisions import review_decide
from tests import factories


def act(barn, kind, *pairs, user=None, **fields):
    fields.setdefault("seen_at", timezone.now())
    if "wanted" not in fields and "sha256s" not in fields:
        fields["sha256s"] = [pair.image.sha256 for pair in pairs]
    return bulk_act(project=barn.project, user=user or barn.admin, kind=kind, **fields)


def reread(pair) -> Pair:
    return Pair.objects.get(pk=pair.pk)


def by_policy(barn) -> None:
    """Answers need no review here."""
    barn.project.review_policy, barn.project.review_share = Project.ReviewPolicy.SAMPLE, 0.0
    barn.project.save()


def test_marking_absent_waits_for_review_as_the_desks_answer_does(barn):
    pair = factories.make_pair(barn.project)
    action = act(barn, "absent", pair, concept=barn.chicken.pk, user=barn.reviewer)
    task = pair.tasks.get()
    answer = task.annotations.get()
    assert (action.done, task.state, task.lane) == (1, "submitted", "manual")
    assert (answer.verdict, answer.author, answer.instances) == ("absent", barn.reviewer, [])
    assert reread(pair).truth == "unseen"
    with pytest.raises(RoostError, match="your own work"):
        review_decide(annotation=answer, reviewer=barn.reviewer, decision="approve")
    review_decide(annotation=answer, reviewer=barn.admin, decision="approve")
    assert (reread(pair).truth, reread(pair).truth_source) == ("absent", "annotated")
    assert set(AuditEvent.objects.values_list("action", flat=True)) >= {"task.submit", "images.absent"}


def test_marking_absent_settles_where_the_policy_asks_for_no_review(barn):
    by_policy(barn)
    waiting = factories.make_task(barn.project)
    action = act(barn, "absent", waiting.pair, concept=barn.chicken.pk)
    assert reread(waiting.pair).truth == "absent"
    waiting.refresh_from_db()
    assert (waiting.state, waiting.author) == ("approved", barn.admin)
    assert bulk_undo(action=action, user=barn.admin) == (1, 0)
    assert (reread(waiting.pair).truth, reread(waiting.pair).settled_at) == ("unseen", None)
    assert waiting.annotations.count() == 1
    assert list(pairs_to_mine(project=barn.project)) == [waiting.pair]


def test_marking_absent_touches_no_settled_pair_and_nobodys_work(barn):
    by_policy(barn)
    there = factories.make_pair(barn.project, truth="present")
    held = factories.make_task(barn.project, holder=barn.annotator).pair
    begun = factories.make_task(barn.project)
    Draft.objects.create(task=begun, user=barn.annotator)
    kept = factories.make_task(barn.project, assignee=barn.annotator).pair
    known = factories.make_task(barn.project, factories.make_pair(barn.project, truth="absent"), lane="honeypot").pair
    pairs = [there, held, begun.pair, kept, known]
    action = act(barn, "absent", *pairs, concept=barn.chicken.pk)
    assert (action.done, action.skipped) == (0, {"settled_present": 1, "in_work": 4})
    assert [reread(pair).truth for pair in pairs] == ["present", "unseen", "unseen", "unseen", "absent"]


def test_what_somebody_did_after_the_selection_is_left_and_told(barn):
    seen_at = timezone.now() - timedelta(minutes=5)
    settled = factories.make_pair(barn.project, truth="absent")
    for kind in ("reopen", "delete"):
        action = act(barn, kind, settled, seen_at=seen_at)
        assert (action.done, action.skipped) == (0, {"newer": 1})
    assert not settled.tasks.exists()
    assert Image.objects.filter(pk=settled.image_id).exists()


def test_undo_leaves_what_a_reviewer_has_decided_since(barn):
    pair = factories.make_pair(barn.project)
    action = act(barn, "absent", pair, concept=barn.chicken.pk, user=barn.reviewer)
    review_decide(annotation=pair.annotations.get(), reviewer=barn.admin, decision="approve")
    assert bulk_undo(action=action, user=barn.reviewer) == (0, 1)
    assert reread(pair).truth == "absent"


def test_queue_by_hand_asks_for_the_unseen_and_undo_takes_back_what_nobody_began(barn):
    first, second = factories.make_pair(barn.project), factories.make_pair(barn.project)
    settled = factories.make_pair(barn.project, truth="present")
    action = act(barn, "queue", first, second, settled, user=barn.reviewer)
    assert (action.done, action.skipped) == (2, {"settled": 1})
    tasks = Task.objects.order_by("pair_id")
    assert [(task.pair, task.lane, task.state) for task in tasks] == [
        (first, "manual", "queued"),
        (second, "manual", "queued"),
    ]
    Draft.objects.create(task=tasks[0], user=barn.annotator)
    assert bulk_undo(action=action, user=barn.reviewer) == (1, 1)
    assert list(Task.objects.order_by("pair_id").values_list("state", flat=True)) == ["queued", "withdrawn"]


def test_asking_again_keeps_the_truth_until_a_new_answer_is_approved(barn):
    imported = factories.make_pair(barn.project, truth="present", truth_source="imported", is_exhaustive=False)
    action = act(barn, "reopen", imported, factories.make_pair(barn.project))
    assert (action.done, action.skipped) == (1, {"unseen": 1})
    assert reread(imported).truth == "present"
    answer = factories.make_annotation(imported.tasks.get(), barn.annotator, "absent")
    review_decide(annotation=answer, reviewer=barn.reviewer, decision="approve")
    pair = reread(imported)
    assert (pair.truth, pair.truth_source, pair.is_exhaustive) == ("absent", "annotated", True)


def test_on_the_holdout_tasks_by_hand_show_no_proposals(barn):
    pair = factories.make_pair(barn.project, image=factories.make_image(barn.project, split="holdout"))
    factories.make_prediction(pair)
    act(barn, "queue", pair)
    assert pair.tasks.get().model_version is None


def test_moved_split_comes_back(barn):
    train, val = (
        factories.make_pair(barn.project, image=factories.make_image(barn.project, split=s)) for s in ("train", "val")
    )
    action = act(barn, "split", train, val, split="val")
    assert (action.done, action.skipped) == (1, {"same_split": 1})
    assert set(Image.objects.values_list("split", flat=True)) == {"val"}
    assert bulk_undo(action=action, user=barn.admin) == (1, 0)
    assert Image.objects.get(pk=train.image_id).split == "train"


def test_deleted_images_are_nowhere_and_come_back_whole(barn):
    task = factories.make_task(barn.project)
    settled = factories.make_pair(barn.project, truth="present")
    action = act(barn, "delete", task.pair, settled)
    assert (action.done, barn.project.images.count()) == (2, 0)
    assert not pairs_active(project=barn.project).exists()
    assert not pairs_to_mine(project=barn.project).exists()
    task.refresh_from_db()
    assert task.state == "withdrawn"
    with pytest.raises(RoostError, match="Nothing is approved"):
        snapshot_create(project=barn.project, user=None)
    assert [row.pk for row in trash_page(project=barn.project)[0]] == [settled.image_id, task.pair.image_id]
    assert bulk_undo(action=action, user=barn.admin) == (2, 0)
    task.refresh_from_db()
    assert (task.state, barn.project.images.count(), reread(settled).truth) == ("queued", 2, "present")


def test_image_in_somebodys_hands_is_not_deleted(barn):
    task = factories.make_task(barn.project, holder=barn.annotator)
    action = act(barn, "delete", task.pair)
    assert (action.done, action.skipped, barn.project.images.count()) == (0, {"in_work": 1}, 1)


def test_image_that_is_imported_again_comes_out_of_the_trash_with_new_concepts(barn):
    pair = factories.make_pair(barn.project, truth="present")
    act(barn, "delete", pair)
    duck = factories.make_concept(barn.project, "duck")
    with image_path(pair.image.sha256).open("rb") as stream:
        row, is_new = image_add(project=barn.project, stream=stream, name="again.png")
    assert (row.pk, is_new, barn.project.images.count()) == (pair.image_id, False, 1)
    assert {one.concept: one.truth for one in row.pairs.all()} == {barn.chicken: "present", duck: "unseen"}


def test_trash_is_emptied_after_thirty_days_but_for_what_a_snapshot_names_and_others_use(barn):
    named = factories.make_pair(barn.project, truth="present")
    snapshot_create(project=barn.project, user=None)
    shared, gone, young = (factories.make_pair(barn.project) for _ in range(3))
    answer = factories.make_annotation(factories.make_task(barn.project, gone), barn.annotator)
    review_decide(annotation=answer, reviewer=barn.reviewer, decision="fix", verdict="absent", instances=[])
    other = factories.make_project()
    Image.objects.create(project=other, sha256=shared.image.sha256, width=1, height=1, bytes=1, media_type="image/png")
    act(barn, "delete", named, shared, gone, young)
    due = [pair.image_id for pair in (named, shared, gone)]
    Image.with_trash.filter(pk__in=due).update(removed_at=timezone.now() - KEPT - timedelta(hours=1))
    assert trash_empty() == 2
    left = set(Image.with_trash.filter(project=barn.project).values_list("pk", flat=True))
    assert left == {named.image_id, young.image_id}
    kept = {pair: image_path(pair.image.sha256).exists() for pair in (named, shared, gone, young)}
    assert kept == {named: True, shared: True, gone: False, young: True}


def test_all_found_is_a_job_that_skips_what_the_filter_leaves_out(barn, monkeypatch):
    monkeypatch.setattr(bulk_actions, "AT_ONCE", 2)
    pairs = [factories.make_pair(barn.project) for _ in range(5)]
    factories.make_pair(barn.project, image=factories.make_image(barn.project, split="val"))
    job = act(barn, "queue", wanted=ImageFilter(split="train"))
    assert isinstance(job, Job)
    assert job_run(job_id=job.pk)
    action = BulkAction.objects.get()
    assert (action.job, action.done) == (job, 5)
    assert {task.pair for task in Task.objects.all()} == set(pairs)
    undoing = bulk_undo(action=action, user=barn.admin)
    assert job_run(job_id=undoing.pk)
    undoing.refresh_from_db()
    assert (undoing.state, undoing.report) == ("succeeded", {"undone": 5, "left": 0})


def test_nothing_is_undone_twice(barn):
    action = act(barn, "queue", factories.make_pair(barn.project))
    bulk_undo(action=action, user=barn.admin)
    action.refresh_from_db()
    with pytest.raises(ConflictError, match="already"):
        bulk_undo(action=action, user=barn.admin)


@pytest.mark.parametrize(
    ("role", "may"),
    [("annotator", set()), ("reviewer", {"absent", "queue", "reopen"}), ("admin", set(BulkAction.Kind.values))],
)
def test_each_role_does_what_it_may(barn, role, may):
    done = set()
    for kind in BulkAction.Kind.values:
        pair = factories.make_pair(barn.project)
        try:
            act(barn, kind, pair, user=getattr(barn, role), concept=barn.chicken.pk, split="val")
        except PermissionDenied:
            continue
        done.add(kind)
    assert done == may


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "absent"}, "Say which concept"),
        ({"kind": "queue", "concept": 999}, "no such concept"),
        ({"kind": "split", "split": "moon"}, "Choose the split"),
        ({"kind": "burn"}, "no such act"),
        ({"kind": "queue", "sha256s": []}, "No image is selected"),
    ],
)
def test_wrong_request_changes_nothing_and_says_why(barn, fields, sentence):
    pair = factories.make_pair(barn.project)
    with pytest.raises(RoostError, match=sentence):
        bulk_act(
            **{"project": barn.project, "user": barn.admin, "seen_at": timezone.now(), "sha256s": [pair.image.sha256]}
            | fields
        )
    assert not Task.objects.exists()
    assert not BulkAction.objects.exists()


def test_images_of_another_project_are_not_touched(barn):
    other = factories.make_pair(factories.make_project())
    with pytest.raises(RoostError, match="No image is selected"):
        act(barn, "delete", other)
    assert Image.objects.filter(pk=other.image_id).exists()
