"""All concepts of an image to one person: what is leased together, and what becomes of it together."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from annotator.common.errors import ConflictError
from annotator.common.masks import rle_to_wire
from annotator.models import Annotation, Draft, Image, Pair, Review, Task
from annotator.queue.assignments import task_reassign
from annotator.queue.companions import WORDS
from annotator.queue.doubles import doubles_add
from annotator.queue.leases import (
    lease_release_by_admin,
    task_claim,
    task_heartbeat,
    task_release,
    task_reopen,
    task_skip,
)
from annotator.queue.submissions import task_submit
from tests import factories

CLAIMED, QUEUED, SUBMITTED = Task.State.CLAIMED, Task.State.QUEUED, Task.State.SUBMITTED


@pytest.fixture
def yard(barn):
    """A barn that asks for chicken, duck and feeder in one pass."""
    barn.project.one_pass = True
    barn.project.save()
    for name in ("duck", "feeder"):
        factories.make_concept(barn.project, name)
    return barn


def add_image(barn, *, wanted: str = "chicken", priority: float = 0.5, **fields) -> Task:
    """An image with an unseen pair for every concept, and one of them in the queue."""
    image = factories.make_image(barn.project, **fields)
    pairs = {one.name: factories.make_pair(barn.project, one, image) for one in barn.project.concepts.all()}
    return factories.make_task(barn.project, pairs[wanted], priority=priority)


def pair_of(task: Task, name: str) -> Pair:
    return Pair.objects.get(image=task.pair.image, concept__name=name)


def claim(barn, user=None, after: Task | None = None) -> Task | None:
    return task_claim(project=barn.project, user=user or barn.annotator, after_id=after.pk if after else None)


def reopen(task: Task, user) -> Task:
    return task_reopen(task=Task.objects.get(pk=task.pk), user=user)


def held_by(user) -> set[str]:
    return set(Task.objects.filter(holder=user, state=CLAIMED).values_list("pair__concept__name", flat=True))


def answer(task: Task, user, **fields) -> Annotation:
    body = {"verdict": "absent", "instances": [], "client_uuid": uuid.uuid4(), "attempt": task.attempt}
    return task_submit(task=task, user=user, **body | fields)


def lapse() -> None:
    Task.objects.filter(state=CLAIMED).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_claim_leases_every_concept_that_nobody_has_looked_at(yard):
    first = add_image(yard)
    assert claim(yard) == first
    together = Task.objects.filter(holder=yard.annotator)
    assert held_by(yard.annotator) == {"chicken", "duck", "feeder"}
    assert set(together.values_list("lease_until", flat=True)) == {Task.objects.get(pk=first.pk).lease_until}
    duck = together.get(pair__concept__name="duck")
    assert (duck.lane, duck.attempt, duck.priority, duck.round) == (Task.Reason.COMPANION, 1, 0.5, first.round)
    assert duck.reasons == [{"kind": "companion", "value": 0.0, "words": WORDS}]


def test_off_by_default_one_concept_is_leased_alone(yard):
    yard.project.one_pass = False
    yard.project.save()
    add_image(yard)
    claim(yard)
    assert (held_by(yard.annotator), Task.objects.count()) == ({"chicken"}, 1)


def test_open_task_comes_along_as_it_is_instead_of_a_new_one(yard):
    lead = add_image(yard)
    waiting = factories.make_task(yard.project, pair_of(lead, "duck"), priority=0.1)
    assert claim(yard) == lead
    waiting.refresh_from_db()
    assert (waiting.holder, waiting.lane) == (yard.annotator, Task.Reason.BAND)
    assert Task.objects.filter(pair=waiting.pair).count() == 1


def test_what_somebody_else_holds_waits_for_or_keeps_is_left_alone(yard):
    lead = add_image(yard)
    factories.make_task(yard.project, pair_of(lead, "duck"), holder=yard.reviewer)
    factories.make_task(yard.project, pair_of(lead, "feeder"), assignee=yard.admin)
    claim(yard)
    assert held_by(yard.annotator) == {"chicken"}
    assert Task.objects.count() == 3


def test_settled_pairs_and_retired_concepts_are_not_asked_again(yard):
    lead = add_image(yard)
    Pair.objects.filter(pk=pair_of(lead, "duck").pk).update(truth="absent", truth_source="imported")
    yard.project.concepts.filter(name="feeder").update(retired_at=timezone.now())
    claim(yard)
    assert held_by(yard.annotator) == {"chicken"}


def test_holdout_pairs_come_only_where_chance_has_drawn_them(yard):
    lead = add_image(yard, split=Image.Split.HOLDOUT)
    drawn = factories.make_task(yard.project, pair_of(lead, "duck"), predicted=False, model_version=None)
    claim(yard)
    assert held_by(yard.annotator) == {"chicken", "duck"}
    assert Task.objects.get(pk=drawn.pk).model_version is None


def test_known_answer_stays_alone(yard):
    trap = add_image(yard)
    Task.objects.update(lane=Task.Reason.KNOWN_ANSWER)
    assert claim(yard) == trap
    assert held_by(yard.annotator) == {"chicken"}


def test_of_a_double_a_person_gets_one_and_never_the_other(yard):
    lead = add_image(yard)
    double = factories.make_task(yard.project, pair_of(lead, "duck"))
    yard.project.double_share = 1.0
    yard.project.save()
    doubles_add(project=yard.project, tasks=[double])
    claim(yard)
    assert list(Task.objects.filter(pair=double.pair, holder=yard.annotator)) == [double]
    factories.make_annotation(Task.objects.get(blind=1), yard.annotator)
    Task.objects.filter(pk=double.pk).update(state=QUEUED, holder=None, lease_until=None)
    claim(yard)
    assert held_by(yard.annotator) == {"chicken", "feeder"}


def test_correction_comes_with_the_other_corrections_of_its_author(yard):
    lead = add_image(yard)
    other = factories.make_task(yard.project, pair_of(lead, "duck"), state="returned", author=yard.annotator)
    factories.make_task(yard.project, pair_of(lead, "feeder"), state="returned", author=yard.reviewer)
    Task.objects.filter(pk=lead.pk).update(state="returned", author=yard.annotator)
    assert claim(yard) in (lead, other)
    assert held_by(yard.annotator) == {"chicken", "duck"}


def test_next_is_another_image_and_a_person_holds_two_images_at_most(yard):
    first, second = add_image(yard, priority=0.9), add_image(yard, priority=0.5)
    add_image(yard, priority=0.1)
    screen = claim(yard)
    duck = Task.objects.get(pair=pair_of(first, "duck"))
    assert claim(yard, after=screen) == second
    assert claim(yard, after=duck) == second
    assert claim(yard) == first
    assert Task.objects.filter(holder=yard.annotator).values("pair__image").distinct().count() == 2


def test_task_freed_on_the_screen_s_image_is_not_handed_out_as_the_next(yard):
    lead, other = add_image(yard, priority=0.9), add_image(yard, priority=0.1)
    freed = factories.make_task(yard.project, pair_of(lead, "duck"), holder=yard.reviewer, priority=0.8)
    screen = claim(yard)
    task_release(task=freed, user=yard.reviewer, attempt=1)
    assert claim(yard, after=screen) == other


def test_client_that_knows_no_companions_gets_them_one_by_one(yard):
    add_image(yard)
    for _ in range(3):
        answer(claim(yard), yard.annotator)
    assert claim(yard) is None
    assert set(Task.objects.values_list("state", flat=True)) == {SUBMITTED}
    assert Task.objects.values("pair").distinct().count() == 3


def test_heartbeat_prolongs_all_of_the_image(yard):
    add_image(yard)
    task = claim(yard)
    Task.objects.update(lease_until=timezone.now() + timedelta(seconds=5))
    task_heartbeat(task=task, user=yard.annotator, attempt=1)
    assert not Task.objects.filter(lease_until__lt=timezone.now() + timedelta(seconds=60)).exists()


@pytest.mark.parametrize("free", ["release", "skip", "admin", "lapse"])
def test_given_back_the_whole_image_is_free_for_somebody_else(yard, free):
    add_image(yard)
    task = claim(yard)
    if free == "release":
        task_release(task=task, user=yard.annotator, attempt=1)
    elif free == "skip":
        task_skip(task=task, user=yard.annotator, attempt=1, reason="")
    elif free == "admin":
        lease_release_by_admin(task=task, admin=yard.admin)
    else:
        lapse()
    assert claim(yard, yard.reviewer) is not None
    assert (held_by(yard.annotator), held_by(yard.reviewer)) == (set(), {"chicken", "duck", "feeder"})
    assert set(Task.objects.values_list("skips", flat=True)) == {int(free == "skip")}


def test_release_with_an_older_attempt_frees_nothing(yard):
    add_image(yard)
    task = claim(yard)
    with pytest.raises(ConflictError):
        task_release(task=task, user=yard.annotator, attempt=7)
    assert held_by(yard.annotator) == {"chicken", "duck", "feeder"}


def test_reassigned_image_goes_whole_to_its_new_owner_but_for_what_is_answered(yard):
    add_image(yard)
    task = claim(yard)
    duck, feeder = Task.objects.exclude(pk=task.pk)
    answer(feeder, yard.annotator)
    task_reassign(task=task, member=yard.reviewer, user=yard.admin)
    duck.refresh_from_db()
    assert (duck.state, duck.assignee) == (QUEUED, yard.reviewer)
    assert claim(yard) is None
    assert claim(yard, yard.reviewer) == task
    assert held_by(yard.reviewer) == {"chicken", "duck"}


def test_half_submitted_image_loses_nothing(yard):
    add_image(yard)
    task = claim(yard)
    answer(task, yard.annotator)
    duck = Task.objects.get(pair__concept__name="duck")
    Draft.objects.create(task=duck, user=yard.annotator, payload={"half": "done"})
    lapse()
    assert claim(yard, yard.reviewer).pair.concept.name in ("duck", "feeder")
    assert held_by(yard.reviewer) == {"duck", "feeder"}
    assert Draft.objects.get().payload == {"half": "done"}
    with pytest.raises(ConflictError):
        answer(duck, yard.annotator)
    assert Annotation.objects.get().task == task


def test_late_answers_are_taken_pair_by_pair_while_they_are_free(yard):
    add_image(yard)
    claim(yard)
    tasks = {task.pair.concept.name: task for task in Task.objects.all()}
    lapse()
    claim(yard, yard.reviewer)
    task_release(task=Task.objects.get(pk=tasks["duck"].pk), user=yard.reviewer, attempt=2)
    Task.objects.filter(pk=tasks["feeder"].pk).update(state=CLAIMED, holder=yard.reviewer, lease_until=timezone.now())
    assert answer(tasks["duck"], yard.annotator).task == tasks["duck"]
    with pytest.raises(ConflictError):
        answer(tasks["feeder"], yard.annotator)


def test_answers_settle_their_own_pairs_present_and_absent(yard):
    add_image(yard)
    yard.project.review_policy, yard.project.review_share = "sample", 0.0
    yard.project.save()
    claim(yard)
    wire = [{"mask": rle_to_wire(factories.box_rle()), "origin": "click", "prompts": []}]
    for task in Task.objects.all():
        is_chicken = task.pair.concept.name == "chicken"
        answer(task, yard.annotator, **({"verdict": "present", "instances": wire} if is_chicken else {}))
    truths = dict(Pair.objects.values_list("concept__name", "truth"))
    assert truths == {"chicken": "present", "duck": "absent", "feeder": "absent"}


def test_reopened_image_comes_back_whole_but_for_what_is_decided(yard):
    add_image(yard)
    task = claim(yard)
    for one in Task.objects.all():
        answer(one, yard.annotator)
    decided = Task.objects.get(pair__concept__name="feeder")
    Review.objects.create(annotation=decided.annotations.get(), reviewer=yard.reviewer, decision="approve")
    Task.objects.filter(pk=decided.pk).update(state="approved")
    reopened = reopen(task, yard.annotator)
    assert reopened.state == CLAIMED
    assert held_by(yard.annotator) == {"chicken", "duck"}


def test_reopening_frees_the_prefetched_image_and_keeps_the_one_on_screen(yard):
    last = add_image(yard, priority=0.9)
    answer(claim(yard), yard.annotator)
    Task.objects.filter(state=CLAIMED).update(state=SUBMITTED, holder=None, lease_until=None, author=yard.annotator)
    add_image(yard, priority=0.5)
    prefetched = add_image(yard, priority=0.1)
    screen = claim(yard)
    claim(yard, after=screen)
    reopen(last, yard.annotator)
    held = set(Task.objects.filter(state=CLAIMED).values_list("pair__image", flat=True))
    assert held == {last.pair.image_id, screen.pair.image_id}
    assert Task.objects.get(pk=prefetched.pk).state == QUEUED


def test_ten_images_back_can_be_reopened_and_the_eleventh_not(yard):
    sent = [add_image(yard) for _ in range(11)]
    for task in sent:
        factories.make_annotation(task, yard.annotator)
        factories.make_annotation(factories.make_task(yard.project, pair_of(task, "duck")), yard.annotator)
    with pytest.raises(ConflictError):
        reopen(sent[0], yard.annotator)
    assert reopen(sent[1], yard.annotator).state == CLAIMED


def test_payload_carries_the_companions_without_their_image(yard, api):
    lead = add_image(yard)
    factories.make_prediction(pair_of(lead, "duck"), presence=0.7)
    Draft.objects.create(task=lead, user=yard.annotator, payload={"half": "done"})
    told = api(yard.annotator).post(reverse("api-claim", args=["barn"]), {}, format="json").json()
    duck, feeder = told["companions"]
    assert [one["concept"]["number"] for one in (told, duck, feeder)] == [1, 2, 3]
    assert (duck["proposal"]["presence"], feeder["proposal"]) == (0.7, None)
    assert duck["reasons"][0]["value"] == 0.7
    assert duck["lane"] == "companion"
    assert "image" not in duck
    assert "companions" not in duck
    again = api(yard.annotator).get(reverse("api-task", args=[duck["id"]])).json()
    assert {one["id"] for one in again["companions"]} == {told["id"], feeder["id"]}
    assert api(yard.reviewer).get(reverse("api-task", args=[duck["id"]])).json()["companions"] == []


def test_admin_turns_one_pass_on_in_the_settings(barn, signed_in):
    client, address = signed_in(barn.admin), reverse("settings", args=["barn"])
    page = client.get(address)
    assert "Show all concepts of an image together" in page.content.decode()
    shown = page.context["form"].initial
    values = {name: value for name, value in shown.items() if value is not None and value is not False}
    client.post(address, values | {"one_pass": "on"})
    barn.project.refresh_from_db()
    assert barn.project.one_pass


@pytest.mark.django_db(transaction=True)
def test_people_racing_for_one_image_share_its_concepts_without_doubles():
    barn = factories.make_barn(one_pass=True)
    for number in range(5):
        factories.make_concept(barn.project, f"thing {number}")
    for wanted in ("thing 1", "thing 3"):
        image = barn.project.images.first() or factories.make_image(barn.project)
        concept = barn.project.concepts.get(name=wanted)
        factories.make_task(barn.project, factories.make_pair(barn.project, concept, image))
    for concept in barn.project.concepts.exclude(name__in=["thing 1", "thing 3"]):
        factories.make_pair(barn.project, concept, barn.project.images.get())
    people = [factories.make_member(barn.project) for _ in range(6)]
    start, troubles = threading.Barrier(len(people)), []

    def race(user) -> None:
        start.wait()
        try:
            claim(barn, user)
        except Exception as error:  # whatever went wrong there must fail the test here
            troubles.append(repr(error))
        connections.close_all()

    threads = [threading.Thread(target=race, args=[user]) for user in people]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert troubles == []
    tasks = Task.objects.values_list("pair", flat=True)
    assert (len(tasks), len(set(tasks))) == (6, 6)
    assert Task.objects.exclude(state=CLAIMED).count() == 0
