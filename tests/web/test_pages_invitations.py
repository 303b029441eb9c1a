"""Joining by a link, and closing accounts."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone

from annotator.models import AuditEvent, Invitation, Membership, Task
from tests import factories

PASSWORD = "twelve hens in a row"


@pytest.fixture
def link(barn, signed_in) -> str:
    """The address that the people's page shows for a new reviewer."""
    form = {"invitation-note": "Ada", "invitation-role": "reviewer", "invitation-days": "7"}
    answer = signed_in(barn.admin).post(reverse("invitation-create", args=["barn"]), form)
    assert answer["Cache-Control"] == "no-store"
    return re.search(r"http://testserver(/join/[^<]+)<", answer.content.decode()).group(1)


def join_form(name: str = "ada", **changes) -> dict:
    return {"username": name, "password1": PASSWORD, "password2": PASSWORD, **changes}


def role(name: str) -> str | None:
    return Membership.objects.filter(user__username=name).values_list("role", flat=True).first()


def test_link_makes_an_account_with_its_owner_s_password_and_logs_in(barn, link, client):
    assert client.post(link, join_form())["Location"] == reverse("project", args=["barn"])
    assert role("ada") == "reviewer"
    assert client.get(reverse("people", args=["barn"])).status_code == 200
    client.logout()
    assert client.login(username="ada", password=PASSWORD)
    assert AuditEvent.objects.filter(action="invitation.accept", actor__username="ada").exists()


def test_link_is_shown_once_and_kept_nowhere(barn, link, signed_in):
    token = link.split("/")[2]
    page = signed_in(barn.admin).get(reverse("people", args=["barn"])).content.decode()
    assert "Ada" in page
    assert token not in page
    assert token not in str(list(Invitation.objects.values())) + str(list(AuditEvent.objects.values()))


def test_link_works_once(link, client):
    client.post(link, join_form())
    client.logout()
    answer = client.post(link, join_form("eve"))
    assert answer.status_code == 410
    assert "no good any more" in answer.content.decode()
    assert not get_user_model().objects.filter(username="eve").exists()


@pytest.mark.parametrize("ended", ["expired", "withdrawn", "inviter_left"])
def test_link_that_has_ended_lets_nobody_in(barn, link, client, signed_in, ended):
    if ended == "expired":
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif ended == "withdrawn":
        signed_in(barn.admin).post(reverse("invitation-revoke", args=["barn", Invitation.objects.get().pk]))
    else:
        Membership.objects.filter(user=barn.admin).update(role="reviewer")
    assert client.get(link).status_code == 410
    assert client.post(link, join_form()).status_code == 410
    assert role("ada") is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"password2": "another one altogether"}, "match"),
        ({"username": "annotator"}, "already exists"),
        ({"username": "two words"}, "Enter a valid username"),
    ],
)
def test_refused_name_or_password_leaves_the_link_good(barn, link, client, changes, sentence):
    answer = client.post(link, join_form(**changes))
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert Invitation.objects.get().used_at is None


def test_who_is_logged_in_joins_by_one_button(barn, link, signed_in):
    browser = signed_in(barn.outsider)
    assert "Join as outsider" in browser.get(link).content.decode()
    browser.post(link)
    assert role("outsider") == "reviewer"


def test_member_does_not_spend_the_link(barn, link, signed_in):
    page = signed_in(barn.annotator).post(link).content.decode()
    assert "You are a member of Barn already" in page
    assert (role("annotator"), Invitation.objects.get().used_at) == ("annotator", None)


@pytest.mark.parametrize("wrong", [{"role": "king"}, {"days": "0"}, {"days": "400"}, {"note": ""}])
def test_wrong_invitation_makes_no_link(barn, signed_in, wrong):
    form = {"note": "Ada", "role": "annotator", "days": "7"} | wrong
    body = {f"invitation-{name}": value for name, value in form.items()}
    assert signed_in(barn.admin).post(reverse("invitation-create", args=["barn"]), body).status_code == 400
    assert not Invitation.objects.exists()


def switch(browser, user, active: str) -> str:
    return browser.post(
        reverse("account-switch", args=["barn", user.pk]), {"active": active}, follow=True
    ).content.decode()


def test_closed_account_is_out_at_once_and_its_tasks_are_free(barn, signed_in):
    task = factories.make_task(barn.project, holder=barn.annotator)
    theirs, admin = signed_in(barn.annotator), signed_in(barn.admin)
    assert "annotator can&#x27;t log in any more" in switch(admin, barn.annotator, "no")
    assert theirs.get(reverse("project", args=["barn"])).status_code == 302
    task.refresh_from_db()
    assert (task.state, task.holder) == (Task.State.QUEUED, None)
    assert "annotator can log in again" in switch(admin, barn.annotator, "yes")
    assert get_user_model().objects.get(pk=barn.annotator.pk).is_active


def test_account_of_other_projects_too_is_not_one_admin_s_to_close(barn, signed_in):
    factories.make_member(factories.make_project(name="Other"), barn.annotator)
    assert "works in projects too that you are no admin of" in switch(signed_in(barn.admin), barn.annotator, "no")
    assert get_user_model().objects.get(pk=barn.annotator.pk).is_active


def test_nobody_closes_their_own_account_or_a_site_administrator_s(barn, signed_in):
    root = factories.make_member(barn.project, factories.make_user("root", is_superuser=True))
    browser = signed_in(barn.admin)
    assert "close your own account" in switch(browser, barn.admin, "no")
    assert "administers the whole site" in switch(browser, root, "no")
    assert get_user_model().objects.filter(is_active=False).count() == 0
