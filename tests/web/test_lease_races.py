"""Leases under stress: fifty processes at once, a holder who is thrown out, a question that changes meanwhile."""

import multiprocessing
import uuid

import pytest
from django.db import connections
from django.db.models import RestrictedError
from django.urls import reverse

from annotator.common.masks import rle_to_wire
from annotator.models import Annotation, Concept, Draft, Project, Task
from annotator.people.services import member_set
from annotator.queue.drafts import draft_save
from annotator.queue.leases import task_claim
from tests import factories
from tests.processes import PATIENCE_S

PROCESSES, TASKS = 50, 90


def _claim_two(project_id: int, user, start, results) -> None:
    """In a process of its own, with a connection of its own: the task for the screen, and the next."""
    connections.close_all()
    project = Project.objects.get(pk=project_id)
    start.wait(timeout=PATIENCE_S)
    try:
        screen = task_claim(project=project, user=user)
        following = task_claim(project=project, user=user, after_id=screen.pk) if screen else None
        results.put((user.pk, [task.pk for task in (screen, following) if task]))
    except Exception as error:  # whatever went wrong there must fail the test here
        results.put((user.pk, repr(error)))
    finally:
        connections.close_all()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_fifty_processes_racing_for_tasks_never_share_one():
    barn = factories.make_barn()
    pairs = [factories.make_pair(barn.project, image=factories.make_image(barn.project)) for _ in range(TASKS)]
    Task.objects.bulk_create([Task(project=barn.project, pair=pair, lane="band") for pair in pairs])
    people = [factories.make_member(barn.project) for _ in range(PROCESSES)]
    # Forked without a connection: SQLite's must not cross a fork.
    connections.close_all()
    forks = multiprocessing.get_context("fork")
    start, results = forks.Barrier(PROCESSES), forks.Queue()
    racers = [forks.Process(target=_claim_two, args=(barn.project.pk, user, start, results)) for user in people]
    [racer.start() for racer in racers]
    taken = dict(results.get(timeout=PATIENCE_S) for _ in racers)
    [racer.join(timeout=PATIENCE_S) for racer in racers]
    assert [found for found in taken.values() if isinstance(found, str)] == []
    handed_out = [task for found in taken.values() for task in found]
    assert len(handed_out) == len(set(handed_out)) == TASKS
    stored = Task.objects.filter(state=Task.State.CLAIMED).values_list("holder_id", "pk")
    assert set(stored) == {(user, task) for user, found in taken.items() for task in found}


def submit(client, task, **fields):
    wire = {"mask": rle_to_wire(factories.box_rle()), "origin": "click", "prompts": []}
    body = {"attempt": task.attempt, "client_uuid": str(uuid.uuid4()), "verdict": "present", "instances": [wire]}
    return client.post(reverse("api-submit", args=[task.pk]), body | fields, format="json")


def test_removed_holder_s_next_call_finds_nothing_and_the_draft_is_kept(barn, api):
    task = factories.make_task(barn.project, holder=barn.annotator)
    draft_save(task=task, user=barn.annotator, version=0, payload={"half": "done"})
    member_set(project=barn.project, member=barn.annotator, role=None, user=barn.admin)
    assert submit(api(barn.annotator), task).status_code == 404
    assert not Annotation.objects.exists()
    assert Draft.objects.get().payload == {"half": "done"}
    assert task_claim(project=barn.project, user=barn.reviewer) == task


def test_deactivated_holder_s_next_call_is_refused_and_the_lease_is_free(barn, api):
    task = factories.make_task(barn.project, holder=barn.annotator)
    client = api(barn.annotator)
    barn.annotator.is_active = False
    barn.annotator.save()
    assert submit(client, task).status_code == 401
    assert task_claim(project=barn.project, user=barn.reviewer) == task


def test_answer_to_a_concept_that_was_renamed_meanwhile_is_kept_as_a_draft(barn, api):
    task = factories.make_task(barn.project, holder=barn.annotator)
    Concept.objects.update(name="hen")
    answer = submit(api(barn.annotator), task, concept="chicken")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "concept_changed")
    assert error["fields"] == {"was": "chicken", "now": "hen"}
    task.refresh_from_db()
    assert (task.state, Annotation.objects.count()) == (Task.State.CLAIMED, 0)
    assert Draft.objects.get(user=barn.annotator).payload["submission"]["verdict"] == "present"
    assert submit(api(barn.annotator), task, concept="hen").status_code == 200


def test_concept_that_images_are_labelled_for_can_not_be_deleted_alone(barn):
    task = factories.make_task(barn.project, holder=barn.annotator)
    with pytest.raises(RestrictedError):
        task.pair.concept.delete()
    assert Task.objects.filter(pk=task.pk).exists()
