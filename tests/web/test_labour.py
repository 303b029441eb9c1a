"""What people spent: up to a snapshot, kept with it, and by round; from recorded times alone."""

from annotator.data.labour import labour_of, labour_since, labour_until, pace_of, paces_of
from annotator.data.snapshots import snapshot_create
from annotator.models import Annotation, Task
from tests import factories


def answered(barn, seconds: float, *, round_number: int = 1, image=None, concept=None, objects: int = 1, **fields):
    pair = factories.make_pair(barn.project, concept, image)
    task = factories.make_task(barn.project, pair, round=round_number, **fields)
    instances = [factories.make_instance()] * objects
    verdict = "present" if objects else "absent"
    factories.make_annotation(task, barn.annotator, verdict, instances, active_seconds=seconds)
    Task.objects.filter(pk=task.pk).update(state=Task.State.APPROVED)
    return task


def test_only_what_a_model_learns_from_anew_is_a_label(barn):
    task = answered(barn, 4.0)
    factories.make_annotation(task, barn.annotator, active_seconds=2.0)
    answered(barn, 3.0, lane="honeypot")
    answered(barn, 0.0)
    for lane in ("suspect", "incomplete"):  # asked about again
        answered(barn, 0.0, lane=lane)
    answered(barn, 0.0, image=factories.make_image(barn.project, split="holdout"))  # no model learns from it
    found = labour_of(answers=Annotation.objects.all())
    assert (found.labels, found.answers, found.timed, found.seconds) == (2, 7, 3, 9.0)


def test_snapshot_keeps_what_was_spent_when_it_was_taken(barn):
    answered(barn, 4.0)
    factories.make_pair(barn.project, truth="absent")
    snapshot = snapshot_create(project=barn.project, user=barn.admin)
    answered(barn, 5.0)
    assert snapshot.labour["seconds"] == 4.0
    until = labour_until(snapshot=snapshot)
    since = labour_since(project=barn.project, labour=until)
    assert (until.labels, since.labels, since.seconds, until.plus(since).seconds) == (1, 1, 5.0, 9.0)


def test_snapshot_without_it_is_counted_by_its_date(barn):
    answered(barn, 4.0)
    snapshot = factories.make_snapshot(barn.project)
    answered(barn, 5.0)
    assert labour_until(snapshot=snapshot).seconds == 4.0


def test_paces_are_medians_and_means_an_object_and_an_image_by_hand():
    # Tasks 1 and 2 show image 7: 2 objects in 3 + 1 s after a correction, and nothing in 2 s. Task 3 shows image 8.
    rows = [(1, 7, 3.0, 1), (1, 7, 1.0, 2), (2, 7, 2.0, 0), (3, 8, 9.0, 1), (4, 9, 0.0, 3)]
    pace = pace_of(number=1, rows=rows)
    assert (pace.answers, pace.untimed, pace.objects, pace.images) == (3, 1, 4, 2)
    assert (pace.object_median, pace.object_mean) == (2.0, 15 / 4)
    assert (pace.image_median, pace.image_mean) == (7.5, 7.5)


def test_rounds_stand_apart_and_unsettled_or_blind_answers_tell_no_pace(barn):
    image, duck = factories.make_image(barn.project), factories.make_concept(barn.project, "duck")
    answered(barn, 2.0, image=image)
    answered(barn, 4.0, image=image, concept=duck, objects=2)
    answered(barn, 8.0, round_number=2, objects=0)
    answered(barn, 30.0, round_number=2, lane="honeypot")
    factories.make_annotation(factories.make_task(barn.project, round=3), barn.annotator, active_seconds=50.0)
    first, second = paces_of(project=barn.project)
    assert (first.round, first.object_median, first.object_mean, first.image_median) == (1, 2.0, 2.0, 6.0)
    assert (second.round, second.answers, second.object_median, second.image_mean) == (2, 1, 8.0, 8.0)


def test_round_in_which_no_time_was_recorded_has_no_pace(barn):
    answered(barn, 0.0)
    [pace] = paces_of(project=barn.project)
    assert (pace.answers, pace.untimed, pace.object_median, pace.image_mean) == (0, 1, None, None)
