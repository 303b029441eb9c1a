"""What a project looks for changes: renamed, retired, brought back, two made one; nothing that people said is lost."""

import pytest
from django.db.models import Q

from annotator.common.errors import ConflictError, RoostError
from annotator.concepts.merge import concept_merge
from annotator.concepts.selectors import merge_plan
from annotator.concepts.services import concept_add, concept_rename, concept_restore, concept_retire
from annotator.data.exports import export_start
from annotator.data.import_truth import concept_map
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshots import snapshot_create
from annotator.home.overview import project_counts
from annotator.models import Annotation, AuditEvent, Job, Pair, Prediction, Task
from annotator.queue.candidates import pairs_to_mine
from annotator.review.decisions import review_decide
from tests import factories

HEN, CHICKEN = factories.box_rle(1, 1, 6, 6), factories.box_rle(8, 8, 14, 14)
Truth, State = Pair.Truth, Task.State


@pytest.fixture
def hen(barn):
    return factories.make_concept(barn.project, "hen")


@pytest.fixture
def image_known(barn, hen):
    """`image_known("present", "absent")`: an image with the truths of hen and chicken; the chicken's pair."""

    def make(of_hen: str, of_chicken: str, **fields) -> Pair:
        image = factories.make_image(barn.project)
        masks = {
            name: [factories.make_instance(rle, origin="imported")] if truth == "present" else []
            for name, truth, rle in (("hen", of_hen, HEN), ("chicken", of_chicken, CHICKEN))
        }
        factories.make_pair(barn.project, hen, image, truth=of_hen, instances=masks["hen"], round=3)
        more = {"truth": of_chicken, "instances": masks["chicken"], **fields}
        return factories.make_pair(barn.project, barn.chicken, image, **more)

    return make


def masks_of(row) -> list:
    return [one["mask"] for one in row.instances]


def merge(barn, hen):
    return concept_merge(concept=hen, into=barn.chicken, user=barn.admin)


def test_renamed_concept_keeps_its_row_number_and_truth(barn):
    pair = factories.make_pair(barn.project, truth="present")
    concept_rename(concept=barn.chicken, user=barn.admin, name="  Laying  Hen ")
    pair.concept.refresh_from_db()
    assert (pair.concept.name, pair.concept.category_id) == ("laying hen", 1)
    assert pair.concept.synonyms == ["chicken"]
    assert pair.truth == Truth.PRESENT
    assert AuditEvent.objects.filter(action="concept.rename", details__was="chicken").exists()


def test_rename_asks_the_model_again_where_nobody_worked_with_its_answer(barn):
    fresh, answered, held = (factories.make_pair(barn.project) for _ in range(3))
    factories.make_task(barn.project, fresh)
    factories.make_annotation(factories.make_task(barn.project, answered), barn.annotator)
    factories.make_task(barn.project, held, holder=barn.annotator)
    assert concept_rename(concept=barn.chicken, user=barn.admin, name="hen") == 1
    assert set(Prediction.objects.values_list("pair", flat=True)) == {answered.pk, held.pk}
    assert fresh.tasks.get().state == State.WITHDRAWN


def test_rename_can_leave_scores_and_synonyms_alone(barn):
    factories.make_prediction(factories.make_pair(barn.project))
    concept_rename(concept=barn.chicken, user=barn.admin, name="hen", keep_synonym=False, ask_again=False)
    barn.chicken.refresh_from_db()
    assert barn.chicken.synonyms == []
    assert Prediction.objects.count() == 1


@pytest.mark.parametrize("name", ["hen", "chicken", " ", "x" * 81])
def test_name_that_is_taken_empty_or_too_long_is_refused(barn, hen, name):
    with pytest.raises(RoostError):
        concept_rename(concept=barn.chicken, user=barn.admin, name=name)
    barn.chicken.refresh_from_db()
    assert barn.chicken.name == "chicken"


def test_concepts_stay_while_a_job_runs(barn, hen):
    factories.make_job(barn.project, Job.Kind.MINE, state=Job.State.RUNNING)
    for change in (
        lambda: concept_rename(concept=hen, user=barn.admin, name="duck"),
        lambda: concept_retire(concept=hen, user=barn.admin),
        lambda: merge(barn, hen),
    ):
        with pytest.raises(ConflictError, match="A job is under way"):
            change()
    hen.refresh_from_db()
    assert (hen.name, hen.retired_at) == ("hen", None)


def test_retired_concept_leaves_queue_mining_counts_and_snapshots(barn, hen):
    waiting = factories.make_task(barn.project, factories.make_pair(barn.project, hen))
    held = factories.make_task(barn.project, factories.make_pair(barn.project, hen), holder=barn.annotator)
    factories.make_pair(barn.project, hen, truth="present")
    kept = factories.make_pair(barn.project, barn.chicken, truth="present")
    assert concept_retire(concept=hen, user=barn.admin) == 1
    assert [Task.objects.get(pk=task.pk).state for task in (waiting, held)] == [State.WITHDRAWN, State.CLAIMED]
    assert not pairs_to_mine(project=barn.project).filter(concept=hen).exists()
    counts = project_counts(project=barn.project, user=barn.admin)
    assert (counts.present, counts.unseen) == (1, 0)
    folder = snapshot_folder(snapshot_create(project=barn.project, user=barn.admin))
    assert f'"id":{kept.pk},' in (folder / "train.json").read_text()
    assert '"hen"' not in (folder / "train.json").read_text()


def test_export_takes_retired_concepts_when_asked(barn, hen):
    factories.make_pair(barn.project, hen, truth="absent")
    concept_retire(concept=hen, user=barn.admin)
    with pytest.raises(RoostError, match="nothing to export"):
        export_start(project=barn.project, user=barn.admin)
    assert export_start(project=barn.project, user=barn.admin, with_retired=True).params["with_retired"] is True


def test_retired_name_is_neither_imported_nor_added_again(barn, hen):
    from annotator.data.formats.records import Category

    concept_retire(concept=hen, user=barn.admin)
    found = concept_map(project=barn.project, categories=[Category(1, "Hen")], create=True, user=barn.admin)
    assert (found.by_category, found.undecided) == ({}, ["Hen"])
    with pytest.raises(RoostError, match="bring it back"):
        concept_add(project=barn.project, name="hen", user=barn.admin)


def test_brought_back_concept_is_asked_for_in_images_that_came_meanwhile(barn, hen):
    concept_retire(concept=hen, user=barn.admin)
    factories.make_image(barn.project)
    hen.refresh_from_db()
    assert concept_restore(concept=hen, user=barn.admin) == 1
    assert pairs_to_mine(project=barn.project).filter(concept=hen).count() == 1


def test_merge_moves_what_is_known_under_the_old_name_alone(barn, hen, image_known):
    seen, ruled_out = image_known("present", "unseen"), image_known("absent", "unseen")
    plan = merge(barn, hen)
    seen.refresh_from_db()
    ruled_out.refresh_from_db()
    assert (seen.truth, masks_of(seen), seen.round) == (Truth.PRESENT, [HEN], 3)
    assert ruled_out.truth == Truth.ABSENT
    assert (plan.moved, plan.together, plan.conflicts) == (2, 0, 0)
    assert not Task.objects.exists()


def test_merge_leaves_what_both_or_only_the_new_name_say(barn, hen, image_known):
    both, own = image_known("absent", "absent"), image_known("unseen", "present")
    merge(barn, hen)
    both.refresh_from_db()
    own.refresh_from_db()
    assert (both.truth, own.truth, masks_of(own)) == (Truth.ABSENT, Truth.PRESENT, [CHICKEN])
    assert not Task.objects.exists()


def test_objects_drawn_under_both_names_wait_for_review_together(barn, hen, image_known):
    pair = image_known("present", "present")
    same = image_known("present", "present", instances=[factories.make_instance(HEN)])
    merge(barn, hen)
    answers = {one.pair_id: one for one in Annotation.objects.filter(task__state=State.SUBMITTED)}
    assert masks_of(answers[pair.pk]) == [CHICKEN, HEN]
    assert masks_of(answers[same.pk]) == [HEN]
    pair.refresh_from_db()
    assert pair.truth == Truth.UNSEEN
    review_decide(annotation=answers[pair.pk], reviewer=barn.reviewer, decision="approve")
    pair.refresh_from_db()
    assert (pair.truth, len(pair.instances)) == (Truth.PRESENT, 2)


@pytest.mark.parametrize(("of_hen", "of_chicken", "kept"), [("present", "absent", 0), ("absent", "present", 1)])
def test_contradiction_goes_back_into_the_queue_and_no_mask_is_lost(barn, hen, image_known, of_hen, of_chicken, kept):
    pair = image_known(of_hen, of_chicken, truth_source=Pair.TruthSource.IMPORTED)
    merge(barn, hen)
    pair.refresh_from_db()
    task = pair.tasks.get(state=State.QUEUED)
    assert (pair.truth, task.lane) == (Truth.UNSEEN, Task.Reason.MANUAL)
    assert "the two are one now" in task.reasons[0]["words"]
    assert [masks_of(one) for one in Annotation.objects.filter(pair=pair)] == [[CHICKEN]] * kept
    known = Pair.objects.filter(Q(concept=hen) & ~Q(truth=Truth.UNSEEN)).get()
    assert (known.truth, masks_of(known)) == (of_hen, [HEN] if of_hen == "present" else [])


def test_merged_name_is_retired_with_its_number_and_found_by_imports(barn, hen, image_known):
    image_known("present", "unseen")
    merge(barn, hen)
    hen.refresh_from_db()
    barn.chicken.refresh_from_db()
    assert (hen.merged_into, hen.category_id, barn.chicken.synonyms) == (barn.chicken, 2, ["hen"])
    assert hen.retired_at is not None
    with pytest.raises(ConflictError, match="became «chicken»"):
        concept_restore(concept=hen, user=barn.admin)
    details = AuditEvent.objects.get(action="concept.merge").details
    assert (details["into"], details["moved"]) == ("chicken", 1)


def test_merge_waits_for_work_in_hand_and_changes_nothing(barn, hen, image_known):
    pair = image_known("present", "unseen")
    queued = factories.make_task(barn.project, factories.make_pair(barn.project, hen))
    factories.make_annotation(factories.make_task(barn.project, pair), barn.annotator)
    assert merge_plan(concept=hen, into=barn.chicken).in_hand == 1
    with pytest.raises(ConflictError, match="1 tasks of these images"):
        merge(barn, hen)
    queued.refresh_from_db()
    assert queued.state == State.QUEUED
    hen.refresh_from_db()
    assert hen.retired_at is None


def test_snapshot_taken_before_a_merge_stays_as_it_was(barn, hen, image_known):
    image_known("present", "present")
    snapshot = snapshot_create(project=barn.project, user=barn.admin)
    before = (snapshot_folder(snapshot) / "train.json").read_bytes()
    merge(barn, hen)
    assert (snapshot_folder(snapshot) / "train.json").read_bytes() == before


def test_api_previews_a_merge_and_then_does_it(barn, hen, image_known, api):
    image_known("present", "unseen")
    address = f"/api/v1/projects/barn/concepts/{hen.pk}/merge"
    body = {"into": barn.chicken.pk}
    plan = {"moved": 1, "together": 0, "conflicts": 0, "queued": 0, "in_hand": 0}
    assert api(barn.admin).post(address, body | {"preview": True}, format="json").json() == plan
    hen.refresh_from_db()
    assert hen.retired_at is None
    assert api(barn.admin).post(address, body, format="json").json() == plan
    listed = {row["name"]: row for row in api(barn.annotator).get("/api/v1/projects/barn/concepts/").json()}
    assert (listed["hen"]["merged_into"], listed["hen"]["category_id"]) == (barn.chicken.pk, 2)
    assert listed["chicken"]["synonyms"] == ["hen"]


def test_api_renames_retires_and_brings_back(barn, hen, api):
    def post(action: str, body: dict | None = None):
        return api(barn.admin).post(f"/api/v1/projects/barn/concepts/{hen.pk}/{action}", body or {}, format="json")

    assert post("rename", {"name": "duck"}).json()["name"] == "duck"
    assert post("rename", {"name": "chicken"}).status_code == 400
    assert post("retire").json()["retired_at"]
    assert post("retire").json()["error"]["code"] == "retired"
    assert post("restore").json()["retired_at"] is None


def test_merge_leaves_alone_the_work_that_it_does_not_touch(barn, hen, image_known):
    image_known("absent", "absent")
    suspected = factories.make_task(barn.project, image_known("absent", "absent"), lane=Task.Reason.SUSPECTED_LABEL)
    held = factories.make_task(barn.project, image_known("unseen", "unseen"), holder=barn.annotator)
    void = factories.make_task(barn.project, image_known("present", "unseen"))
    merge(barn, hen)
    states = [Task.objects.get(pk=task.pk).state for task in (suspected, held, void)]
    assert states == [State.QUEUED, State.CLAIMED, State.WITHDRAWN]
