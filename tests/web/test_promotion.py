"""Promotion and rollback, with a real ML backend that tries each version before it serves."""

import socket
import threading
import time

import pytest
from django.db import connections

from annotator.common.errors import BackendError, ConflictError, RoostError
from annotator.home.services import project_create
from annotator.models import AuditEvent, Deployment, ModelVersion, Project
from annotator.registry.promotion import version_named, version_promote, version_rollback
from tests import factories


def judged(barn, name: str = "other", decision: str = "promote", **fields) -> ModelVersion:
    """A version trained in this project, with its gate decision."""
    version, _ = ModelVersion.objects.update_or_create(name=name, defaults={"project": barn.project})
    run = factories.make_training_run(barn.project, version=version)
    factories.make_gate(run, decision, reasons=["CGF1 rises by 2.00 points."], **fields)
    return version


def promote(barn, version, **more) -> Deployment:
    return version_promote(project=barn.project, version=version, user=barn.admin, **more)


def serving(barn) -> str:
    return Project.objects.get(pk=barn.project.pk).serving_version.name


def test_promoted_version_serves_and_the_log_has_it(tiny_barn):
    deployment = promote(tiny_barn, judged(tiny_barn))
    assert serving(tiny_barn) == "other"
    assert (deployment.previous.name, deployment.action) == ("tiny", "promote")
    assert ModelVersion.objects.get(name="other").stage == "production"
    event = AuditEvent.objects.get(action="version.promote")
    assert (event.actor, event.details["instead_of"]) == (tiny_barn.admin, "tiny")


@pytest.mark.parametrize("decision", ["reject", "undecided"])
def test_what_the_gate_did_not_pass_is_not_promoted(tiny_barn, decision):
    version = judged(tiny_barn, decision=decision)
    with pytest.raises(ConflictError, match="gate did not pass"):
        promote(tiny_barn, version)
    assert serving(tiny_barn) == "tiny"


def test_what_was_never_judged_is_not_promoted(tiny_barn):
    version = factories.make_version("other", project=tiny_barn.project)
    with pytest.raises(ConflictError, match="has not been through the gate"):
        promote(tiny_barn, version)


def test_decision_against_an_earlier_champion_does_not_count(tiny_barn):
    version = judged(tiny_barn)
    Project.objects.filter(pk=tiny_barn.project.pk).update(serving_version=factories.make_version("demo"))
    with pytest.raises(ConflictError, match="judged against tiny, but demo serves now"):
        promote(tiny_barn, version)


def test_override_needs_a_reason_and_the_log_keeps_it(tiny_barn):
    version = judged(tiny_barn, decision="undecided")
    promote(tiny_barn, version, override_reason="Better on our own barn.")
    event = AuditEvent.objects.get(action="version.promote")
    assert event.details["override_reason"] == "Better on our own barn."
    assert "gate did not pass" in event.details["gate_said"]


def test_version_that_the_backend_can_not_load_does_not_serve(tiny_barn):
    version = judged(tiny_barn, name="barn-v77")
    with pytest.raises(BackendError, match="barn-v77"):
        promote(tiny_barn, version)
    assert serving(tiny_barn) == "tiny"
    assert not Deployment.objects.filter(action="promote").exists()


def test_away_backend_stops_a_promotion(barn, no_backend):
    with pytest.raises(BackendError, match="does not answer"):
        promote(barn, judged(barn))


def test_other_projects_version_is_unknown_here(tiny_barn):
    other = factories.make_project(tiny_barn.admin, "Coop")
    with pytest.raises(RoostError, match="another project"):
        promote(tiny_barn, factories.make_version("coop-v1", project=other))


def test_rollback_serves_the_one_before(tiny_barn):
    Deployment.objects.update(version=tiny_barn.project.serving_version)
    promote(tiny_barn, judged(tiny_barn))
    version_rollback(project=tiny_barn.project, user=tiny_barn.admin)
    assert serving(tiny_barn) == "tiny"
    assert ModelVersion.objects.get(name="other").stage == "archived"


def test_rolling_back_twice_goes_back_two_not_forth_again(tiny_barn):
    Deployment.objects.update(version=tiny_barn.project.serving_version)
    promote(tiny_barn, judged(tiny_barn))
    tiny_barn.project.refresh_from_db()
    Deployment.objects.create(
        project=tiny_barn.project, version=factories.make_version("demo"), previous_id=None, action="promote"
    )
    Project.objects.filter(pk=tiny_barn.project.pk).update(serving_version=factories.make_version("demo"))
    version_rollback(project=tiny_barn.project, user=tiny_barn.admin)
    assert serving(tiny_barn) == "other"
    version_rollback(project=tiny_barn.project, user=tiny_barn.admin)
    assert serving(tiny_barn) == "tiny"


def test_first_version_has_nothing_to_go_back_to(tiny_barn):
    with pytest.raises(ConflictError, match="nothing to go back to"):
        version_rollback(project=tiny_barn.project, user=tiny_barn.admin)


def test_rollback_works_while_the_backend_is_away(tiny_barn, settings):
    Deployment.objects.update(version=tiny_barn.project.serving_version)
    promote(tiny_barn, judged(tiny_barn))
    settings.MLBACKEND_URL = "http://127.0.0.1:1"
    version_rollback(project=tiny_barn.project, user=tiny_barn.admin)
    assert serving(tiny_barn) == "tiny"
    assert AuditEvent.objects.get(action="version.rollback").details["backend_checked"] is False


def test_rollback_does_not_wait_for_a_backend_that_hangs(tiny_barn, settings):
    """As one that was stopped by SIGSTOP: the kernel takes the connection, and nobody ever answers."""
    Deployment.objects.update(version=tiny_barn.project.serving_version)
    promote(tiny_barn, judged(tiny_barn))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.MLBACKEND_URL = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        version_rollback(project=tiny_barn.project, user=tiny_barn.admin)
        assert time.monotonic() - began < 10
    assert serving(tiny_barn) == "tiny"
    assert AuditEvent.objects.get(action="version.rollback").details["backend_checked"] is False


@pytest.mark.django_db(transaction=True)
def test_of_admins_promoting_at_once_one_does(backend):
    barn = factories.make_barn()
    barn.project.serving_version = factories.make_version("tiny")
    barn.project.save()
    version = judged(barn)
    start, outcomes = threading.Barrier(3), []

    def race() -> None:
        start.wait()
        try:
            outcomes.append(promote(barn, version).action)
        except ConflictError as error:
            outcomes.append(error.code)
        connections.close_all()

    threads = [threading.Thread(target=race) for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert outcomes.count("promote") == 1
    assert Deployment.objects.filter(action="promote").count() == 1


def test_version_that_the_backend_has_beside_the_projects_own_gets_a_row(tiny_barn):
    assert version_named(project=tiny_barn.project, name="other").project is None
    with pytest.raises(RoostError, match="no version 'sam3'"):
        version_named(project=tiny_barn.project, name="sam3")


def test_first_version_of_a_new_project_is_the_one_that_is_set(barn, settings):
    settings.DEFAULT_VERSION = "sam3"
    assert project_create(name="Coop", concepts=["hen"], user=barn.admin).serving_version.name == "sam3"
