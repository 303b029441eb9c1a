"""Verified negatives by look, command, API and page; what is offered and what is ticked."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.data.import_undo import import_undo_start
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Image, Job
from tests import factories
from tests.web.format_trees import tree
from tests.web.negative_support import import_command, imported, job_done, look_done, picture, settled_before, truths

pytestmark = pytest.mark.django_db(transaction=True)


def test_look_counts_what_the_import_writes_and_shows_pictures(barn, tmp_path):
    files = {f"{n:02}.png": picture(n) for n in range(12)} | {"bad.jpg": b"<html>", "twin.png": picture(3)}
    looked = look_done(barn, tree(tmp_path, files), negative_of=["chicken"])
    assert Image.objects.count() == 0
    assert [row["absent"] for row in looked["samples"]] == [["chicken"]] * 8
    assert looked["negatives"] == [{"where": "all pictures", "class": "chicken", "pictures": 14}]
    report = imported(barn, tmp_path, negative_of=["chicken"])
    assert report["negatives"] == looked["counts"]["absent"] == 12


def test_undo_opens_them_again(barn, tmp_path):
    root = tree(tmp_path, {"1.png": picture(1)})
    job = job_done(import_start(project=barn.project, user=barn.admin, upload_path=root, negative_of=["chicken"]))
    assert job_done(import_undo_start(job=job, user=barn.admin)).report["pairs_open_again"] == 1
    assert Image.objects.count() == 0


def test_plural_is_proposed_and_never_taken_by_itself(barn, tmp_path):
    root = tree(tmp_path, {"1.png": picture(1)})
    with pytest.raises(RoostError, match="Did you mean «chicken»"):
        import_start(project=barn.project, user=barn.admin, upload_path=root, negative_of=["Chickens"])
    assert not Job.objects.exists()
    [row] = look_done(barn, root, negative_of=["Chickens"])["classes"]
    assert (row["how"], row["concept"]) == ("alike", "chicken")
    report = imported(barn, root, negative_of=["Chickens"], classes={"Chickens": "chicken"})
    assert report["negatives"] == 1


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
    looked = look_done(barn, tree(tmp_path, {f"{folder}/1.png": picture(1), "yard/2.png": picture(2)}))
    [offer] = looked["offers"]
    told = (offer["where"], offer["kind"], offer["pictures"], offer["name"], offer["concept"], offer["how"])
    assert told == (folder, "folder", 1, name, concept, how)
    assert [row["offered"] for row in looked["samples"]] == [folder]
    assert looked["counts"]["absent"] == 0


@pytest.mark.parametrize("folder", ["notes-chicken", "no_1", "nothing", "chicken", "nonsense"])
def test_other_folders_are_not_offered(barn, tmp_path, folder):
    assert look_done(barn, tree(tmp_path, {f"{folder}/1.png": picture(1)}))["offers"] == []


def test_folder_that_is_not_there_is_refused_by_name(barn, tmp_path):
    root = tree(tmp_path, {"1.png": picture(1)})
    job = import_start(project=barn.project, user=barn.admin, upload_path=root, negatives={"nope": ["chicken"]})
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, "no folder and no list «nope»" in job.reason) == ("failed", True)
    assert Image.objects.count() == 0


def test_by_command(barn, tmp_path):
    root = tree(tmp_path / "a", {"not-chicken/1.png": picture(1), "2.png": picture(2)})
    assert import_command(str(root), "--negatives", "not-chicken=chicken")["negatives"] == 1
    assert (
        import_command(str(root / "not-chicken"), "--negative-of", "chicken", "--dry-run")["counts"]["as_before"] == 1
    )
    assert import_command(str(root), "--negative-of", "chicken")["negatives"] == 1
    with pytest.raises(CommandError, match="«hen»"):
        import_command(str(root), "--negative-of", "hen")


def test_by_api(barn, tmp_path, api, settings):
    settings.SOURCES = [str(tmp_path)]
    tree(tmp_path, {"not-chicken/1.png": picture(1), "2.png": picture(2)})
    body = {"place": str(tmp_path), "negatives": {"not-chicken": ["chicken"]}}
    told = api(barn.admin).post("/api/v1/projects/barn/imports", body, format="json")
    assert told.status_code == 202
    assert job_done(Job.objects.get(pk=told.json()["id"])).report["negatives"] == 1
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
    _upload(client, {"1.png": picture(1), "2.png": picture(2)}, negative_of="chicken")
    job = job_done(Job.objects.get())
    assert truths(barn) == {"1.png": "absent", "2.png": "absent"}
    page = client.get(reverse("job", args=["barn", job.pk])).content.decode()
    assert "2 of the settled pairs are negatives" in " ".join(page.split())


def test_page_refuses_a_concept_that_is_none_here_and_keeps_what_was_typed(barn, signed_in):
    answer = _upload(signed_in(barn.admin), {"1.png": picture(1)}, negative_of="chickens")
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "Did you mean «chicken»?" in page
    assert 'value="chickens"' in page
    assert not Job.objects.exists()


def test_list_is_uploaded_for_pictures_that_are_here(barn, tmp_path, signed_in):
    settled_before(barn, tmp_path, 1, "unseen", "")
    _upload(signed_in(barn.admin), {"not-chicken.txt": b"1.png\n"}, negative_of="chicken")
    report = job_done(Job.objects.order_by("-pk").first()).report
    assert (report["negatives"], truths(barn)) == (1, {"1.png": "absent"})


def _go(client, looked: Job, answers: dict) -> dict:
    client.post(reverse("import-go", args=["barn", looked.pk]), answers)
    return job_done(Job.objects.order_by("-pk").first()).report


@pytest.fixture
def offered(barn, tmp_path) -> Job:
    factories.make_concept(barn.project, "duck")
    rows = "file_name,concept\n2.png,duck\n"
    files = {"not-chicken/1.png": picture(1), "not-goose/2.png": picture(2), "verified.csv": rows}
    root = tree(tmp_path, files)
    return job_done(import_start(project=barn.project, user=barn.admin, upload_path=root, dry_run=True))


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
    assert truths(barn) == {"1.png": "absent", "2.png": "unseen"}
    assert truths(barn, "duck") == {"1.png": "unseen", "2.png": "absent"}
    assert not barn.project.concepts.filter(name="goose").exists()


def test_ticked_new_concept_is_made(barn, offered, signed_in):
    assert _go(signed_in(barn.admin), offered, {"offer-1": "on", "offer-1-of": "+"})["negatives"] == 1
    assert truths(barn, "goose")["2.png"] == "absent"


def test_ticked_without_a_concept_is_refused_by_name(barn, tmp_path, signed_in):
    factories.make_concept(barn.project, "duck")
    root = tree(tmp_path, {"negatives/1.png": picture(1)})
    looked = job_done(import_start(project=barn.project, user=barn.admin, upload_path=root, dry_run=True))
    answer = signed_in(barn.admin).post(reverse("import-go", args=["barn", looked.pk]), {"offer-0": "on"}, follow=True)
    assert "Say of which concept negatives holds verified negatives" in answer.content.decode()
    assert Job.objects.count() == 1
