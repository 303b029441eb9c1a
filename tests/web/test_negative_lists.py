"""Lists of verified negatives: which tables state it, which are offered, and whose pictures they mean."""

import json

import pytest

from annotator.data.convert import Wish, files_checked, files_converted
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Pair
from tests import factories
from tests.web.format_trees import tree
from tests.web.negative_support import (
    coco,
    import_command,
    imported,
    look_done,
    picture,
    settled_before,
    truths,
    whys,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_table_with_file_name_and_concept_called_negatives_is_read_by_itself(barn, tmp_path):
    factories.make_concept(barn.project, "duck")
    rows = "file_name,concept\n1.png,chicken\n2.png,chicken; duck\n9.png,chicken\n,chicken\n1.png,\n8.png,duck\n"
    files = {f"{n}.png": picture(n) for n in (1, 2, 3)} | {"negatives.csv": rows}
    report = imported(barn, tree(tmp_path, files), exhaustive=True)
    assert truths(barn) == {"1.png": "absent", "2.png": "absent", "3.png": "unseen"}
    assert truths(barn, "duck") == {"1.png": "unseen", "2.png": "absent", "3.png": "unseen"}
    groups = {row["why"]: (row["count"], row["files"]) for row in report["problem_groups"]}
    [nowhere] = [value for why, value in groups.items() if "neither these files" in why]
    assert nowhere == (2, ["9.png", "8.png"])
    assert groups["The line names no picture."] == (1, ["negatives.csv: negatives.csv, line 5"])
    assert groups["The line names no concept."] == (1, ["negatives.csv: negatives.csv, line 6"])


@pytest.mark.parametrize("column", ["absent", "negative_of", "Verified negative"])
def test_column_that_says_negative_states_it_whatever_the_file_is_called(barn, tmp_path, column):
    files = {"1.png": picture(1), "round-2.csv": f"\ufeffImage;{column}\r\n1.png;Chicken\r\n"}
    assert imported(barn, tree(tmp_path, files))["negatives"] == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("verified.csv", "file_name,concept\n1.png,chicken\n"),  # says nothing of negatives
        ("not-chicken.txt", "1.png\n"),  # a name only hints
        ("pictures.txt", "1.png\n"),
    ],
)
def test_list_that_says_less_is_offered_and_counts_once_somebody_says_so(barn, tmp_path, name, content):
    root = tree(tmp_path, {"1.png": picture(1), "2.png": picture(2), name: content})
    report = imported(barn, root)
    assert set(truths(barn).values()) == {"unseen"}
    assert f"['{name}'] It lists pictures." in whys(report)
    [offer] = look_done(barn, root)["offers"]
    assert (offer["where"], offer["kind"], offer["pictures"]) == (name, "list", 1)
    said = [] if offer["concepts"] else ["chicken"]
    assert imported(barn, root, negatives={name: said})["negatives"] == 1
    assert truths(barn) == {"1.png": "absent", "2.png": "unseen"}


@pytest.mark.parametrize(
    "content",
    [
        "filename,label\n1.png,chicken\n",  # what such tables say elsewhere: it IS there
        "filename,width,height,class,xmin,ymin,xmax,ymax\n1.png,16,16,chicken,1,1,4,4\n",
        "file_name,concept,present\n1.png,chicken,1\n",
        "1.png,chicken\n",
    ],
)
@pytest.mark.parametrize("name", ["table.csv", "negatives.csv"])
def test_table_that_may_say_what_is_there_makes_no_negative_and_is_refused_by_name(barn, tmp_path, name, content):
    root = tree(tmp_path, {"1.png": picture(1), name: content})
    report = imported(barn, root, exhaustive=True)
    assert truths(barn) == {"1.png": "unseen"}
    assert name in whys(report)
    assert look_done(barn, root)["offers"] == []
    job = import_start(project=barn.project, user=barn.admin, upload_path=root, negatives={name: ["chicken"]})
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.reason.startswith(f"{name}: ")) == ("failed", True)


def test_table_called_negatives_that_can_not_be_understood_says_why(barn, tmp_path):
    files = {"1.png": picture(1), "negatives.csv": "file_name,concept,present\n1.png,chicken,1\n"}
    told = whys(imported(barn, tree(tmp_path, files)))
    assert "['negatives.csv'] Its columns file name, concept, present could say anything." in told


def test_check_and_convert_know_lists_without_a_database(tmp_path):
    files = {"1.png": picture(1), "negatives.csv": "file_name,concept\n1.png,chicken\n", "l.txt": "1.png\n"}
    root = str(tree(tmp_path / "in", files))
    report = files_checked(root, wish=Wish()).as_dict()
    assert [(row["format"], row["classes"]) for row in report["documents"]] == [("negatives", {"no chicken": 1})]
    assert [row["where"] for row in report["problems"]] == [["l.txt"]]
    files_converted(root, tmp_path / "out", to="coco", wish=Wish())
    written = json.loads(next((tmp_path / "out").rglob("*coco*.json")).read_text())
    assert written["images"][0]["neg_category_ids"] == [1]


def test_yes_or_no_in_a_column_called_absent_is_no_concept(barn, tmp_path):
    files = {"1.png": picture(1), "a.csv": "file_name,absent\n1.png,1\n"}
    report = imported(barn, tree(tmp_path, files), create_concepts=True)
    assert list(barn.project.concepts.values_list("name", flat=True)) == ["chicken"]
    assert "yes or no" in whys(report)


def test_list_alone_speaks_of_pictures_that_the_project_has(barn, tmp_path):
    for number in (1, 2):
        settled_before(barn, tmp_path, number, "unseen", "")
    root = tree(tmp_path / "new", {"seen.txt": "somewhere/1.png\nother/7.png\n"})
    counts = look_done(barn, root, negative_of=["chicken"])
    assert (counts["counts"]["absent"], counts["pictures_known"], counts["samples"][0]["absent"]) == (1, 1, ["chicken"])
    report = imported(barn, root, negative_of=["chicken"])
    assert truths(barn) == {"1.png": "absent", "2.png": "unseen"}
    assert (report["images_added"], report["negatives"]) == (0, 1)
    assert "['other/7.png'] It is said to be a negative, and neither these files nor the project" in whys(report)


def test_list_by_itself_is_a_source(barn, tmp_path):
    settled_before(barn, tmp_path, 1, "unseen", "")
    (tmp_path / "went-through.txt").write_text("1.png\n")
    assert import_command(str(tmp_path / "went-through.txt"), "--negative-of", "chicken")["negatives"] == 1
    assert truths(barn) == {"1.png": "absent"}


def test_document_and_list_about_a_picture_that_is_here_are_read_together(barn, tmp_path):
    settled_before(barn, tmp_path, 1, "unseen", "")
    files = {"negatives.csv": "file_name,concept\n1.png,chicken\n", "old.json": coco(["old/1.png"])}
    report = imported(barn, tree(tmp_path / "new", files))
    assert truths(barn) == {"1.png": "present"}
    assert report["negatives_contradicted"] == 1


def test_two_names_of_one_list_that_end_alike_name_no_picture_that_is_here(barn, tmp_path):
    settled_before(barn, tmp_path, 1, "unseen", "")
    imported(
        barn,
        tree(tmp_path / "new", {"l.txt": "a/1.png\nb/1.png\n", "x.png": picture(9)}),
        negatives={"l.txt": ["chicken"]},
    )
    assert truths(barn)["1.png"] == "unseen"


def test_name_that_several_files_have_is_nobody_s_negative(barn, tmp_path):
    files = {"a/1.png": picture(1), "b/1.png": picture(2), "negatives.csv": "file_name,concept\n1.png,chicken\n"}
    report = imported(barn, tree(tmp_path, files))
    assert set(Pair.objects.values_list("truth", flat=True)) == {"unseen"}
    assert "Several files are called so" in whys(report)


def test_negatives_of_an_unknown_concept_in_a_list_are_counted(barn, tmp_path):
    files = {"1.png": picture(1), "negatives.csv": "file_name,concept\n1.png,goose\n"}
    report = imported(barn, tree(tmp_path, files))
    assert (report["unknown_negatives"], report["unknown_categories"]) == ({"goose": 1}, {})
