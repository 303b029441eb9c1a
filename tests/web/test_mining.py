"""Mining with a real ML backend: what is scored, what is queued, and what a second run does."""

import pytest

from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.runner import job_run
from annotator.models import Draft, Image, ModelVersion, Pair, Prediction, Task
from annotator.queue.candidates import candidates
from annotator.queue.mining import mining_start
from tests import factories
from tests.backend_door import backend_door

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def farm(tiny_barn, picture) -> factories.Barn:
    """Four pictures, a pair each; one is holdout, one is settled."""
    images = [picture(tiny_barn.project, seed) for seed in range(1, 4)]
    held_out = picture(tiny_barn.project, 9, split=Image.Split.HOLDOUT)
    for image in [*images, held_out]:
        factories.make_pair(tiny_barn.project, image=image)
    Pair.objects.filter(image=images[2]).update(truth=Pair.Truth.ABSENT)
    return tiny_barn


def mine(barn, **options):
    job = mining_start(project=barn.project, user=barn.admin, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


def test_every_unseen_pair_outside_the_holdout_is_scored_and_queued(farm):
    job = mine(farm)
    assert job.report["scored"] == Prediction.objects.count() == 2
    assert sum(job.report["queued"].values()) == 2
    assert sum(job.report["histogram"]["counts"]) == 2
    tasks = Task.objects.all()
    assert {task.pair.truth for task in tasks} == {"unseen"}
    assert all(task.reasons[0]["words"] and task.round == 1 for task in tasks)
    assert all(task.price_seconds >= 1 for task in tasks)


def test_prediction_keeps_presence_masks_and_feature(farm):
    mine(farm)
    row = Prediction.objects.first()
    assert 0 <= row.presence <= 1
    assert len(row.feature) > 0
    assert row.taught is True
    assert all(one["mask"]["size"] == [120, 160] for one in row.instances)
    assert row.query_scores == [pytest.approx(one["query_score"], abs=1e-4) for one in row.instances]


@pytest.mark.parametrize("kept", [True, False])
def test_every_score_of_a_full_picture_counts_also_of_rows_that_do_not_keep_them_apart(barn, kept):
    scores = [0.9] * 40 + [0.5] * 10
    instances = [{"query_score": score, "stability": 1.0} for score in scores]
    pair = factories.make_pair(barn.project)
    factories.make_prediction(pair, 0.5, instances, query_scores=scores if kept else None)
    (found,) = candidates(project=barn.project, version=barn.project.serving_version)
    assert list(found.scores) == scores


def test_mining_again_scores_nothing_twice_and_queues_no_pair_twice(farm):
    mine(farm)
    again = mine(farm)
    assert (again.report["scored"], again.report["skipped"]) == (0, 2)
    assert Task.objects.filter(state=Task.State.QUEUED).count() == 2
    assert Task.objects.filter(state=Task.State.WITHDRAWN).count() == 2


def test_work_in_hand_is_left_alone(farm, picture):
    mine(farm)
    held, begun = Task.objects.all()
    Task.objects.filter(pk=held.pk).update(state="submitted", author=farm.annotator)
    Draft.objects.create(task=begun, user=farm.annotator, payload={"half": "done"})
    factories.make_pair(farm.project, image=picture(farm.project, 5))
    mine(farm)
    assert list(Task.objects.values_list("state", flat=True).order_by("pk")) == ["submitted", "queued", "queued"]


def test_new_version_scores_all_again(farm):
    mine(farm)
    farm.project.serving_version = factories.make_version("other")
    farm.project.save()
    assert mine(farm).report["scored"] == 2
    assert {task.model_version.name for task in Task.objects.filter(state="queued")} == {"other"}


def test_image_whose_file_is_gone_is_reported_and_the_rest_is_mined(farm):
    lost = Image.objects.exclude(split=Image.Split.HOLDOUT).first()
    Image.objects.filter(pk=lost.pk).update(sha256="e" * 64)
    job = mine(farm)
    assert job.report["scored"] == 1
    assert [row["image"] for row in job.report["failed"]] == [lost.original_name]


def test_settled_pairs_are_scored_on_request_and_none_of_them_is_queued(farm):
    job = mine(farm, settled=True)
    assert job.report["scored"] == 3
    assert Prediction.objects.filter(pair__truth=Pair.Truth.ABSENT).count() == 1
    assert {task.pair.truth for task in Task.objects.all()} == {"unseen"}


def test_known_answers_are_mixed_in_as_the_serving_model_sees_them(farm):
    farm.project.honeypot_share, farm.project.mine_batch = 0.1, 10
    farm.project.save()
    Pair.objects.filter(truth="absent").update(truth_source=Pair.TruthSource.ANNOTATED)
    mine(farm)
    known = Task.objects.get(lane=Task.Reason.KNOWN_ANSWER)
    assert (known.model_version.name, known.pair.truth) == ("tiny", "absent")
    assert known.pair.predictions.get().model_version == known.model_version


def test_challenger_is_asked_on_request(farm):
    factories.make_version("other")
    ModelVersion.objects.filter(name="other").update(project=farm.project)
    assert mine(farm, challenger=True).report["challenger_scored"] == 2
    assert Prediction.objects.filter(model_version__name="other").count() == 2


def test_challenger_that_does_not_exist_is_refused(farm):
    with pytest.raises(RoostError, match="no challenger"):
        mining_start(project=farm.project, user=farm.admin, challenger=True)


def test_second_mining_at_once_is_refused(farm):
    mining_start(project=farm.project, user=farm.admin)
    with pytest.raises(ConflictError) as caught:
        mining_start(project=farm.project, user=farm.admin)
    assert caught.value.code == "already_running"


def test_nothing_unseen_is_said_at_once(barn):
    with pytest.raises(RoostError, match="nothing to mine"):
        mining_start(project=barn.project, user=barn.admin)


def test_absent_backend_fails_the_job_with_its_sentence_and_queues_nothing(farm, no_backend, monkeypatch):
    monkeypatch.setattr("annotator.common.patience.WAITS_SECONDS", (0.01,))
    job = mining_start(project=farm.project, user=farm.admin)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert "start it with" in job.reason
    assert not Task.objects.exists()


def test_full_backend_is_asked_again_as_often_as_it_says_so(farm, backend, settings, monkeypatch):
    """429 with Retry-After twice, where any other trouble would be borne once."""
    monkeypatch.setattr("annotator.common.patience.WAITS_SECONDS", (0.01,))
    with backend_door(backend.base_url, status=lambda call: 429 if call <= 2 else 200) as door:
        settings.MLBACKEND_URL = door.url
        assert mine(farm).report["scored"] == 2
    assert len(door.calls) == 3


def test_a_calibrated_and_a_shipped_version_of_the_same_weights_agree(barn):
    told = {"presence_calibration": {"temperature": 0.25}}
    challenger = factories.make_version("barn-v2", project=barn.project, metrics=told)
    pair = factories.make_pair(barn.project)
    factories.make_prediction(pair, 0.6)
    # Odds of 1.5 to the power of 1 / 0.25: 5.0625.
    factories.make_prediction(pair, 5.0625 / 6.0625, model_version=challenger)
    (found,) = candidates(project=barn.project, version=barn.project.serving_version)
    assert found.other_presence == pytest.approx(0.6)
