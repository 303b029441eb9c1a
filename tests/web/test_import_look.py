"""A look before an import: what the files are, what each class would be, what would be written; nothing is stored."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from annotator.data.import_look import samples_folder
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Image, Job, Pair
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
SQUARE = [[2, 2, 6, 2, 6, 6, 2, 6]]


@pytest.fixture
def export(tmp_path):
    """Three pictures, one of which no document lists; hens as «Chickens», a goose that nobody knows, and a box."""
    for number in (1, 2, 3):
        (tmp_path / f"{number}.png").write_bytes(factories.image_bytes(seed=number))
    rows = [{"id": n, "file_name": f"{n}.png", "width": 16, "height": 16} for n in (1, 2)]
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": SQUARE},
        {"id": 2, "image_id": 2, "category_id": 2, "segmentation": SQUARE},
        {"id": 3, "image_id": 1, "category_id": 3, "bbox": [2, 2, 4, 4]},
    ]
    categories = [{"id": 1, "name": "Chickens"}, {"id": 2, "name": "goose"}, {"id": 3, "name": "egg"}]
    document = {"images": rows, "annotations": annotations, "categories": categories}
    (tmp_path / "all.json").write_text(json.dumps(document))
    return tmp_path


def _look(barn, path, **options) -> Job:
    job = import_start(project=barn.project, user=barn.admin, upload_path=path, dry_run=True, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


def test_look_stores_nothing_and_tells_what_the_files_are(barn, export):
    report = _look(barn, export, exhaustive=True).report
    assert (Image.objects.count(), Pair.objects.count()) == (0, 0)
    assert [(row["format"], row["images"], row["annotations"]) for row in report["documents"]] == [("coco", 2, 3)]
    assert (report["pictures"], report["pictures_without_word"]) == (3, 1)
    assert {row["name"]: (row["how"], row["concept"], row["count"]) for row in report["classes"]} == {
        "Chickens": ("alike", "chicken", 1),
        "goose": ("undecided", "", 1),
        "egg": ("undecided", "", 1),
    }


def test_what_a_look_counts_is_what_the_import_writes(barn, export):
    decided = {"Chickens": "chicken", "goose": "", "egg": "egg"}
    looked = _look(barn, export, exhaustive=True, classes=decided)
    counts = looked.report["counts"]
    assert (counts["present"], counts["absent"], counts["boxes"], counts["withheld"]) == (1, 2, 1, 0)
    done = import_start(project=barn.project, user=barn.admin, upload_path=export, exhaustive=True, classes=decided)
    job_run(job_id=done.pk)
    done.refresh_from_db()
    assert (done.report["negatives"], done.report["pairs_sketched"]) == (counts["absent"], counts["boxes"])
    assert done.report["unknown_categories"] == {"goose": 1}


def test_one_button_imports_what_was_looked_at_with_the_classes_decided(barn, export, signed_in):
    looked = _look(barn, export)
    client = signed_in(barn.admin)
    page = client.get(reverse("job", args=["barn", looked.pk])).content.decode()
    assert "called nearly so" in page
    assert samples_folder(looked).is_dir()
    assert client.get(reverse("import-sample-download", args=["barn", looked.pk, 0]))["Content-Type"] == "image/webp"
    answers = {"class-0": "chicken", "class-1": "-", "class-2": ""}
    answer = client.post(reverse("import-go", args=["barn", looked.pk]), answers)
    job = Job.objects.order_by("-pk").first()
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    assert job.params["classes"] == {"Chickens": "chicken", "goose": ""}
    job_run(job_id=job.pk)
    assert Pair.objects.get(truth="present").concept == barn.chicken


def test_command_prints_the_look_as_json_alone(barn, export):
    out = StringIO()
    call_command("import_data", "barn", str(export), "--dry-run", "--json", "--here", stdout=out, stderr=StringIO())
    assert json.loads(out.getvalue())["pictures"] == 3
    assert Image.objects.count() == 0


def test_problems_come_in_groups_and_whole_as_a_file(barn, tmp_path, signed_in):
    for number in range(30):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"<html>")
    (tmp_path / "good.png").write_bytes(factories.image_bytes())
    job = import_start(project=barn.project, user=barn.admin, upload_path=tmp_path)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    [group] = job.report["problem_groups"]
    assert (group["count"], group["files"]) == (30, [f"{number:02}.jpg" for number in range(5)])
    told = signed_in(barn.admin).get(reverse("import-problems-download", args=["barn", job.pk]))
    assert len(b"".join(told.streaming_content).splitlines()) == 30
