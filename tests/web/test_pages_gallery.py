"""The gallery's pages: an act goes back to the list it came from, its Undo, changes, trash."""

import pytest
from django.urls import reverse
from django.utils import timezone

from annotator.models import BulkAction, Image, Task
from tests import factories


def send(browser, *pairs, **form):
    form = {"image": [pair.image.sha256 for pair in pairs], "seen_at": timezone.now().isoformat(), **form}
    return browser.post(reverse("images-act", args=["barn"]), form)


def test_act_goes_back_to_its_list_and_offers_undo(barn, signed_in):
    browser, pair = signed_in(barn.reviewer), factories.make_pair(barn.project)
    answer = send(browser, pair, do="queue", page="truth=unseen&before=99")
    assert answer["Location"] == reverse("images", args=["barn"]) + "?truth=unseen&before=99"
    page = browser.get(reverse("images", args=["barn"])).content.decode()
    assert "Queue by hand" in page
    undo = reverse("change-undo", args=["barn", BulkAction.objects.get().pk])
    assert undo in page
    assert undo not in signed_in(barn.admin).get(answer["Location"]).content.decode()


def test_all_found_are_those_of_the_filter_and_not_of_the_page(barn, signed_in):
    wanted, other = factories.make_pair(barn.project), factories.make_pair(barn.project, truth="absent")
    send(signed_in(barn.reviewer), do="queue", everything="1", filter="truth=unseen")
    assert [task.pair for task in Task.objects.all()] == [wanted]
    assert not other.tasks.exists()


def test_act_is_told_when_nothing_is_selected(barn, signed_in):
    browser = signed_in(barn.reviewer)
    answer = send(browser, do="queue")
    assert "No image is selected" in browser.get(answer["Location"]).content.decode()


def test_settled_pair_is_asked_again_from_its_image(barn, signed_in):
    pair = factories.make_pair(barn.project, truth="present")
    browser, address = signed_in(barn.reviewer), reverse("image", args=["barn", pair.image.sha256])
    assert "Ask again" in browser.get(address).content.decode()
    answer = send(browser, pair, do="reopen", concept=pair.concept_id, opened=pair.image.sha256)
    assert answer["Location"] == address
    assert pair.tasks.get().lane == "manual"
    assert "Ask again" not in browser.get(address).content.decode()


@pytest.mark.parametrize("opened", ["../../evil", "//evil.example", "%2e%2e"])
def test_act_goes_back_into_the_project_alone(barn, signed_in, opened):
    answer = send(signed_in(barn.reviewer), factories.make_pair(barn.project), do="queue", opened=opened)
    assert answer["Location"] == reverse("images", args=["barn"])


def test_change_of_another_project_is_unknown(barn, signed_in):
    other = factories.make_project()
    change = BulkAction.objects.create(project=other, user=barn.admin, kind="queue", done=1)
    assert signed_in(barn.admin).post(reverse("change-undo", args=["barn", change.pk])).status_code == 404


def test_reviewer_takes_back_no_change_of_somebody_else(barn, signed_in):
    change = BulkAction.objects.create(project=barn.project, user=barn.admin, kind="queue", done=1)
    assert signed_in(barn.reviewer).post(reverse("change-undo", args=["barn", change.pk])).status_code == 403
    change.refresh_from_db()
    assert change.undone_at is None


def test_trash_shows_what_was_deleted_and_brings_back_what_is_selected(barn, signed_in):
    browser, pair = signed_in(barn.admin), factories.make_pair(barn.project)
    send(browser, pair, do="delete", concept=barn.chicken.pk, split="val")
    assert BulkAction.objects.get().params == {"concept": None, "split": ""}
    media = reverse("media", args=["barn", pair.image.sha256])
    assert browser.get(media).status_code == 200
    assert signed_in(barn.reviewer).get(media).status_code == 404
    assert browser.get(reverse("image", args=["barn", pair.image.sha256])).status_code == 404
    page = browser.get(reverse("trash", args=["barn"])).content.decode()
    assert pair.image.original_name in page
    browser.post(reverse("trash", args=["barn"]), {"image": [pair.image_id, "x"]})
    assert Image.objects.filter(pk=pair.image_id).exists()


def test_annotators_see_no_checkbox(barn, signed_in):
    factories.make_pair(barn.project)
    assert b"gallery-form" not in signed_in(barn.annotator).get(reverse("images", args=["barn"])).content


def test_chips_say_what_is_known_of_each_pair_whatever_its_concept_is_called(barn, signed_in):
    pair = factories.make_pair(barn.project, truth="present", is_exhaustive=False)
    factories.make_pair(barn.project, truth="absent")
    address = reverse("images", args=["barn"])
    for name, told in (("hen", "hen"), ('<b>"hen"', "&lt;b&gt;&quot;hen&quot;")):
        pair.concept.name = name
        pair.concept.save()
        page = signed_in(barn.admin).get(address).content.decode()
        assert f'title="{told}: present, not every one drawn"' in page
        assert f'title="{told}: verified absent"' in page
        assert "<b>" not in page


def test_filter_that_means_nothing_is_named_and_narrows_nothing(barn, signed_in):
    shown = factories.make_pair(barn.project).image.original_name
    browser, address = signed_in(barn.annotator), reverse("images", args=["barn"])
    asked = {"concept": "chicken", "split": "validation", "truth": "unseen", "name": ""}
    page = browser.get(address, asked).content.decode()
    assert "<code>split=validation</code>, <code>concept=chicken</code>." in " ".join(page.split())
    assert shown in page
    assert "is not narrowed by it" not in browser.get(address, {"presence_low": "0", "truth": ""}).content.decode()
