"""People, settings, tokens and the log-in: who may what, changed from the page."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.models import AuditEvent, Concept, Membership, Pair, Project, Task
from annotator.people.people_page import people_of
from tests import factories

PEOPLE = reverse("people", args=["barn"])
SETTINGS = reverse("settings", args=["barn"])


def role(user) -> str | None:
    return Membership.objects.filter(user=user).values_list("role", flat=True).first()


def test_admin_adds_an_existing_account(barn, signed_in):
    answer = signed_in(barn.admin).post(PEOPLE, {"username": "outsider", "role": "reviewer"})
    assert answer.status_code == 200
    assert role(barn.outsider) == "reviewer"


def test_new_account_gets_a_password_that_works_and_is_shown_once(barn, signed_in, client):
    page = signed_in(barn.admin).post(PEOPLE, {"username": "newcomer", "role": "annotator"})
    password = page.context["password"]
    assert password in page.content.decode()
    assert page["Cache-Control"] == "no-store"
    assert client.login(username="newcomer", password=password)
    assert password not in signed_in(barn.admin).get(PEOPLE).content.decode()
    assert password not in str(list(AuditEvent.objects.values_list("details", flat=True)))


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"username": "annotator", "role": "admin"}, "is a member already"),
        ({"username": "two words", "role": "annotator"}, "Enter a valid username"),
        ({"username": "newcomer", "role": "king"}, "king is not one of the available choices"),
        ({"username": "", "role": "annotator"}, "This field is required"),
    ],
)
def test_wrong_invitation_makes_no_account_and_no_member(barn, signed_in, form, sentence):
    users = get_user_model().objects.count()
    page = signed_in(barn.admin).post(PEOPLE, form)
    assert (page.status_code, get_user_model().objects.count()) == (400, users)
    assert sentence in page.content.decode() or sentence in str(page.context["form"].errors)
    assert (role(barn.annotator), barn.project.memberships.count()) == ("annotator", 3)


def test_role_is_changed_from_the_list(barn, signed_in):
    signed_in(barn.admin).post(reverse("member-change", args=["barn", barn.annotator.pk]), {"role": "reviewer"})
    assert role(barn.annotator) == "reviewer"


def test_member_is_taken_out(barn, signed_in):
    signed_in(barn.admin).post(reverse("member-change", args=["barn", barn.annotator.pk]), {"role": ""})
    assert role(barn.annotator) is None


def test_last_admin_stays(barn, signed_in):
    address = reverse("member-change", args=["barn", barn.admin.pk])
    page = signed_in(barn.admin).post(address, {"role": "annotator"}, follow=True)
    assert role(barn.admin) == "admin"
    assert "needs an admin" in page.content.decode()


def test_admin_who_leaves_lands_on_the_own_projects(barn, signed_in):
    factories.make_member(barn.project, barn.outsider, "admin")
    answer = signed_in(barn.admin).post(reverse("member-change", args=["barn", barn.admin.pk]), {"role": ""})
    assert answer["Location"] == reverse("home")


def test_released_lease_goes_back_to_the_queue(barn, signed_in):
    task = factories.make_task(barn.project, holder=barn.annotator)
    signed_in(barn.reviewer).post(reverse("lease-release", args=["barn", task.pk]))
    task.refresh_from_db()
    assert (task.state, task.holder) == (Task.State.QUEUED, None)


def test_lease_that_is_gone_already_is_told(barn, signed_in):
    task = factories.make_task(barn.project)
    page = signed_in(barn.reviewer).post(reverse("lease-release", args=["barn", task.pk]), follow=True)
    assert 'role="alert"' in page.content.decode()


def test_queries_do_not_grow_with_people(barn):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            people_of(project=barn.project)
        return len(queries)

    few = count()
    for _ in range(5):
        factories.make_task(barn.project, holder=factories.make_member(barn.project))
    assert count() == few


def valid_settings(**changes) -> dict:
    fixed = {
        "name": "Barn",
        "presence_low": "0.4",
        "presence_high": "0.6",
        "stability_below": "0.75",
        "audit_share": "0.1",
        "mine_batch": "50",
        "rank_by": "value",
        "weight_band": "1",
        "weight_disagreement": "0.5",
        "weight_borderline": "0.5",
        "weight_fill": "0",
        "double_share": "0",
        "honeypot_share": "0",
        "pseudo_error": "0.01",
        "review_policy": "all",
        "review_share": "0.2",
        "bulk_score": "0.8",
        "bulk_iou": "0.9",
        "bulk_look_share": "0.1",
        "gate_min_gain_points": "1",
        "gate_bootstrap": "1000",
        "gate_confidence": "0.95",
        "gate_level": "0.05",
        "gate_alarms": "margin",
        "gate_alarm_margin": "0.02",
        "gate_recall_margin": "0.05",
        "gate_concept_points": "2",
        "gate_min_scenes": "10",
        "retrain_after_approvals": "0",
        "retrain_schedule": "never",
        "retrain_rest_hours": "6",
        "hour_price": "0",
        "person_hour_price": "0",
        "preset": "pilot",
        "currency": "USD",
    }
    return fixed | changes


def test_settings_are_stored_and_logged_with_what_they_were(barn, signed_in):
    changed = valid_settings(presence_low="0.3", self_review_allowed="on", review_policy="sample")
    assert signed_in(barn.admin).post(SETTINGS, changed)["Location"] == SETTINGS
    project = Project.objects.get(pk=barn.project.pk)
    assert (project.presence_low, project.self_review_allowed, project.review_policy) == (0.3, True, "sample")
    assert (project.gate_speed_ratio, project.gate_alarm_cap) == (None, None), "empty: no limit"
    assert AuditEvent.objects.get(action="project.settings").details["changed"]["presence_low"] == [0.4, 0.3]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("presence_low", "0.7"),
        ("presence_high", "1.2"),
        ("audit_share", "-0.1"),
        ("mine_batch", "0"),
        ("weight_band", "-1"),
        ("double_share", "2"),
        ("mine_batch", "many"),
        ("review_policy", "never"),
        ("gate_bootstrap", "10"),
        ("gate_confidence", "0.4"),
        ("gate_confidence", "1"),
        ("gate_min_gain_points", "-1"),
        ("gate_min_gain_points", "nan"),
        ("gate_alarm_cap", "2"),
        ("gate_alarms", "some"),
        ("gate_min_scenes", "0"),
        ("name", ""),
    ],
)
def test_wrong_setting_changes_nothing_and_says_where(barn, signed_in, field, value):
    before = Project.objects.filter(pk=barn.project.pk).values().get()
    page = signed_in(barn.admin).post(SETTINGS, valid_settings(stability_below="0.5", **{field: value}))
    assert page.status_code == 400
    wrong = {"presence_low": "presence_high"}.get(field, field)
    assert page.context["form"].errors[wrong]
    assert Project.objects.filter(pk=barn.project.pk).values().get() == before


def test_new_concept_gets_an_unseen_pair_for_every_image(barn, signed_in):
    image = factories.make_image(barn.project)
    signed_in(barn.admin).post(
        reverse("concept-add", args=["barn"]), {"name": "Grey  Goose", "synonyms": "goose, gander"}
    )
    concept = barn.project.concepts.get(name="grey goose")
    assert concept.synonyms == ["goose", "gander"]
    assert Pair.objects.get(image=image, concept=concept).truth == Pair.Truth.UNSEEN


def test_concept_without_a_name_is_refused(barn, signed_in):
    page = signed_in(barn.admin).post(reverse("concept-add", args=["barn"]), {"name": " "})
    assert (page.status_code, barn.project.concepts.count()) == (400, 1)


def test_concept_s_colour_and_synonyms_change_but_not_its_name(barn, signed_in):
    address = reverse("concept", args=["barn", barn.chicken.pk])
    signed_in(barn.admin).post(address, {"colour": "#AA0000", "synonyms": "Hen, hen , cock", "name": "goat"})
    concept = Concept.objects.get(pk=barn.chicken.pk)
    assert (concept.name, concept.colour, concept.synonyms) == ("chicken", "#aa0000", ["hen", "cock"])


@pytest.mark.parametrize("colour", ["red", "#12", "#zzzzzz", "url(x)", ""])
def test_colour_that_is_none_is_refused(barn, signed_in, colour):
    signed_in(barn.admin).post(reverse("concept", args=["barn", barn.chicken.pk]), {"colour": colour})
    assert Concept.objects.get(pk=barn.chicken.pk).colour == barn.chicken.colour


def test_token_is_shown_once_and_opens_the_api(barn, signed_in, client):
    browser = signed_in(barn.annotator)
    token = browser.post(reverse("tokens"), {"name": "nightly"}).context["token"]
    answer = client.get(reverse("api-projects"), headers={"Authorization": f"Token {token}"})
    assert answer.status_code == 200
    assert token not in browser.get(reverse("tokens")).content.decode()


def test_revoked_token_opens_nothing(barn, signed_in, client):
    browser = signed_in(barn.annotator)
    token = browser.post(reverse("tokens"), {"name": "nightly"}).context["token"]
    browser.post(reverse("token-revoke", args=[barn.annotator.api_tokens.get().pk]))
    assert client.get(reverse("api-projects"), headers={"Authorization": f"Token {token}"}).status_code == 401


def test_somebody_else_s_token_can_not_be_revoked(barn, signed_in):
    signed_in(barn.annotator).post(reverse("tokens"), {"name": "nightly"})
    token = barn.annotator.api_tokens.get()
    assert signed_in(barn.admin).post(reverse("token-revoke", args=[token.pk])).status_code == 404
    assert barn.annotator.api_tokens.count() == 1


def test_log_in_leads_to_where_one_wanted_to_go(barn, client):
    asked = client.get(reverse("queue", args=["barn"]))["Location"]
    form = {"username": "annotator", "password": "a long password", "next": reverse("queue", args=["barn"])}
    assert client.post(asked, form)["Location"] == reverse("queue", args=["barn"])


def test_log_in_leads_to_no_other_site(barn, client):
    form = {"username": "annotator", "password": "a long password", "next": "https://elsewhere.example/"}
    assert client.post(reverse("login"), form)["Location"] == reverse("home")


def test_wrong_password_says_so_and_logs_nobody_in(barn, client):
    page = client.post(reverse("login"), {"username": "annotator", "password": "wrong"})
    assert "don&#x27;t belong together" in page.content.decode() or "don't belong together" in page.content.decode()
    assert "_auth_user_id" not in client.session


def test_log_in_page_hints_at_the_demo_only_where_it_is(barn, client):
    assert "demo_logins" not in client.get(reverse("login")).content.decode()
    Project.objects.update(is_demo=True)
    assert "demo_logins" in client.get(reverse("login")).content.decode()


def test_health_needs_no_log_in(db, client):
    assert client.get(reverse("healthz")).json() == {"status": "up"}
