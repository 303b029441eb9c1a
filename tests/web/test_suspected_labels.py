"""People against the model: its error on the random audit, labels it contradicts, two models that disagree."""

import pytest
from django.urls import reverse

from annotator.common.agreement import cohen_kappa, mean_iou, wilson_interval
from annotator.common.errors import RoostError
from annotator.models import Image, Pair, Task
from annotator.queue.candidates import candidates, tasks_withdrawable
from annotator.queue.model_errors import production_error, suspected_labels
from annotator.queue.suspected_labels import suspected_labels_queue
from tests import factories

SEEN = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "query_score": 0.95, "stability": 0.9}


def judged(barn, truth: str, score: float | None, presence: float = 0.5, **fields) -> Pair:
    """A settled pair that the serving model has looked at; `score` of its best instance, None without any."""
    pair = factories.make_pair(barn.project, truth=truth, **fields)
    found = [] if score is None else [SEEN | {"score": score}]
    factories.make_prediction(pair, max(presence, score or 0.0), found)
    return pair


def audited(barn, truth: str, score: float | None, **fields) -> None:
    fields = {"lane": Task.Reason.AUDIT, "state": Task.State.APPROVED} | fields
    factories.make_task(barn.project, judged(barn, truth, score), **fields)


def test_wilson_interval_is_the_published_one():
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: all four examples.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_kappa_is_that_of_a_table_by_hand():
    # 20 both yes, 5 and 10 mixed, 15 both no: observed 0.7, expected 0.5, kappa 0.4.
    table = [("p", "p")] * 20 + [("p", "a")] * 5 + [("a", "p")] * 10 + [("a", "a")] * 15
    assert cohen_kappa(table) == pytest.approx(0.4)
    assert cohen_kappa([("p", "p")] * 5) is None


def test_masks_are_matched_best_in_total_and_one_left_over_counts_zero():
    first, second = factories.box_rle(0, 0, 4, 4), factories.box_rle(8, 8, 12, 12)
    half = factories.box_rle(0, 0, 4, 2)
    assert mean_iou([first, second], [second, half]) == pytest.approx((1 + 0.5) / 2)
    assert mean_iou([first, second], [first]) == pytest.approx(0.5)
    assert (mean_iou([], []), mean_iou([first], [])) == (1.0, 0.0)


def test_production_error_counts_wrong_verdicts_of_approved_audits(barn):
    cases = [("present", 0.9), ("present", 0.3), ("absent", 0.6), ("absent", None)] * 3
    for truth, score in cases:
        audited(barn, truth, score)
    found = production_error(project=barn.project)
    assert (found.wrong, found.total, found.share) == (6, 12, 0.5)


@pytest.mark.parametrize(
    "fields", [{"lane": Task.Reason.BAND}, {"state": Task.State.SUBMITTED}, {"model_version": None}]
)
def test_production_error_leaves_out_what_is_no_audit_of_this_model(barn, fields):
    audited(barn, "present", 0.1, **fields)
    assert production_error(project=barn.project).total == 0


def test_audits_that_wait_for_review_count_by_their_newest_answer(barn):
    """Else a policy that reviews disagreements alone would leave the model's mistakes out for as long as they wait."""
    for said, score in (("absent", 0.9), ("absent", None), ("present", 0.9)):
        task = factories.make_task(barn.project, lane=Task.Reason.AUDIT)
        task.pair.predictions.all().delete()
        factories.make_prediction(task.pair, score or 0.1, [] if score is None else [SEEN | {"score": score}])
        factories.make_annotation(task, barn.annotator, "present", revision=1)
        factories.make_annotation(task, barn.annotator, said, revision=2)
    found = production_error(project=barn.project)
    assert (found.wrong, found.total) == (1, 3)


def test_production_error_of_few_pairs_is_no_share(barn, signed_in):
    for _ in range(9):
        audited(barn, "present", 0.1)
    assert production_error(project=barn.project).share is None
    text = signed_in(barn.annotator).get(reverse("queue-checks", args=["barn"])).content.decode()
    assert "9 of 9" in text
    assert "too few" in text


def test_production_error_is_shown_with_its_interval(barn, signed_in):
    for number in range(20):
        audited(barn, "absent", 0.9 if number < 5 else None)
    text = signed_in(barn.annotator).get(reverse("queue-checks", args=["barn"])).content.decode()
    assert "25 %" in text
    assert "11 % – 47 %" in text  # Wilson, 5 of 20: 0.112 to 0.469


def test_confident_contradictions_are_suspected_labels_and_doubts_are_none(barn):
    wrong = {judged(barn, "absent", 0.85).pk, judged(barn, "present", None, presence=0.05).pk}
    judged(barn, "absent", 0.7)
    judged(barn, "present", 0.4, presence=0.3)
    assert set(suspected_labels(project=barn.project).values_list("pair", flat=True)) == wrong


def test_drawn_truth_and_the_holdout_are_never_suspected(barn):
    judged(barn, "absent", 0.9, truth_source=Pair.TruthSource.DRAWN)
    judged(barn, "absent", 0.9, image=factories.make_image(barn.project, split=Image.Split.HOLDOUT))
    assert not suspected_labels(project=barn.project).exists()


def test_suspected_label_is_queued_with_its_reason_and_keeps_its_truth(barn):
    pair = judged(barn, "absent", 0.93)
    (task,) = suspected_labels_queue(project=barn.project, user=barn.admin)
    pair.refresh_from_db()
    assert (task.lane, task.pair, pair.truth) == ("suspect", pair, "absent")
    assert "93 %" in task.reasons[0]["words"]
    assert task not in tasks_withdrawable(project=barn.project)


def test_confirmed_label_is_not_asked_about_again_for_the_same_model(barn):
    judged(barn, "present", None, presence=0.02)
    suspected_labels_queue(project=barn.project, user=barn.admin)
    Task.objects.update(state=Task.State.APPROVED)
    with pytest.raises(RoostError, match="No label is suspected"):
        suspected_labels_queue(project=barn.project, user=barn.admin)


def test_admin_queues_suspected_labels_from_the_page(barn, signed_in):
    judged(barn, "absent", 0.93)
    address = reverse("suspects-queue", args=["barn"])
    checks = reverse("queue-checks", args=["barn"])
    assert address in signed_in(barn.admin).get(checks).content.decode()
    assert address not in signed_in(barn.annotator).get(checks).content.decode()
    signed_in(barn.admin).post(address)
    assert Task.objects.get().state == Task.State.QUEUED


def test_api_queues_suspected_labels(barn, api):
    judged(barn, "absent", 0.93)
    assert api(barn.admin).post(reverse("api-suspects", args=["barn"]), {}, format="json").json() == {"queued": 1}


def test_candidate_knows_what_the_challenger_sees(barn):
    challenger = factories.make_version("barn-v1")
    type(challenger).objects.filter(pk=challenger.pk).update(project=barn.project)
    both, one = factories.make_pair(barn.project), factories.make_pair(barn.project)
    other = SEEN | {"mask": factories.box_rle(2, 3, 8, 10)}
    for pair, version, presence, instances in (
        (both, barn.project.serving_version, 0.9, [SEEN | {"score": 0.8}]),
        (both, challenger, 0.8, [other | {"score": 0.7}]),
        (one, barn.project.serving_version, 0.1, []),
    ):
        factories.make_prediction(pair, presence, instances, model_version=version)
    found = {row.pair_id: row for row in candidates(project=barn.project, version=barn.project.serving_version)}
    assert found[both.pk].other_presence == 0.8
    assert found[both.pk].other_iou == pytest.approx(42 / 49)
    assert (found[one.pk].other_presence, found[one.pk].other_iou) == (None, None)
