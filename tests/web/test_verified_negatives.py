"""Pictures that a person vouches to show none of a concept: folders, lists, uploads, by page, command and API alike."""

import json
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.data.convert import Wish, files_checked, files_converted
from annotator.data.hard_negatives import hard_negatives_hold, hard_negatives_state
from annotator.data.import_undo import import_undo_start
from annotator.data.imports import import_start
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run
from annotator.models import Image, Job, Pair
from tests import factories
from tests.web.format_trees import tree

pytestmark = pytest.mark.django_db(transaction=True)
SQUARE = [[2, 2, 6, 2, 6, 6, 2, 6]]


def _picture(number: int) -> bytes:
    return factories.image_bytes(seed=number)


def _run(job: Job) -> Job:
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


def _imported(barn, path, **options) -> dict:
    return _run(import_start(project=barn.project, user=barn.admin, upload_path=path, **options)).report


def _looked(barn, path, **options) -> dict:
    return _imported(barn, path, dry_run=True, **options)


def _truths(barn, concept="chicken") -> dict[str, str]:
    rows = Pair.objects.filter(project=barn.project, concept__name=concept)
    return {name: truth for name, truth in rows.values_list("image__original_name", "truth")}


def _coco(outlined: list[str], *, category="chicken", **row) -> dict:
    images = [{"id": n, "file_name": name, "width": 16, "height": 16} for n, name in enumerate(outlined, 1)]
    shape = row or {"segmentation": SQUARE}
    annotations = [{"id": n, "image_id": n, "category_id": 1, **shape} for n in range(1, len(outlined) + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": category}]}


def _whys(report: dict) -> str:
    return " ".join(f"{row['files']} {row['why']}" for row in report["problem_groups"])


def test_folder_of_which_somebody_vouches_is_negatives_of_that_concept_alone(barn, tmp_path):
    factories.make_concept(barn.project, "duck")
    report = _imported(barn, tree(tmp_path, {f"{n}.png": _picture(n) for n in (1, 2, 3)}), negative_of=["Chicken"])
    assert (report["images_added"], report["pairs_settled"], report["negatives"]) == (3, 3, 3)
    assert _truths(barn) == {f"{n}.png": "absent" for n in (1, 2, 3)}
    assert set(_truths(barn, "duck").values()) == {"unseen"}
    pair = Pair.objects.filter(truth="absent").first()
    assert (pair.truth_source, pair.is_exhaustive, pair.settled_by_import.kind) == ("imported", True, "import")


def test_nothing_is_vouched_for_by_itself(barn, tmp_path):
    report = _imported(barn, tree(tmp_path, {"not-chicken/1.png": _picture(1), "chicken/2.png": _picture(2)}))
    assert set(_truths(barn).values()) == {"unseen"}
    assert report["negatives"] == 0
    assert "['not-chicken'] Its name says that it holds negatives." in _whys(report)


def test_one_folder_of_several_is_vouched_for(barn, tmp_path):
    files = {"not-chicken/1.png": _picture(1), "chicken/2.png": _picture(2), "yard/not-chicken/3.png": _picture(3)}
    report = _imported(barn, tree(tmp_path, files), negatives={"not-chicken": ["chicken"]})
    assert _truths(barn) == {"1.png": "absent", "2.png": "unseen", "3.png": "unseen"}
    assert report["negatives"] == 1


def test_picture_that_a_document_outlines_is_never_absent_and_is_told(barn, tmp_path):
    root = tree(tmp_path, {f"{n}.png": _picture(n) for n in (1, 2)} | {"all.json": _coco(["1.png"])})
    report = _imported(barn, root, negative_of=["chicken"], exhaustive=True)
    assert _truths(barn) == {"1.png": "present", "2.png": "absent"}
    assert not Pair.objects.get(truth="present").is_exhaustive
    assert report["negatives_contradicted"] == 1
    assert "['1.png'] It was said to show no chicken" in _whys(report)


def test_picture_with_a_box_of_the_thing_stays_open_and_is_told(barn, tmp_path):
    root = tree(tmp_path, {"1.png": _picture(1), "all.json": _coco(["1.png"], bbox=[2, 2, 4, 4])})
    report = _imported(barn, root, negative_of=["chicken"])
    assert _truths(barn) == {"1.png": "unseen"}
    assert (report["negatives_contradicted"], report["pairs_sketched"]) == (1, 1)


def test_what_lies_under_a_name_nobody_decided_about_withholds_the_negative(barn, tmp_path):
    files = {"1.png": _picture(1), "2.png": _picture(2), "all.json": _coco(["1.png"], category="rooster")}
    report = _imported(barn, tree(tmp_path, files), negative_of=["chicken"])
    assert _truths(barn) == {"1.png": "unseen", "2.png": "absent"}
    assert (report["negatives_withheld"], report["negatives"]) == (1, 1)


def test_statement_is_about_the_thing_whatever_its_classes_are_called(barn, tmp_path):
    """hen and rooster are the concept; that no document judges them in a picture doesn't make the word void."""
    files = {f"{n}.png": _picture(n) for n in (1, 2, 3)}
    root = tree(tmp_path, files | {"hens.json": _coco(["1.png"], category="hen")})
    report = _imported(barn, root, negative_of=["chicken"], classes={"hen": "chicken"})
    assert _truths(barn) == {"1.png": "present", "2.png": "absent", "3.png": "absent"}
    assert report["negatives_contradicted"] == 1


def test_picture_in_a_folder_called_as_the_thing_contradicts_the_word_about_all(barn, tmp_path):
    files = {"Chickens/1.png": _picture(1), "yard/2.png": _picture(2), "yard/3.png": _picture(1)}
    report = _imported(barn, tree(tmp_path, files), negative_of=["chicken"])
    assert _truths(barn) == {"1.png": "unseen", "2.png": "absent"}
    assert report["negatives_contradicted"] == 2


def test_equal_bytes_that_contradict_take_back_the_import_s_own_negative(barn, tmp_path):
    files = {"a/1.png": _picture(1), "b/1.png": _picture(1), "b/b.json": _coco(["1.png"], bbox=[2, 2, 4, 4])}
    report = _imported(barn, tree(tmp_path, files), negatives={"a": ["chicken"]})
    pair = Pair.objects.get(project=barn.project)
    assert (pair.truth, pair.truth_source, pair.instances[0]["coarse"]) == ("unseen", "", True)
    assert (report["negatives"], report["pairs_settled"], report["negatives_contradicted"]) == (0, 0, 1)


def _settled_before(barn, folder, number: int, truth: str, source: str) -> Pair:
    name = f"{number}.png"
    _imported(barn, tree(folder / f"before-{number}", {name: _picture(number)}), kind="images")
    masks = [{"mask": factories.box_rle()}] if truth == "present" else []
    pairs = Pair.objects.filter(image__original_name=name, concept=barn.chicken)
    pairs.update(truth=truth, truth_source=source, instances=masks)
    return pairs.get()


def test_person_s_verdict_stays_and_the_contradiction_is_told(barn, tmp_path):
    _settled_before(barn, tmp_path, 1, "present", "annotated")
    _settled_before(barn, tmp_path, 2, "absent", "annotated")
    root = tree(tmp_path / "new", {f"{n}.png": _picture(n) for n in (1, 2, 3)})
    looked = _looked(barn, root, negative_of=["chicken"])["counts"]
    assert (looked["absent"], looked["contradicted"], looked["as_before"]) == (1, 1, 1)
    report = _imported(barn, root, negative_of=["chicken"])
    assert _truths(barn) == {"1.png": "present", "2.png": "absent", "3.png": "absent"}
    assert (report["negatives"], report["negatives_contradicted"], report["pairs_kept"]) == (1, 1, 2)
    assert "['1.png'] It is no negative, though these files say so: a person found the thing in it." in _whys(report)
    assert Pair.objects.get(image__original_name="2.png").truth_source == "annotated"


def test_earlier_import_s_outline_and_box_stay(barn, tmp_path):
    _settled_before(barn, tmp_path, 1, "present", "imported")
    boxed = _settled_before(barn, tmp_path, 2, "unseen", "")
    Pair.objects.filter(pk=boxed.pk).update(instances=[{"mask": factories.box_rle(), "coarse": True}])
    root = tree(tmp_path / "new", {f"{n}.png": _picture(n) for n in (1, 2)})
    report = _imported(barn, root, negative_of=["chicken"])
    assert _truths(barn) == {"1.png": "present", "2.png": "unseen"}
    assert (report["negatives"], report["negatives_contradicted"]) == (0, 2)


def test_table_with_file_name_and_concept_called_negatives_is_read_by_itself(barn, tmp_path):
    factories.make_concept(barn.project, "duck")
    rows = "file_name,concept\n1.png,chicken\n2.png,chicken; duck\n9.png,chicken\n,chicken\n1.png,\n8.png,duck\n"
    files = {f"{n}.png": _picture(n) for n in (1, 2, 3)} | {"negatives.csv": rows}
    report = _imported(barn, tree(tmp_path, files), exhaustive=True)
    assert _truths(barn) == {"1.png": "absent", "2.png": "absent", "3.png": "unseen"}
    assert _truths(barn, "duck") == {"1.png": "unseen", "2.png": "absent", "3.png": "unseen"}
    groups = {row["why"]: (row["count"], row["files"]) for row in report["problem_groups"]}
    [nowhere] = [value for why, value in groups.items() if "neither these files" in why]
    assert nowhere == (2, ["9.png", "8.png"])
    assert groups["The line names no picture."] == (1, ["negatives.csv: negatives.csv, line 5"])
    assert groups["The line names no concept."] == (1, ["negatives.csv: negatives.csv, line 6"])


@pytest.mark.parametrize("column", ["absent", "negative_of", "Verified negative"])
def test_column_that_says_negative_states_it_whatever_the_file_is_called(barn, tmp_path, column):
    files = {"1.png": _picture(1), "round-2.csv": f"\ufeffImage;{column}\r\n1.png;Chicken\r\n"}
    assert _imported(barn, tree(tmp_path, files))["negatives"] == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("verified.csv", "file_name,concept\n1.png,chicken\n"),  # says nothing of negatives
        ("not-chicken.txt", "1.png\n"),  # a name only hints
        ("pictures.txt", "1.png\n"),
    ],
)
def test_list_that_says_less_is_offered_and_counts_once_somebody_says_so(barn, tmp_path, name, content):
    root = tree(tmp_path, {"1.png": _picture(1), "2.png": _picture(2), name: content})
    report = _imported(barn, root)
    assert set(_truths(barn).values()) == {"unseen"}
    assert f"['{name}'] It lists pictures." in _whys(report)
    [offer] = _looked(barn, root)["offers"]
    assert (offer["where"], offer["kind"], offer["pictures"]) == (name, "list", 1)
    said = [] if offer["concepts"] else ["chicken"]
    assert _imported(barn, root, negatives={name: said})["negatives"] == 1
    assert _truths(barn) == {"1.png": "absent", "2.png": "unseen"}


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
    root = tree(tmp_path, {"1.png": _picture(1), name: content})
    report = _imported(barn, root, exhaustive=True)
    assert _truths(barn) == {"1.png": "unseen"}
    assert name in _whys(report)
    assert _looked(barn, root)["offers"] == []
    job = import_start(project=barn.project, user=barn.admin, upload_path=root, negatives={name: ["chicken"]})
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.reason.startswith(f"{name}: ")) == ("failed", True)


def test_table_called_negatives_that_can_not_be_understood_says_why(barn, tmp_path):
    files = {"1.png": _picture(1), "negatives.csv": "file_name,concept,present\n1.png,chicken,1\n"}
    told = _whys(_imported(barn, tree(tmp_path, files)))
    assert "['negatives.csv'] Its columns file name, concept, present could say anything." in told


def test_check_and_convert_know_lists_without_a_database(tmp_path):
    files = {"1.png": _picture(1), "negatives.csv": "file_name,concept\n1.png,chicken\n", "l.txt": "1.png\n"}
    root = str(tree(tmp_path / "in", files))
    report = files_checked(root, wish=Wish()).as_dict()
    assert [(row["format"], row["classes"]) for row in report["documents"]] == [("negatives", {"no chicken": 1})]
    assert [row["where"] for row in report["problems"]] == [["l.txt"]]
    files_converted(root, tmp_path / "out", to="coco", wish=Wish())
    written = json.loads(next((tmp_path / "out").rglob("*coco*.json")).read_text())
    assert written["images"][0]["neg_category_ids"] == [1]


def test_yes_or_no_in_a_column_called_absent_is_no_concept(barn, tmp_path):
    files = {"1.png": _picture(1), "a.csv": "file_name,absent\n1.png,1\n"}
    report = _imported(barn, tree(tmp_path, files), create_concepts=True)
    assert list(barn.project.concepts.values_list("name", flat=True)) == ["chicken"]
    assert "yes or no" in _whys(report)


def test_list_alone_speaks_of_pictures_that_the_project_has(barn, tmp_path):
    for number in (1, 2):
        _settled_before(barn, tmp_path, number, "unseen", "")
    root = tree(tmp_path / "new", {"seen.txt": "somewhere/1.png\nother/7.png\n"})
    counts = _looked(barn, root, negative_of=["chicken"])
    assert (counts["counts"]["absent"], counts["pictures_known"], counts["samples"][0]["absent"]) == (1, 1, ["chicken"])
    report = _imported(barn, root, negative_of=["chicken"])
    assert _truths(barn) == {"1.png": "absent", "2.png": "unseen"}
    assert (report["images_added"], report["negatives"]) == (0, 1)
    assert "['other/7.png'] It is said to be a negative, and neither these files nor the project" in _whys(report)


def test_list_by_itself_is_a_source(barn, tmp_path):
    _settled_before(barn, tmp_path, 1, "unseen", "")
    (tmp_path / "went-through.txt").write_text("1.png\n")
    assert _command(str(tmp_path / "went-through.txt"), "--negative-of", "chicken")["negatives"] == 1
    assert _truths(barn) == {"1.png": "absent"}


def test_document_and_list_about_a_picture_that_is_here_are_read_together(barn, tmp_path):
    _settled_before(barn, tmp_path, 1, "unseen", "")
    files = {"negatives.csv": "file_name,concept\n1.png,chicken\n", "old.json": _coco(["old/1.png"])}
    report = _imported(barn, tree(tmp_path / "new", files))
    assert _truths(barn) == {"1.png": "present"}
    assert report["negatives_contradicted"] == 1


def test_two_names_of_one_list_that_end_alike_name_no_picture_that_is_here(barn, tmp_path):
    _settled_before(barn, tmp_path, 1, "unseen", "")
    _imported(
        barn,
        tree(tmp_path / "new", {"l.txt": "a/1.png\nb/1.png\n", "x.png": _picture(9)}),
        negatives={"l.txt": ["chicken"]},
    )
    assert _truths(barn)["1.png"] == "unseen"


def test_name_that_several_files_have_is_nobody_s_negative(barn, tmp_path):
    files = {"a/1.png": _picture(1), "b/1.png": _picture(2), "negatives.csv": "file_name,concept\n1.png,chicken\n"}
    report = _imported(barn, tree(tmp_path, files))
    assert set(Pair.objects.values_list("truth", flat=True)) == {"unseen"}
    assert "Several files are called so" in _whys(report)


def test_look_counts_what_the_import_writes_and_shows_pictures(barn, tmp_path):
    files = {f"{n:02}.png": _picture(n) for n in range(12)} | {"bad.jpg": b"<html>", "twin.png": _picture(3)}
    looked = _looked(barn, tree(tmp_path, files), negative_of=["chicken"])
    assert Image.objects.count() == 0
    assert [row["absent"] for row in looked["samples"]] == [["chicken"]] * 8
    assert looked["negatives"] == [{"where": "all pictures", "class": "chicken", "pictures": 14}]
    report = _imported(barn, tmp_path, negative_of=["chicken"])
    assert report["negatives"] == looked["counts"]["absent"] == 12


def test_undo_opens_them_again(barn, tmp_path):
    root = tree(tmp_path, {"1.png": _picture(1)})
    job = _run(import_start(project=barn.project, user=barn.admin, upload_path=root, negative_of=["chicken"]))
    assert _run(import_undo_start(job=job, user=barn.admin)).report["pairs_open_again"] == 1
    assert Image.objects.count() == 0


def test_plural_is_proposed_and_never_taken_by_itself(barn, tmp_path):
    root = tree(tmp_path, {"1.png": _picture(1)})
    with pytest.raises(RoostError, match="Did you mean «chicken»"):
        import_start(project=barn.project, user=barn.admin, upload_path=root, negative_of=["Chickens"])
    assert not Job.objects.exists()
    [row] = _looked(barn, root, negative_of=["Chickens"])["classes"]
    assert (row["how"], row["concept"]) == ("alike", "chicken")
    report = _imported(barn, root, negative_of=["Chickens"], classes={"Chickens": "chicken"})
    assert report["negatives"] == 1


def test_negatives_of_an_unknown_concept_in_a_list_are_counted(barn, tmp_path):
    files = {"1.png": _picture(1), "negatives.csv": "file_name,concept\n1.png,goose\n"}
    report = _imported(barn, tree(tmp_path, files))
    assert (report["unknown_negatives"], report["unknown_categories"]) == ({"goose": 1}, {})


@pytest.mark.parametrize(
    ("folder", "name", "concept", "how"),
    [
        ("not-chicken", "chicken", "chicken", "concept"),
        ("No Chickens", "Chickens", "chicken", "alike"),
        ("not_chicken", "chicken", "chicken", "concept"),
        ("non-goose", "goose", "", "undecided"),
        ("negatives", "", "chicken", "concept"),  # the only one there is
        ("chicken/negative", "chicken", "chicken", "concept"),
        ("verified negatives of chicken", "chicken", "chicken", "concept"),
    ],
)
def test_folder_whose_name_says_negatives_is_offered(barn, tmp_path, folder, name, concept, how):
    looked = _looked(barn, tree(tmp_path, {f"{folder}/1.png": _picture(1), "yard/2.png": _picture(2)}))
    [offer] = looked["offers"]
    told = (offer["where"], offer["kind"], offer["pictures"], offer["name"], offer["concept"], offer["how"])
    assert told == (folder, "folder", 1, name, concept, how)
    assert [row["offered"] for row in looked["samples"]] == [folder]
    assert looked["counts"]["absent"] == 0


@pytest.mark.parametrize("folder", ["notes-chicken", "no_1", "nothing", "chicken", "nonsense"])
def test_other_folders_are_not_offered(barn, tmp_path, folder):
    assert _looked(barn, tree(tmp_path, {f"{folder}/1.png": _picture(1)}))["offers"] == []


def test_folder_that_is_not_there_is_refused_by_name(barn, tmp_path):
    root = tree(tmp_path, {"1.png": _picture(1)})
    job = import_start(project=barn.project, user=barn.admin, upload_path=root, negatives={"nope": ["chicken"]})
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, "no folder and no list «nope»" in job.reason) == ("failed", True)
    assert Image.objects.count() == 0


def _command(*arguments: str) -> dict:
    out = StringIO()
    call_command("import_data", "barn", *arguments, "--json", "--here", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_by_command(barn, tmp_path):
    root = tree(tmp_path / "a", {"not-chicken/1.png": _picture(1), "2.png": _picture(2)})
    assert _command(str(root), "--negatives", "not-chicken=chicken")["negatives"] == 1
    assert _command(str(root / "not-chicken"), "--negative-of", "chicken", "--dry-run")["counts"]["as_before"] == 1
    assert _command(str(root), "--negative-of", "chicken")["negatives"] == 1
    with pytest.raises(CommandError, match="«hen»"):
        _command(str(root), "--negative-of", "hen")


def test_by_api(barn, tmp_path, api, settings):
    settings.SOURCES = [str(tmp_path)]
    tree(tmp_path, {"not-chicken/1.png": _picture(1), "2.png": _picture(2)})
    body = {"place": str(tmp_path), "negatives": {"not-chicken": ["chicken"]}}
    told = api(barn.admin).post("/api/v1/projects/barn/imports", body, format="json")
    assert told.status_code == 202
    assert _run(Job.objects.get(pk=told.json()["id"])).report["negatives"] == 1
    refused = api(barn.admin).post(
        "/api/v1/projects/barn/imports", {"place": str(tmp_path), "negative_of": ["hens"]}, format="json"
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_concept")
    assert "negative_of" in refused.json()["error"]["fields"]


def _upload(client, files: dict[str, bytes], **fields):
    sent = [SimpleUploadedFile(name, content) for name, content in files.items()]
    return client.post(reverse("images", args=["barn"]), {"kind": "auto", "vouch": "some", "files": sent, **fields})


def test_by_page(barn, signed_in):
    client = signed_in(barn.admin)
    assert "None of these pictures shows" in client.get(reverse("images", args=["barn"])).content.decode()
    _upload(client, {"1.png": _picture(1), "2.png": _picture(2)}, negative_of="chicken")
    job = _run(Job.objects.get())
    assert _truths(barn) == {"1.png": "absent", "2.png": "absent"}
    page = client.get(reverse("job", args=["barn", job.pk])).content.decode()
    assert "2 of the settled pairs are negatives" in " ".join(page.split())


def test_page_refuses_a_concept_that_is_none_here_and_keeps_what_was_typed(barn, signed_in):
    answer = _upload(signed_in(barn.admin), {"1.png": _picture(1)}, negative_of="chickens")
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "Did you mean «chicken»?" in page
    assert 'value="chickens"' in page
    assert not Job.objects.exists()


def test_list_is_uploaded_for_pictures_that_are_here(barn, tmp_path, signed_in):
    _settled_before(barn, tmp_path, 1, "unseen", "")
    _upload(signed_in(barn.admin), {"not-chicken.txt": b"1.png\n"}, negative_of="chicken")
    report = _run(Job.objects.order_by("-pk").first()).report
    assert (report["negatives"], _truths(barn)) == (1, {"1.png": "absent"})


def _go(client, looked: Job, answers: dict) -> dict:
    client.post(reverse("import-go", args=["barn", looked.pk]), answers)
    return _run(Job.objects.order_by("-pk").first()).report


@pytest.fixture
def offered(barn, tmp_path) -> Job:
    factories.make_concept(barn.project, "duck")
    rows = "file_name,concept\n2.png,duck\n"
    files = {"not-chicken/1.png": _picture(1), "not-goose/2.png": _picture(2), "verified.csv": rows}
    root = tree(tmp_path, files)
    return _run(import_start(project=barn.project, user=barn.admin, upload_path=root, dry_run=True))


def test_page_of_a_look_offers_what_names_hint_at_and_ticks_nothing(barn, offered, signed_in):
    client = signed_in(barn.admin)
    page = client.get(reverse("job", args=["barn", offered.pk])).content.decode()
    assert "Are these verified negatives?" in page
    assert 'name="offer-2"' in page
    assert "checked" not in page[page.index("Are these verified") :]
    assert _go(client, offered, {"offer-0-of": "chicken", "offer-1-of": "+"})["negatives"] == 0


def test_what_is_ticked_is_vouched_for_and_nothing_else(barn, offered, signed_in):
    answers = {"offer-0": "on", "offer-0-of": "chicken", "offer-1-of": "+", "offer-2": "on"}
    assert _go(signed_in(barn.admin), offered, answers)["negatives"] == 2
    assert _truths(barn) == {"1.png": "absent", "2.png": "unseen"}
    assert _truths(barn, "duck") == {"1.png": "unseen", "2.png": "absent"}
    assert not barn.project.concepts.filter(name="goose").exists()


def test_ticked_new_concept_is_made(barn, offered, signed_in):
    assert _go(signed_in(barn.admin), offered, {"offer-1": "on", "offer-1-of": "+"})["negatives"] == 1
    assert _truths(barn, "goose")["2.png"] == "absent"


def test_ticked_without_a_concept_is_refused_by_name(barn, tmp_path, signed_in):
    factories.make_concept(barn.project, "duck")
    root = tree(tmp_path, {"negatives/1.png": _picture(1)})
    looked = _run(import_start(project=barn.project, user=barn.admin, upload_path=root, dry_run=True))
    answer = signed_in(barn.admin).post(reverse("import-go", args=["barn", looked.pk]), {"offer-0": "on"}, follow=True)
    assert "Say of which concept negatives holds verified negatives" in answer.content.decode()
    assert Job.objects.count() == 1


def test_imported_negative_on_which_a_model_fires_may_judge(barn, tmp_path):
    _imported(barn, tree(tmp_path, {"1.png": _picture(1)}), negative_of=["chicken"], split="train")
    pair = Pair.objects.get()
    seen = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "score": 0.9, "query_score": 0.95, "stability": 0.9}
    factories.make_prediction(pair, 0.95, [seen])
    assert hard_negatives_state(project=barn.project).free == 1
    hard_negatives_hold(project=barn.project, user=barn.admin, count=1)
    assert Image.objects.get().split == "holdout"


def test_snapshot_has_them_as_negatives_to_train_on(barn, tmp_path):
    files = {"1.png": _picture(1), "2.png": _picture(2), "all.json": _coco(["1.png"])}
    _imported(barn, tree(tmp_path, files), negative_of=["chicken"], split="train")
    snapshot = snapshot_create(project=barn.project, user=barn.admin)
    counts = snapshot.counts["train"]
    assert (counts["positives"], counts["negatives"]) == (1, 1)
