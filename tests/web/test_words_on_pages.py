"""Splits and formats are called on pages as people call them, never by the keys that rows and files hold."""

from django.template.loader import render_to_string

from annotator.templatetags.words import document_words, format_words, split_words
from tests import factories


def test_every_split_and_format_has_words():
    assert [split_words(key) for key in ("train", "val", "test", "holdout")] == [
        "Train",
        "Validation",
        "Test",
        "Holdout",
    ]
    assert [format_words(key) for key in ("yolo_detect", "coco", "cvat")] == ["YOLO, boxes", "COCO", "CVAT"]
    called = {
        "yolo": "YOLO",
        "coco": "COCO",
        "saco": "SA-Co",
        "label_studio": "Label Studio",
        "folder names": "folder names",
    }
    assert {key: document_words(key) for key in called} == called


def test_reports_call_splits_and_formats_by_their_words(barn):
    job = factories.make_job(barn.project, kind="import", state="succeeded")
    context = {"job": job, "project": barn.project, "is_admin": False}
    told = render_to_string("data/import_report.html", {**context, "report": {"by_split": {"val": 5}}})
    assert "validation 5" in told
    document = {"where": "a.json", "format": "label_studio", "images": 1, "annotations": 1}
    assert "<td>Label Studio</td>" in render_to_string(
        "data/import_look.html", {**context, "report": {"documents": [document]}}
    )
    left = {"counts": {"val": {}}, "left_out": [{"name": "a", "split": "holdout", "why": "b"}]}
    told = render_to_string("data/export_report.html", {**context, "report": left})
    assert ">Validation<" in told
    assert ">Holdout<" in told


def test_job_that_was_taken_up_again_says_what_happened(barn):
    job = factories.make_job(barn.project, kind="export", state="succeeded", attempt=2)
    assert "The worker that began this" in render_to_string("jobs/job_progress.html", {"job": job})
    job.attempt = 1
    assert "The worker that began this" not in render_to_string("jobs/job_progress.html", {"job": job})
