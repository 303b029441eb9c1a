"""The page of one concept."""

import pytest
from django.urls import reverse

from annotator.models import Concept
from tests import factories


@pytest.fixture
def hen(barn):
    return factories.make_concept(barn.project, "hen")


def address(name: str, concept: Concept) -> str:
    return reverse(name, args=["barn", concept.pk])


def test_page_shows_what_a_merge_would_do_and_does_nothing(barn, hen, signed_in):
    image = factories.make_image(barn.project)
    for concept in (hen, barn.chicken):
        factories.make_pair(barn.project, concept, image, truth="present")
    page = signed_in(barn.admin).get(address("concept", hen), {"into": barn.chicken.pk}).content.decode()
    assert "«hen» into «chicken», nothing done yet" in page
    assert '<td>both marked</td><td class="num">1</td>' in page
    assert "Merge into chicken" in page
    hen.refresh_from_db()
    assert hen.retired_at is None


def test_page_says_what_stands_in_the_way_of_a_merge(barn, hen, signed_in):
    factories.make_task(barn.project, factories.make_pair(barn.project, hen), holder=barn.annotator)
    page = signed_in(barn.admin).get(address("concept", hen), {"into": barn.chicken.pk}).content.decode()
    assert "1 task of these images is in hand" in page
    assert "Merge into chicken" not in page


def test_merge_button_merges_and_leads_to_the_one_that_stays(barn, hen, signed_in):
    answer = signed_in(barn.admin).post(address("concept-merge", hen), {"into": barn.chicken.pk}, follow=True)
    assert answer.redirect_chain[0][0] == address("concept", barn.chicken)
    hen.refresh_from_db()
    assert hen.merged_into == barn.chicken


def test_rename_that_is_refused_shows_its_sentence(barn, hen, signed_in):
    answer = signed_in(barn.admin).post(address("concept-rename", hen), {"name": "Chicken", "keep_synonym": "on"})
    assert answer.status_code == 400
    assert "is another concept here; merge the two instead" in answer.content.decode()
    hen.refresh_from_db()
    assert hen.name == "hen"


def test_renamed_concept_tells_how_many_scores_go(barn, hen, signed_in):
    factories.make_prediction(factories.make_pair(barn.project, hen))
    body = {"name": "duck", "ask_again": "on"}
    answer = signed_in(barn.admin).post(address("concept-rename", hen), body, follow=True)
    assert "1 scores of the old name were dropped" in answer.content.decode()
    hen.refresh_from_db()
    assert (hen.name, hen.synonyms) == ("duck", [])


def test_retire_and_bring_back_by_button(barn, hen, signed_in):
    browser = signed_in(barn.admin)
    assert "Bring back" in browser.post(address("concept-retire", hen), follow=True).content.decode()
    assert "Retire" in browser.post(address("concept-restore", hen), follow=True).content.decode()
    hen.refresh_from_db()
    assert hen.retired_at is None


@pytest.mark.parametrize("into", ["", "987654", "x"])
def test_merge_into_nothing_is_404(barn, hen, signed_in, into):
    assert signed_in(barn.admin).post(address("concept-merge", hen), {"into": into}).status_code == 404
