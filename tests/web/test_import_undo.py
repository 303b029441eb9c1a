"""Undoing an import: all of it goes but what people did since."""

import json
import uuid

import pytest
from django.urls import reverse

from annotator.common.errors import ConflictError, RoostError
from annotator.concepts.merge import concept_merge
from annotator.concepts.services import concept_add
from annotator.data.image_files import image_path
from annotator.data.import_undo import import_undo_counts, import_undo_start
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import AuditEvent, Image, Job, Pair, Task
from annotator.queue.pairs import pair_settle
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def _run(job: Job) -> Job:
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


@pytest.fixture
def imported(barn, tmp_path) -> Job:
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(factories.image_bytes(seed=number))
    rows = [{"id": n, "file_name": f"{n}.png", "width": 16, "height": 16} for n in (1, 2)]
    square = [[2, 2, 6, 2, 6, 6, 2, 6]]
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": square}]
    annotations += [{"id": 2, "image_id": 2, "category_id": 1, "bbox": [2, 2, 4, 4]}]
    categories = [{"id": 1, "name": "chicken"}, {"id": 2, "name": "tractor"}]
    document = {"images": rows, "annotations": annotations, "categories": categories}
    (tmp_path / "all.json").write_text(json.dumps(document))
    options = {"exhaustive": True, "create_concepts": True}
    return _run(import_start(project=barn.project, user=barn.admin, upload_path=tmp_path, **options))


def _undo(barn, job: Job) -> Job:
    return _run(import_undo_start(job=job, user=barn.admin))


def test_undone_import_leaves_the_project_as_it_was(barn, imported):
    hashes = list(Image.objects.values_list("sha256", flat=True))
    assert import_undo_counts(job=imported) == {"pairs": 4, "images": 2, "images_kept": 0}
    report = _undo(barn, imported).report
    assert (report["images_removed"], report["pairs_open_again"], report["concepts_removed"]) == (2, 4, ["tractor"])
    assert (Image.objects.count(), Pair.objects.count(), Task.objects.count()) == (0, 0, 0)
    assert list(barn.project.concepts.values_list("name", flat=True)) == ["chicken"]
    assert not any(image_path(sha256).exists() for sha256 in hashes)
    assert AuditEvent.objects.filter(action="import.undo").exists()


def test_box_is_queued_with_what_is_known_and_is_no_truth(barn, imported):
    pair = Pair.objects.get(image__original_name="2.png", concept=barn.chicken)
    assert (pair.truth, pair.instances[0]["coarse"]) == ("unseen", True)
    assert pair.tasks.get().lane == Task.Reason.MANUAL
    assert imported.report["pairs_sketched"] == 1


def test_what_a_person_settled_since_stays_and_is_named(barn, imported):
    pair = Pair.objects.get(image__original_name="1.png", concept=barn.chicken)
    Pair.objects.filter(pk=pair.pk).update(truth="absent", truth_source="annotated", instances=[])
    report = _undo(barn, imported).report
    assert (report["images_removed"], report["images_kept"], report["kept"]) == (1, 1, ["1.png"])
    pair.refresh_from_db()
    assert (pair.truth, pair.image.original_name) == ("absent", "1.png")


def test_pictures_that_were_here_before_stay_with_their_pairs_open_again(barn, imported, tmp_path):
    Image.objects.update(added_by_import=None)
    report = _undo(barn, imported).report
    assert (report["images_removed"], report["pairs_open_again"]) == (0, 4)
    assert set(Pair.objects.values_list("truth", flat=True)) == {"unseen"}


def test_verdicts_that_a_merge_has_moved_are_taken_back_too(barn, imported):
    Image.objects.update(added_by_import=None)
    machine = concept_add(project=barn.project, name="machine", user=barn.admin)
    tractor = barn.project.concepts.get(name="tractor")
    concept_merge(concept=tractor, into=machine, user=barn.admin)
    assert set(Pair.objects.filter(concept=machine).values_list("truth", flat=True)) == {"absent"}
    _undo(barn, imported)
    assert set(Pair.objects.values_list("truth", flat=True)) == {"unseen"}


def test_undo_is_done_once_and_only_of_an_import_that_has_ended(barn, imported):
    undone = _undo(barn, imported)
    with pytest.raises(ConflictError, match="any more"):
        import_undo_start(job=imported, user=barn.admin)
    with pytest.raises(RoostError, match="Only an import"):
        import_undo_start(job=undone, user=barn.admin)
    Job.objects.filter(pk=imported.pk).update(state="running")
    imported.refresh_from_db()
    with pytest.raises(ConflictError, match="still runs"):
        import_undo_start(job=imported, user=barn.admin)


def test_undone_import_says_so_on_its_page_and_in_the_audit_with_a_way_to_both(barn, imported, signed_in):
    undone = _undo(barn, imported)
    client = signed_in(barn.admin)
    page = client.get(reverse("job", args=["barn", imported.pk])).content.decode()
    assert ("Undone since" in page, reverse("job", args=["barn", undone.pk]) in page) == (True, True)
    audit = client.get(reverse("audit", args=["barn"])).content.decode()
    for job in (imported, undone):
        assert f'href="{reverse("job", args=["barn", job.pk])}"' in audit


def test_undo_killed_half_way_goes_on(barn, imported):
    job = import_undo_start(job=imported, user=barn.admin)
    Pair.objects.filter(image__original_name="1.png").update(truth="unseen", truth_source="", settled_by_import=None)
    Image.objects.filter(original_name="2.png").delete()
    assert _run(job).report["images_removed"] == 1
    assert Image.objects.count() == 0


def test_desk_begins_with_the_box_and_the_box_is_no_answer(barn, imported, client):
    task = Pair.objects.get(image__original_name="2.png", concept=barn.chicken).tasks.get()
    client.force_login(barn.annotator)
    claimed = client.post("/api/v1/projects/barn/claim", {}, content_type="application/json").json()
    assert claimed["id"] == task.pk
    [known] = claimed["begin_with"]
    assert (known["mask"]["crop_xywh"], known["origin"]) == ([2, 2, 4, 4], "drawn")
    answer = {"attempt": claimed["attempt"], "client_uuid": str(uuid.uuid4()), "verdict": "present"}
    address = f"/api/v1/tasks/{task.pk}/submit"
    refused = client.post(address, {**answer, "instances": [known]}, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "still_a_box")
    drawn = {**known, "mask": {"size": [16, 16], "crop_xywh": [2, 2, 2, 1], "counts": "02"}}
    taken = client.post(address, {**answer, "instances": [drawn]}, content_type="application/json")
    assert taken.status_code < 300, taken.json()


def test_vouching_later_is_told_and_undone_with_its_import(barn, tmp_path):
    """A wrong "every object is outlined" would let the gate count pairs in which objects are missing."""
    (tmp_path / "1.png").write_bytes(factories.image_bytes(seed=1))
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]]}
    row = {"id": 1, "file_name": "1.png", "width": 16, "height": 16}
    document = {"images": [row], "annotations": [annotation], "categories": [{"id": 1, "name": "chicken"}]}
    (tmp_path / "all.json").write_text(json.dumps(document))
    options = {"project": barn.project, "user": barn.admin, "upload_path": tmp_path}
    first = _run(import_start(**options))
    vouching = _run(import_start(**options, complete=True))
    told = ("pairs_settled", "pairs_completed", "pairs_as_before")
    assert [vouching.report[key] for key in told] == [0, 1, 0]
    assert Pair.objects.get().is_exhaustive
    assert _undo(barn, vouching).report["pairs_not_vouched"] == 1
    pair = Pair.objects.get()
    assert (pair.truth, pair.is_exhaustive, pair.settled_by_import) == ("present", False, first)
    with pytest.raises(ConflictError, match="Nothing of this import"):
        import_undo_start(job=vouching, user=barn.admin)


def test_person_s_verdict_names_no_import_that_vouched(barn):
    job = factories.make_job(barn.project, kind="import", state="succeeded")
    pair = factories.make_pair(barn.project, truth="present", truth_source="imported", vouched_by_import=job)
    task = factories.make_task(barn.project, pair)
    pair_settle(annotation=factories.make_annotation(task, barn.annotator))
    pair.refresh_from_db()
    assert (pair.truth_source, pair.vouched_by_import) == ("annotated", None)
