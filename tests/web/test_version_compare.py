"""Versions side by side: on one set, from kept rows, with what was mended and broken."""

import pytest
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.models import Job
from annotator.registry import version_compare
from annotator.registry.version_compare import comparison_of, is_right, versions_compared
from tests import factories
from tests.web.test_evaluations import MEASURES, evaluated, pair_row


@pytest.fixture
def trio(barn):
    return [factories.make_version(f"barn-v{number}", project=barn.project) for number in (1, 2, 3)]


@pytest.fixture
def snapshot(barn):
    return factories.make_snapshot(barn.project)


def rows(*found: tuple[int, int], scene: str = "") -> list[dict]:
    """Of pairs a, b (one instance each), c and d (nothing there): (predicted, right) each."""
    there = (1, 1, 0, 0)
    return [
        pair_row(name, there=count, found=number, right=right, scene=scene)
        for name, count, (number, right) in zip("abcd", there, found, strict=True)
    ]


FIRST = rows((1, 1), (0, 0), (0, 0), (2, 0))  # b missed, d an alarm
SECOND = rows((2, 1), (1, 1), (0, 0), (0, 0))  # a has one too many


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"there": 2, "found": 2, "right": 2}, True),
        ({"there": 2, "found": 3, "right": 2}, False),
        ({"there": 2, "found": 1, "right": 1}, False),
        ({"there": 0, "found": 0}, True),
        ({"there": 0, "found": 1}, False),
    ],
)
def test_a_pair_is_right_where_all_is_found_and_nothing_else(row, right):
    assert is_right(pair_row("a", **row)) is right


def test_mended_and_broken_pairs_and_the_paired_difference(barn, trio, snapshot):
    for version, found in zip(trio, (FIRST, SECOND), strict=False):
        evaluated(barn, version, snapshot, rows=found)
    found = comparison_of(project=barn.project, versions=trio[:2])
    (one,) = found.differences
    assert versions_compared(project=barn.project, names=["barn-v2", "barn-v1"]) == trio[:2], "the older one first"
    assert (one.version, one.against, found.pairs) == ("barn-v2", "barn-v1", 4)
    assert [change.image[0] for change in one.mended] == ["b", "d"]
    assert [change.image[0] for change in one.broken] == ["a"]
    assert one.broken[0].words == "1 there; 1 right of 1 found, then 1 right of 2 found"
    gains = {name: (gain, low, high) for name, gain, low, high in one.gains}
    # pmF1: TP 1, FN 1 is 2/3; TP 2, FP 1 is 4/5. IL_MCC: 1 of 2 hit, 1 alarm of 2 is 0; all right is 1.
    assert gains["pmF1"][0] == pytest.approx(4 / 5 - 2 / 3, abs=1e-3)
    assert gains["IL_MCC"][0] == pytest.approx(1.0, abs=1e-3)
    assert all(low <= gain <= high for gain, low, high in gains.values())


def test_only_pairs_that_all_of_them_judged_are_compared(barn, trio, snapshot):
    evaluated(barn, trio[0], snapshot, rows=FIRST)
    evaluated(barn, trio[1], snapshot, rows=SECOND[1:])
    found = comparison_of(project=barn.project, versions=trio[:2])
    assert (found.pairs, found.pairs_differ, found.differences[0].broken_count) == (3, True, 0)


def test_set_that_most_were_judged_on_is_shown_and_who_lacks_is_told(barn, trio, snapshot):
    newer = factories.make_snapshot(barn.project)
    for version in trio[:2]:
        evaluated(barn, version, snapshot, rows=FIRST)
    evaluated(barn, trio[2], newer, "holdout", rows=FIRST)
    evaluated(barn, trio[0], newer, rows=FIRST, folder="")  # its rows are gone
    found = comparison_of(project=barn.project, versions=trio)
    assert (found.chosen.snapshot, found.chosen.split) == (snapshot.number, "test")
    assert [version.name for version in found.lacking] == ["barn-v3"]
    named = comparison_of(project=barn.project, versions=trio, snapshot=newer.number, split="holdout")
    assert [version.name for version in named.lacking] == ["barn-v1", "barn-v2"]


def test_offered_sets_are_bounded_and_a_named_one_beyond_them_is_found_with_its_newest(barn, trio, monkeypatch):
    monkeypatch.setattr(version_compare, "SETS", 2)
    snapshots = [factories.make_snapshot(barn.project) for _ in range(3)]
    for snapshot in snapshots:
        for version in trio[:2]:
            evaluated(barn, version, snapshot, rows=FIRST)
    newest = [evaluated(barn, version, snapshots[0], rows=SECOND) for version in trio[:2]]
    found = comparison_of(project=barn.project, versions=trio[:2])
    assert [one.snapshot for one in found.sets] == [snapshots[2].number, snapshots[1].number]
    assert all(one.versions == ("barn-v1", "barn-v2") for one in found.sets)
    named = comparison_of(project=barn.project, versions=trio[:2], snapshot=snapshots[0].number, split="test")
    assert (named.evaluations, named.pairs) == (newest, 4)


def test_versions_of_others_too_few_and_too_many_are_refused(barn, trio):
    foreign = factories.make_version("coop-v1", project=factories.make_project(barn.admin, "Coop"))
    with pytest.raises(RoostError, match="no version coop-v1") as refused:
        versions_compared(project=barn.project, names=["barn-v1", foreign.name])
    assert refused.value.http_status == 404
    for names in (["barn-v1"], ["barn-v1", "barn-v1"], [f"v{number}" for number in range(7)]):
        with pytest.raises(RoostError, match="two to 6"):
            versions_compared(project=barn.project, names=names)


def page_of(signed_in, user, *versions, more: str = ""):
    query = "&".join(f"version={version.name}" for version in versions)
    return signed_in(user).get(f"{reverse('version-compare', args=['barn'])}?{query}{more}")


def test_page_has_figures_differences_and_pictures_one_click_away(barn, trio, snapshot, signed_in):
    image = factories.make_image(barn.project)
    first, second = ([row | {"image": image.sha256} for row in side[1:2]] + side[2:] for side in (FIRST, SECOND))
    evaluated(barn, trio[0], snapshot, rows=first)
    evaluated(barn, trio[1], snapshot, rows=second)
    page = page_of(signed_in, barn.reviewer, *trio[:2]).content.decode()
    assert "barn-v2 against barn-v1" in page
    assert "[40.0, 60.0]" in page
    assert "2 pairs mended, 0 broken" in page
    assert reverse("image", args=["barn", image.sha256]) in page


def test_annotators_see_figures_and_no_pair_s_truth(barn, trio, snapshot, signed_in):
    for version, found in zip(trio, (FIRST, SECOND), strict=False):
        evaluated(barn, version, snapshot, rows=found)
    page = page_of(signed_in, barn.annotator, *trio[:2]).content.decode()
    assert "2 pairs mended, 1 broken" in page
    assert "b" * 64 not in page


def test_page_offers_to_evaluate_what_lacks_on_the_same_set(barn, trio, snapshot, signed_in):
    evaluated(barn, trio[0], snapshot, "holdout", rows=FIRST)
    page = page_of(signed_in, barn.admin, *trio[:2]).content.decode()
    assert "Evaluate barn-v2" in page
    assert "counts as a look" in page
    assert "Evaluate barn-v2" not in page_of(signed_in, barn.reviewer, *trio[:2]).content.decode()
    assert not Job.objects.filter(state="queued").exists()


def test_page_tells_why_too_few_and_too_many_are_not_compared_and_unknown_ones_are_not_there(barn, trio, signed_in):
    assert b"Name two to 6 versions, not 1." in page_of(signed_in, barn.annotator, trio[0]).content
    more = [factories.make_version(f"more-{number}", project=barn.project) for number in range(4)]
    assert b"Name two to 6 versions, not 7." in page_of(signed_in, barn.annotator, *trio, *more).content
    assert page_of(signed_in, barn.annotator, trio[0], more="&version=nobody").status_code == 404


def test_undefined_figures_are_told_as_such(barn, trio, snapshot, signed_in):
    for version in trio[:2]:
        evaluated(barn, version, snapshot, rows=FIRST, measures=MEASURES)
    assert b"not defined" in page_of(signed_in, barn.annotator, *trio[:2]).content
