"""Realistic exports that were read wrongly once, each with the right result beside it: tests/data/cases/NAME."""

import json
import unicodedata
from pathlib import Path

import pytest

from annotator.common.masks import rle_area
from annotator.data.imports import import_start
from annotator.jobs.runner import job_run
from annotator.models import Job, Pair

pytestmark = pytest.mark.django_db(transaction=True)
CASES = Path(__file__).parent.parent / "data" / "cases"
NAMES = sorted(path.name for path in CASES.iterdir())


def _imported(barn, name: str) -> tuple[Job, dict]:
    spec = json.loads((CASES / name / "expected.json").read_text())
    options = dict(spec["options"])
    path = CASES / name / "input" / options.pop("path", "")
    job = import_start(project=barn.project, user=barn.admin, upload_path=path, kind=spec["kind"], **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job, spec["expected"]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])


def _pairs(barn, key: str) -> list[Pair]:
    name, concept = key.split("|")
    pairs = Pair.objects.filter(project=barn.project, concept__name=concept).select_related("image")
    return [pair for pair in pairs if name == "*" or _plain(pair.image.original_name) == _plain(name)]


def _truth(pair: Pair) -> list[str]:
    """What a case may call it."""
    told = [f"present {len(pair.instances)}" if pair.truth == Pair.Truth.PRESENT else pair.truth]
    return told if pair.is_exhaustive else [*told, "not exhaustive"]


@pytest.mark.parametrize("name", NAMES)
def test_case_comes_out_right(barn, name):
    job, expected = _imported(barn, name)
    assert barn.project.images.count() == expected["images"], job.report
    for key, allowed in expected.get("pairs", {}).items():
        pairs = _pairs(barn, key)
        assert pairs or "unseen" in allowed, key
        for pair in pairs:
            assert set(_truth(pair)) & set(allowed), (key, _truth(pair), job.report)
    for key, areas in expected.get("areas", {}).items():
        assert [[rle_area(one["mask"]) for one in pair.instances] for pair in _pairs(barn, key)] == [areas]
    if "splits" in expected:
        assert job.report["by_split"] == expected["splits"]


def test_documents_without_objects_are_named_and_make_no_negative(barn):
    job, _ = _imported(barn, "c01-captions-beside-instances")
    assert "captions" in str(job.report["problems"])
    assert not Pair.objects.filter(truth="absent").exclude(concept__name="chicken").exists()


def test_sensor_sized_portrait_is_read_or_its_orientation_is_named(barn):
    job, _ = _imported(barn, "c15-portrait-with-the-sensor-s-size")
    present = Pair.objects.filter(truth="present").exists()
    assert present or "orientation" in str(job.report["problems"])


def test_names_equal_for_80_characters_stay_two_or_are_told(barn):
    job, expected = _imported(barn, "c16-names-equal-for-80-characters")
    made = barn.project.concepts.exclude(name="chicken").count()
    assert made == expected["concepts"] or len(job.report["unknown_categories"]) == expected["concepts"] - made


def test_object_is_no_concept_of_a_saco_document(barn):
    _imported(barn, "c04-saco-document-by-import-coco")
    assert not barn.project.concepts.filter(name="object").exists()
