"""Pictures that a person vouches to show none of a concept: what such a word makes true, and what it is used for."""

import pytest

from annotator.data.hard_negatives import hard_negatives_hold, hard_negatives_state
from annotator.data.snapshots import snapshot_create
from annotator.models import Image, Pair
from tests import factories
from tests.web.format_trees import tree
from tests.web.negative_support import coco, imported, look_done, picture, settled_before, truths, whys

pytestmark = pytest.mark.django_db(transaction=True)


def test_folder_of_which_somebody_vouches_is_negatives_of_that_concept_alone(barn, tmp_path):
    factories.make_concept(barn.project, "duck")
    report = imported(barn, tree(tmp_path, {f"{n}.png": picture(n) for n in (1, 2, 3)}), negative_of=["Chicken"])
    assert (report["images_added"], report["pairs_settled"], report["negatives"]) == (3, 3, 3)
    assert truths(barn) == {f"{n}.png": "absent" for n in (1, 2, 3)}
    assert set(truths(barn, "duck").values()) == {"unseen"}
    pair = Pair.objects.filter(truth="absent").first()
    assert (pair.truth_source, pair.is_exhaustive, pair.settled_by_import.kind) == ("imported", True, "import")


def test_nothing_is_vouched_for_by_itself(barn, tmp_path):
    report = imported(barn, tree(tmp_path, {"not-chicken/1.png": picture(1), "chicken/2.png": picture(2)}))
    assert set(truths(barn).values()) == {"unseen"}
    assert report["negatives"] == 0
    assert "['not-chicken'] Its name says that it holds negatives." in whys(report)


def test_one_folder_of_several_is_vouched_for(barn, tmp_path):
    files = {"not-chicken/1.png": picture(1), "chicken/2.png": picture(2), "yard/not-chicken/3.png": picture(3)}
    report = imported(barn, tree(tmp_path, files), negatives={"not-chicken": ["chicken"]})
    assert truths(barn) == {"1.png": "absent", "2.png": "unseen", "3.png": "unseen"}
    assert report["negatives"] == 1


def test_picture_that_a_document_outlines_is_never_absent_and_is_told(barn, tmp_path):
    root = tree(tmp_path, {f"{n}.png": picture(n) for n in (1, 2)} | {"all.json": coco(["1.png"])})
    report = imported(barn, root, negative_of=["chicken"], exhaustive=True)
    assert truths(barn) == {"1.png": "present", "2.png": "absent"}
    assert not Pair.objects.get(truth="present").is_exhaustive
    assert report["negatives_contradicted"] == 1
    assert "['1.png'] It was said to show no chicken" in whys(report)


def test_picture_with_a_box_of_the_thing_stays_open_and_is_told(barn, tmp_path):
    root = tree(tmp_path, {"1.png": picture(1), "all.json": coco(["1.png"], bbox=[2, 2, 4, 4])})
    report = imported(barn, root, negative_of=["chicken"])
    assert truths(barn) == {"1.png": "unseen"}
    assert (report["negatives_contradicted"], report["pairs_sketched"]) == (1, 1)


def test_what_lies_under_a_name_nobody_decided_about_withholds_the_negative(barn, tmp_path):
    files = {"1.png": picture(1), "2.png": picture(2), "all.json": coco(["1.png"], category="rooster")}
    report = imported(barn, tree(tmp_path, files), negative_of=["chicken"])
    assert truths(barn) == {"1.png": "unseen", "2.png": "absent"}
    assert (report["negatives_withheld"], report["negatives"]) == (1, 1)


def test_statement_is_about_the_thing_whatever_its_classes_are_called(barn, tmp_path):
    """hen and rooster are the concept; that no document judges them in a picture doesn't make the word void."""
    files = {f"{n}.png": picture(n) for n in (1, 2, 3)}
    root = tree(tmp_path, files | {"hens.json": coco(["1.png"], category="hen")})
    report = imported(barn, root, negative_of=["chicken"], classes={"hen": "chicken"})
    assert truths(barn) == {"1.png": "present", "2.png": "absent", "3.png": "absent"}
    assert report["negatives_contradicted"] == 1


def test_picture_in_a_folder_called_as_the_thing_contradicts_the_word_about_all(barn, tmp_path):
    files = {"Chickens/1.png": picture(1), "yard/2.png": picture(2), "yard/3.png": picture(1)}
    report = imported(barn, tree(tmp_path, files), negative_of=["chicken"])
    assert truths(barn) == {"1.png": "unseen", "2.png": "absent"}
    assert report["negatives_contradicted"] == 2


def test_equal_bytes_that_contradict_take_back_the_import_s_own_negative(barn, tmp_path):
    files = {"a/1.png": picture(1), "b/1.png": picture(1), "b/b.json": coco(["1.png"], bbox=[2, 2, 4, 4])}
    report = imported(barn, tree(tmp_path, files), negatives={"a": ["chicken"]})
    pair = Pair.objects.get(project=barn.project)
    assert (pair.truth, pair.truth_source, pair.instances[0]["coarse"]) == ("unseen", "", True)
    assert (report["negatives"], report["pairs_settled"], report["negatives_contradicted"]) == (0, 0, 1)


def test_person_s_verdict_stays_and_the_contradiction_is_told(barn, tmp_path):
    settled_before(barn, tmp_path, 1, "present", "annotated")
    settled_before(barn, tmp_path, 2, "absent", "annotated")
    root = tree(tmp_path / "new", {f"{n}.png": picture(n) for n in (1, 2, 3)})
    looked = look_done(barn, root, negative_of=["chicken"])["counts"]
    assert (looked["absent"], looked["contradicted"], looked["as_before"]) == (1, 1, 1)
    report = imported(barn, root, negative_of=["chicken"])
    assert truths(barn) == {"1.png": "present", "2.png": "absent", "3.png": "absent"}
    assert (report["negatives"], report["negatives_contradicted"], report["pairs_kept"]) == (1, 1, 2)
    assert "['1.png'] It is no negative, though these files say so: a person found the thing in it." in whys(report)
    assert Pair.objects.get(image__original_name="2.png").truth_source == "annotated"


def test_earlier_import_s_outline_and_box_stay(barn, tmp_path):
    settled_before(barn, tmp_path, 1, "present", "imported")
    boxed = settled_before(barn, tmp_path, 2, "unseen", "")
    Pair.objects.filter(pk=boxed.pk).update(instances=[{"mask": factories.box_rle(), "coarse": True}])
    root = tree(tmp_path / "new", {f"{n}.png": picture(n) for n in (1, 2)})
    report = imported(barn, root, negative_of=["chicken"])
    assert truths(barn) == {"1.png": "present", "2.png": "unseen"}
    assert (report["negatives"], report["negatives_contradicted"]) == (0, 2)


def test_imported_negative_on_which_a_model_fires_may_judge(barn, tmp_path):
    imported(barn, tree(tmp_path, {"1.png": picture(1)}), negative_of=["chicken"], split="train")
    pair = Pair.objects.get()
    seen = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "score": 0.9, "query_score": 0.95, "stability": 0.9}
    factories.make_prediction(pair, 0.95, [seen])
    assert hard_negatives_state(project=barn.project).free == 1
    hard_negatives_hold(project=barn.project, user=barn.admin, count=1)
    assert Image.objects.get().split == "holdout"


def test_snapshot_has_them_as_negatives_to_train_on(barn, tmp_path):
    files = {"1.png": picture(1), "2.png": picture(2), "all.json": coco(["1.png"])}
    imported(barn, tree(tmp_path, files), negative_of=["chicken"], split="train")
    snapshot = snapshot_create(project=barn.project, user=barn.admin)
    counts = snapshot.counts["train"]
    assert (counts["positives"], counts["negatives"]) == (1, 1)
