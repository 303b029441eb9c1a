"""The gate without a run: any version against what serves, its page, and a promotion against it."""

import pytest
from django.urls import reverse
from django.utils import timezone

from annotator.common.errors import ConflictError, RoostError
from annotator.models import AuditEvent, Deployment, GateDecision, Job, Project
from annotator.registry.gating import gate_ask_of
from tests import factories
from tests.web.test_evaluations import weights
from tests.web.test_gate_looks import settled

REPORT = {
    "decision": "undecided",
    "delta_cgf1": 0.021,
    "bootstrap": {"low": -0.01, "high": 0.05, "rounds": 1000, "confidence": 0.95},
    "holdout": {"pairs": 40, "positives": 20, "negatives": 20, "scenes": 40},
    "hard_negatives": {"champion_fires": 2, "challenger_fires": 3},
    "rules": [
        {"name": "gain", "state": "met", "words": "CGF1 rises by 2.10 points."},
        {"name": "alarms", "state": "open", "words": "About 73 more negatives would settle it.", "more_pairs": 73},
    ],
    "rules_version": 2,
    "looks": 1.5,
    "policy": {"min_gain_points": 1.0, "alarm_margin": 0.01, "alarm_cap": None},
    **{
        role: {"cgf1": value, "pmf1": 0.7, "il_mcc": 0.7}
        for role, value in (("champion", 0.5), ("challenger", 0.521), ("baseline", 0.5))
    },
}


@pytest.fixture
def shipped(barn):
    """A version that no run made here."""
    weights("sam3")
    return factories.make_version("sam3")


def decided(barn, version, decision: str = "undecided", **fields) -> GateDecision:
    fields = {"reasons": ["One.", "Two."], "report": REPORT | {"decision": decision}, "asked_by": barn.admin} | fields
    fields["snapshot"] = fields.get("snapshot") or factories.make_snapshot(barn.project)
    champion = barn.project.serving_version
    return GateDecision.objects.create(
        project=barn.project, challenger=version, champion=champion, decision=decision, **fields
    )


def ask(barn, version, **more) -> Job:
    return gate_ask_of(project=barn.project, version=version, user=barn.admin, **more)


def test_a_version_without_a_run_is_judged_on_a_fresh_snapshot(barn, shipped):
    for truth in ("present", "absent"):
        settled(barn, "holdout", truth)
    job = ask(barn, shipped)
    assert (job.kind, job.params) == ("gate", {"version": "sam3", "snapshot": 1})
    with pytest.raises(ConflictError, match="asked already"):
        ask(barn, shipped)
    Job.objects.update(state="succeeded")
    decided(barn, shipped, snapshot=barn.project.snapshots.get())
    with pytest.raises(ConflictError, match="Nothing has changed"):
        ask(barn, shipped)
    with pytest.raises(ConflictError, match="Nothing has changed"):
        ask(barn, shipped, snapshot=1)
    settled(barn, "holdout", "absent")
    assert ask(barn, shipped).params["snapshot"] == 2


def test_a_version_that_a_run_made_is_judged_as_the_run_s(barn, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    for truth in ("present", "absent"):
        settled(barn, "holdout", truth)
    weights("barn-v1")
    version = factories.make_version("barn-v1", project=barn.project)
    run = factories.make_training_run(barn.project, version=version)
    factories.write_pairs(run.snapshot)
    assert ask(barn, version).params["run"] == run.number


def test_a_run_s_version_whose_weights_were_removed_is_refused_at_once(barn, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    for truth in ("present", "absent"):
        settled(barn, "holdout", truth)
    weights("barn-v1")
    version = factories.make_version("barn-v1", project=barn.project, weights_removed_at=timezone.now())
    factories.make_training_run(barn.project, version=version)
    before = barn.project.snapshots.count()
    with pytest.raises(RoostError, match="weights of barn-v1 were removed"):
        ask(barn, version)
    assert (barn.project.jobs.filter(kind="gate").count(), barn.project.snapshots.count()) == (0, before)


def test_what_can_not_be_judged_is_refused(barn, shipped):
    settled(barn, "train", "present")
    with pytest.raises(ConflictError, match="against itself"):
        ask(barn, barn.project.serving_version)
    with pytest.raises(RoostError, match="weights of barn-v9 are not"):
        ask(barn, factories.make_version("barn-v9", project=barn.project))
    with pytest.raises(RoostError, match="0 scenes with the thing"):
        ask(barn, shipped)
    foreign = factories.make_version("coop-v1", project=factories.make_project(barn.admin, "Coop"))
    with pytest.raises(RoostError, match="another project"):
        ask(barn, foreign)
    assert not Job.objects.exists()


def page_of(signed_in, user, gate) -> str:
    answer = signed_in(user).get(reverse("gate", args=["barn", gate.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_page_shows_the_decision_with_its_policy_as_it_was_then(barn, shipped, signed_in):
    page = page_of(signed_in, barn.annotator, decided(barn, shipped))
    assert "About 73 more negatives would settle it." in page
    assert "1.5 decisions" in page
    now = barn.project.gate_policy
    assert now["alarm_margin"] == 0.02
    row = page[page.index('class="mono">alarm_margin') :]
    assert "<td>0.01</td><td>0.02</td>" in "".join(row[: row.index("</tr>")].split())
    same = page[page.index('class="mono">min_gain_points') :]
    assert "<td>1</td><td></td>" in "".join(same[: same.index("</tr>")].split())


def test_page_offers_promotion_against_the_gate_only_with_a_reason_and_to_admins(barn, shipped, signed_in):
    gate = decided(barn, shipped)
    there = reverse("gate-promote", args=["barn", gate.pk])
    assert there not in page_of(signed_in, barn.reviewer, gate)
    page = page_of(signed_in, barn.admin, gate)
    assert page.count(there) == 1
    assert 'name="override_reason"' in page
    passed = decided(barn, factories.make_version("other"), "promote")
    assert 'name="override_reason"' not in page_of(signed_in, barn.admin, passed)


def test_an_override_without_a_run_serves_and_stands_in_the_audit_log(tiny_barn, signed_in):
    gate = decided(tiny_barn, factories.make_version("other"))
    there, client = reverse("gate-promote", args=["barn", gate.pk]), signed_in(tiny_barn.admin)
    client.post(there, {"override_reason": " "})
    assert Project.objects.get(pk=tiny_barn.project.pk).serving_version.name == "tiny"
    client.post(there, {"override_reason": "It is better on our hens."})
    assert Project.objects.get(pk=tiny_barn.project.pk).serving_version.name == "other"
    assert Deployment.objects.get(action="promote").gate == gate
    event = AuditEvent.objects.get(action="version.promote")
    assert (event.actor, event.details["override_reason"]) == (tiny_barn.admin, "It is better on our hens.")
    page = client.get(reverse("audit", args=["barn"])).content.decode()
    assert "It is better on our hens." in page
    for name in ("models", "project"):
        assert f"gate of {gate.challenger.name}" in client.get(reverse(name, args=["barn"])).content.decode()


def test_list_has_decisions_with_and_without_a_run_and_its_form_asks(barn, shipped, signed_in):
    for truth in ("present", "absent"):
        settled(barn, "holdout", truth)
    run = factories.make_training_run(barn.project, version=factories.make_version("barn-v1", project=barn.project))
    factories.make_gate(run, "reject")
    decided(barn, factories.make_version("other"))
    client = signed_in(barn.admin)
    page = client.get(reverse("gates", args=["barn"])).content.decode()
    assert "Reject" in page
    assert "Undecided" in page
    assert 'value="demo"' not in page, "what serves is no challenger"
    answer = client.post(reverse("gates", args=["barn"]), {"version": "sam3", "snapshot": ""})
    job = Job.objects.get(kind="gate")
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    refused = client.post(reverse("gates", args=["barn"]), {"version": "sam3", "snapshot": ""})
    assert (refused.status_code, b"asked already" in refused.content) == (400, True)


def test_project_with_no_other_version_is_told_how_one_is_made(barn, signed_in):
    page = signed_in(barn.admin).get(reverse("gates", args=["barn"])).content.decode()
    assert "There is no version but" in page
    assert 'name="version"' not in page
