"""Frames of a settled scene: which are offered, what a confirmation stores, and what it leaves alone."""

import multiprocessing

import numpy as np
import pytest
from django.db import connections
from django.urls import reverse

from annotator.models import Annotation, AuditEvent, Image, Pair, Project, Task
from annotator.queue.drafts import draft_save
from annotator.queue.frames.alike import boxes_match, features_alike, looks_alike
from annotator.queue.frames.confirming import Shown, frames_confirm
from annotator.queue.frames.offered import frames_offered
from annotator.queue.leases import task_claim, task_reopen
from annotator.review.decisions import review_decide
from tests import factories
from tests.processes import PATIENCE_S

PAGE, LINK = reverse("frames", args=["barn"]), reverse("frames-link", args=["barn"])
API = reverse("api-frames", args=["barn"])
# 7 x 7 boxes: one px aside both ways they share 36 of 62 px (IoU 0.58), two aside 25 of 73 (0.34).
BOX, NUDGED, MOVED, OTHER = (2, 3, 9, 10), (3, 4, 10, 11), (4, 5, 11, 12), (11, 11, 15, 15)
# To (1, 0) a cosine of 0.995, and of 0.95.
SAME, NEAR, APART = (1.0, 0.0), (0.995, 0.1), (0.95, 0.3122)


def seen(pair, boxes=(BOX,), presence=0.7, feature=SAME, **fields):
    """The serving model's prediction: these boxes, each by its own outline."""
    rows = [
        {"mask": factories.box_rle(*box), "box": list(box), "score": 0.6, "query_score": 0.9, "stability": 0.9}
        for box in boxes
    ]
    return factories.make_prediction(pair, presence, rows, feature=np.float16(feature).tobytes(), **fields)


def settled(barn, boxes=(BOX,), *, approved=True, author=None, presence=0.7, edited=False, **fields) -> Pair:
    """A pair of scene «yard» whose proposals were accepted, or that was said to be absent where there are none."""
    pair = factories.make_pair(barn.project, image=factories.make_image(barn.project, scene="yard", **fields))
    prediction = seen(pair, boxes, presence)
    taken = [factories.make_instance(one["mask"], origin="proposal", edited=edited) for one in prediction.instances]
    task = factories.make_task(barn.project, pair)
    answer = factories.make_annotation(task, author or barn.annotator, "present" if boxes else "absent", taken)
    if approved:
        review_decide(annotation=answer, reviewer=barn.reviewer, decision="approve")
    return pair


def frame(barn, boxes=(BOX,), *, scene="yard", split="train", presence=0.7, feature=NEAR, look="") -> Pair:
    image = factories.make_image(barn.project, scene=scene, split=split, look=look)
    pair = factories.make_pair(barn.project, image=image)
    seen(pair, boxes, presence, feature)
    return pair


def offered(barn, user=None) -> list[int]:
    return [one.pair.pk for one in frames_offered(project=barn.project, user=user or barn.annotator)[0]]


def confirm(barn, *pairs, user=None, seconds=0.0):
    found = {one.pair.pk: one for one in frames_offered(project=barn.project, user=user or barn.annotator)[0]}
    shown = [Shown(found[pair.pk].prediction.pk, found[pair.pk].verdict) for pair in pairs]
    return frames_confirm(project=barn.project, user=user or barn.annotator, frames=shown, active_seconds=seconds)


def test_frames_of_a_settled_scene_are_offered_queued_or_not(barn):
    settled(barn)
    unqueued, queued = frame(barn), frame(barn, (NUDGED,))
    factories.make_task(barn.project, queued)
    assert offered(barn) == [unqueued.pk, queued.pk]


def test_absence_is_offered_where_the_model_sees_none_either(barn):
    settled(barn, (), presence=0.3)
    quiet, _loud = frame(barn, (), presence=0.2), frame(barn, (), presence=0.55)
    assert offered(barn) == [quiet.pk]


@pytest.mark.parametrize(
    "other",
    [
        {"scene": "field"},
        {"scene": ""},
        {"feature": APART},
        {"boxes": (MOVED,)},
        {"boxes": (BOX, OTHER)},
        {"boxes": ()},
        {"split": "holdout"},
        {"split": "val"},
    ],
)
def test_what_differs_is_not_offered(barn, other):
    settled(barn)
    frame(barn, **other)
    assert offered(barn) == []


@pytest.mark.parametrize("doubt", [{"approved": False}, {"edited": True}, {"split": "holdout"}])
def test_answer_that_is_open_or_was_corrected_or_judges_models_is_passed_on_to_none(barn, doubt):
    settled(barn, **doubt)
    frame(barn, split=doubt.get("split", "train"))
    assert offered(barn) == []


def test_nothing_is_offered_where_frames_that_look_the_same_were_answered_otherwise(barn):
    settled(barn)
    settled(barn, (), presence=0.3)
    frame(barn)
    assert offered(barn) == []


def test_where_no_version_has_seen_both_the_looks_decide(barn):
    pair = settled(barn, look="00000000000000ff")
    near, _far = frame(barn, look="000000000000ffff"), frame(barn, look="ffffffff000000ff")
    assert offered(barn) != [near.pk]  # by the features both are alike
    Image.objects.filter(pk=near.image_id).update(look="0000000000003fff")  # 6 bits
    pair.predictions.update(model_version=factories.make_version("older"))
    assert offered(barn) == [near.pk]


@pytest.mark.parametrize("lane", ["audit", "manual", "label_studio", "honeypot"])
def test_what_was_queued_for_a_person_s_own_look_is_not_offered(barn, lane):
    settled(barn)
    factories.make_task(barn.project, frame(barn), lane=lane)
    assert offered(barn) == []


def test_what_somebody_has_in_hand_is_not_offered(barn):
    settled(barn)
    held, drafted, kept = (frame(barn) for _ in range(3))
    factories.make_task(barn.project, held, holder=barn.reviewer)
    draft_save(task=factories.make_task(barn.project, drafted), user=barn.reviewer, version=0, payload={})
    factories.make_task(barn.project, kept, assignee=barn.reviewer)
    assert offered(barn) == []


def test_double_is_answered_twice(barn):
    settled(barn)
    first = factories.make_task(barn.project, frame(barn))
    Task.objects.create(project=barn.project, pair=first.pair, lane="band", blind=1, twin_of=first)
    assert offered(barn) == []


def test_settled_answers_stay_secret_from_whoever_may_be_tested_with_them(barn):
    barn.project.honeypot_share = 0.1
    barn.project.save()
    settled(barn, author=barn.admin)
    pair = frame(barn)
    assert (offered(barn), offered(barn, barn.reviewer)) == ([], [pair.pk])


def test_confirmation_is_an_answer_of_that_person_with_its_origin(barn):
    source = settled(barn)
    unqueued, queued = frame(barn, (NUDGED,)), frame(barn)
    task = factories.make_task(barn.project, queued)
    outcomes = confirm(barn, unqueued, queued, user=barn.reviewer, seconds=5.0)
    first, second = Annotation.objects.filter(pair__in=[unqueued, queued]).order_by("pair")
    assert [(one.confirmed, one.annotation) for one in outcomes] == [(True, first.pk), (True, second.pk)]
    assert (first.author, first.verdict, first.revision, first.active_seconds) == (barn.reviewer, "present", 1, 2.5)
    (instance,) = first.instances
    assert instance["mask"] == factories.box_rle(*NUDGED)
    assert (instance["origin"], instance["model_version"], instance["edited"]) == ("proposal", "demo", False)
    source.refresh_from_db()
    assert (first.frame_of, second.frame_of) == (source.settled_by, source.settled_by)
    assert (first.task.lane, second.task) == ("frame", task)
    events = AuditEvent.objects.filter(action="task.submit").order_by("pk")
    assert [event.details["frame_of"] for event in events] == [source.settled_by_id] * 2


def test_image_page_and_api_tell_where_the_answer_came_from(barn, signed_in, api):
    source = settled(barn)
    pair = frame(barn)
    (outcome,) = confirm(barn, pair)
    text = signed_in(barn.annotator).get(reverse("image", args=["barn", pair.image.sha256])).content.decode()
    assert "with 1 mask, confirmed as a frame of a settled scene" in text
    told = api(barn.reviewer).get(reverse("api-annotation", args=[outcome.annotation])).json()
    source.refresh_from_db()
    assert told["annotation"]["frame_of"] == source.settled_by_id


@pytest.mark.parametrize(
    ("policy", "state", "truth"), [("all", "submitted", "unseen"), ("sample", "approved", "absent")]
)
def test_confirmed_answers_are_reviewed_by_the_project_s_policy(barn, policy, state, truth):
    barn.project.review_policy, barn.project.review_share = policy, 0.0
    barn.project.save()
    settled(barn, (), presence=0.3)
    pair = frame(barn, (), presence=0.2)
    confirm(barn, pair)
    pair.refresh_from_db()
    assert (pair.tasks.get().state, pair.truth) == (state, truth)


def test_policy_by_difference_sees_an_accepted_proposal(barn):
    barn.project.review_policy = Project.ReviewPolicy.DISAGREEMENTS
    barn.project.save()
    settled(barn)
    pair = frame(barn)
    confirm(barn, pair)
    pair.refresh_from_db()
    assert (pair.truth, len(pair.instances)) == ("present", 1)


def test_confirmed_frame_hands_its_answer_to_no_other(barn):
    barn.project.review_policy, barn.project.review_share = "sample", 0.0
    barn.project.save()
    source = settled(barn)
    confirm(barn, frame(barn))
    Pair.objects.filter(pk=source.pk).update(truth="unseen", settled_by=None)
    frame(barn)
    assert offered(barn) == []


def test_confirmation_is_taken_back_like_any_answer(barn):
    barn.project.review_policy = Project.ReviewPolicy.ALL
    barn.project.save()
    settled(barn)
    pair = frame(barn)
    confirm(barn, pair)
    reopened = task_reopen(task=pair.tasks.get(), user=barn.annotator)
    assert (reopened.state, reopened.holder) == ("claimed", barn.annotator)


def test_what_changed_since_it_was_shown_is_skipped_and_said(barn, api):
    settled(barn)
    fine, taken, changed = frame(barn), frame(barn), frame(barn)
    shown = {one["image"]["sha256"]: one for one in api(barn.annotator).get(API).json()}
    asked = [
        {"prediction": shown[pair.image.sha256]["prediction"], "verdict": "present"} for pair in (fine, taken, changed)
    ]
    factories.make_task(barn.project, taken, holder=barn.reviewer)
    asked[2]["verdict"] = "absent"
    asked.append({"prediction": 999_999, "verdict": "absent"})
    got = api(barn.annotator).post(API, {"frames": asked}, format="json").json()["results"]
    assert [(one["confirmed"], one["code"]) for one in got] == [
        (True, ""),
        (False, "not_offered"),
        (False, "not_offered"),
        (False, "unknown_frame"),
    ]
    assert Annotation.objects.filter(pair__in=[taken, changed]).count() == 0


def test_new_serving_model_makes_what_was_shown_stale(barn):
    settled(barn)
    pair = frame(barn)
    shown = [Shown(pair.predictions.get().pk, "present")]
    barn.project.serving_version = factories.make_version("barn-v2")
    barn.project.save()
    (outcome,) = frames_confirm(project=barn.project, user=barn.annotator, frames=shown)
    assert outcome.code == "not_offered"


def test_frame_of_another_project_is_unknown(barn):
    settled(barn)
    prediction = frame(barn).predictions.get()
    other = factories.make_project(barn.annotator, "Other")
    (outcome,) = frames_confirm(project=other, user=barn.annotator, frames=[Shown(prediction.pk, "present")])
    assert outcome.code == "unknown_frame"


def _confirm_in_a_process(project_id: int, user, shown, start, results) -> None:
    connections.close_all()
    project = Project.objects.get(pk=project_id)
    start.wait(timeout=PATIENCE_S)
    try:
        outcomes = frames_confirm(project=project, user=user, frames=shown)
        results.put([one.code for one in outcomes])
    except Exception as error:  # whatever went wrong there must fail the test here
        results.put(repr(error))
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_answer_each_frame_once():
    barn = factories.make_barn()
    settled(barn)
    pairs = [frame(barn) for _ in range(6)]
    for pair in pairs[:3]:
        factories.make_task(barn.project, pair)
    shown = [Shown(pair.predictions.get().pk, "present") for pair in pairs]
    connections.close_all()  # forked without one: SQLite's must not cross a fork
    forks = multiprocessing.get_context("fork")
    start, results = forks.Barrier(2), forks.Queue()
    people = (barn.annotator, barn.reviewer)
    racers = [
        forks.Process(target=_confirm_in_a_process, args=(barn.project.pk, user, shown, start, results))
        for user in people
    ]
    [racer.start() for racer in racers]
    codes = [results.get(timeout=PATIENCE_S) for _ in racers]
    [racer.join(timeout=PATIENCE_S) for racer in racers]
    assert [sorted(both) for both in zip(*codes, strict=True)] == [["", "not_offered"]] * 6
    assert Annotation.objects.filter(pair__in=pairs).count() == 6


def test_frame_that_was_confirmed_is_claimed_by_nobody(barn):
    settled(barn)
    pair = frame(barn)
    factories.make_task(barn.project, pair)
    confirm(barn, pair)
    assert task_claim(project=barn.project, user=barn.reviewer) is None


def test_grid_confirms_what_is_left_selected_and_keeps_the_rest(barn, signed_in):
    source = settled(barn)
    left_out, chosen = frame(barn), frame(barn)
    factories.make_task(barn.project, left_out)
    browser = signed_in(barn.annotator)
    page = browser.get(PAGE).content.decode()
    assert page.count('name="answer"') == page.count(" checked") == 2
    assert f"like {source.image.original_name}" in page
    value = {pair.pk: f"{pair.predictions.get().pk} present" for pair in (left_out, chosen)}
    form = {"answer": [value[chosen.pk], "x", "1 perhaps"], "shown": list(value.values()), "active_seconds": "3.5"}
    text = browser.post(PAGE, form, follow=True).content.decode()
    assert "1 confirmed" in text
    assert 'name="answer"' not in text
    assert chosen.annotations.get().active_seconds == 3.5
    assert left_out.tasks.get().state == "queued"
    assert offered(barn) == [left_out.pk]


def test_queue_leads_to_the_grid_only_if_something_is_on_it(barn, signed_in):
    browser = signed_in(barn.annotator)
    assert LINK in browser.get(reverse("queue", args=["barn"])).content.decode()
    assert browser.get(LINK).content.decode().strip() == ""
    settled(barn)
    frame(barn)
    frame(barn)
    text = " ".join(browser.get(LINK).content.decode().split())
    assert "2 pictures look like ones that are settled: confirm them together" in text


@pytest.mark.parametrize("frames", [[], [{"prediction": 1}], [{"prediction": 1, "verdict": "maybe"}]])
def test_confirmation_that_names_no_frame_is_refused(barn, api, frames):
    assert api(barn.annotator).post(API, {"frames": frames}, format="json").status_code == 400


@pytest.mark.parametrize(("who", "status"), [("outsider", 404), (None, 401)])
def test_only_members_see_and_confirm_frames(barn, api, who, status):
    settled(barn)
    pair = frame(barn)
    client = api(getattr(barn, who) if who else None)
    body = {"frames": [{"prediction": pair.predictions.get().pk, "verdict": "present"}]}
    assert client.get(API).status_code == client.post(API, body, format="json").status_code == status
    assert not pair.annotations.exists()


def test_features_looks_and_boxes_are_compared_by_their_limits():
    one = np.float16([1, 0]).tobytes()
    near, far, none = (np.float16(value).tobytes() for value in ([0.985, 0.17], [0.97, 0.25], [0, 0]))
    assert [features_alike(one, other) for other in (one, near, far, none, b"")] == [True, True, False, False, False]
    assert looks_alike("000000000000003f", "0000000000000fff")  # 6 bits
    assert not looks_alike("000000000000003f", "0000000000001fff")
    assert not looks_alike("", "")
    assert boxes_match([], [])
    assert boxes_match([BOX, OTHER], [OTHER, NUDGED])
    assert not boxes_match([BOX, OTHER], [BOX, BOX])


def test_answer_that_was_taken_over_stays_so_when_its_source_is_removed(barn):
    source = settled(barn)
    pair = frame(barn)
    confirm(barn, pair)
    answer = Annotation.objects.get(pair=pair)
    source.refresh_from_db()
    Annotation.objects.filter(pk=source.settled_by_id).delete()
    answer.refresh_from_db()
    assert answer.frame_of_id is not None
