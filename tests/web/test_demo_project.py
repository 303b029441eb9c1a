"""The demo project, drawn for real in small."""

import json
import stat
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction

from annotator.common.masks import decode_rle
from annotator.models import Image, Pair, Project
from annotator.operations.demo import DemoSize, demo_create, logins_path, truth_path

SMALL = DemoSize(unlabelled_easy=6, unlabelled_hard=8, approved_easy=8, holdout_a_domain=5)
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def demo(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Project]:
    """Drawn once for all tests here, in a transaction of its own that every test's nests in."""
    before, settings.VAR_DIR = settings.VAR_DIR, tmp_path_factory.mktemp("var")
    with django_db_blocker.unblock(), transaction.atomic():
        project, is_new = demo_create(size=SMALL, say=lambda line: None)
        assert is_new
        yield project
        transaction.set_rollback(True)
    settings.VAR_DIR = before


def test_demo_project_has_every_part_the_loop_begins_with(demo):
    pairs = demo.pairs.values_list("image__source", "image__split", "truth", "truth_source")
    unseen = [row for row in pairs if row[2] == "unseen"]
    holdout = [row for row in pairs if row[1] == "holdout"]
    assert len(unseen) == 2 * (6 + 8)
    assert len(holdout) == 2 * (5 + 5)
    assert {row[2] for row in holdout} == {"present", "absent"}
    assert {row[3] for row in pairs if row[2] != "unseen"} == {"drawn"}
    assert {row[0] for row in holdout} == {"demo easy", "demo hard"}


def test_logins_work_and_are_for_the_owner_alone(demo):
    assert stat.S_IMODE(logins_path().stat().st_mode) == 0o600
    logins = dict(line.split() for line in logins_path().read_text().splitlines())
    roles = {
        name: demo.memberships.get(user=authenticate(username=name, password=logins[name])).role for name in logins
    }
    assert roles == {"annotator": "annotator", "reviewer": "reviewer", "admin": "admin"}


def test_unlabelled_truth_is_in_the_file_and_not_in_the_database(demo):
    truth = json.loads(truth_path().read_text())
    unlabelled = Image.objects.filter(pairs__truth="unseen").distinct()
    assert set(truth) == {image.sha256 for image in unlabelled}
    assert not Pair.objects.filter(truth="unseen").exclude(instances=[]).exists()


def test_drawn_masks_fit_their_images_and_do_not_overlap(demo):
    pair = max(demo.pairs.filter(truth="present"), key=lambda pair: len(pair.instances))
    masks = [decode_rle(instance["mask"]) for instance in pair.instances]
    assert {mask.shape for mask in masks} == {(pair.image.height, pair.image.width)}
    assert sum(mask.astype(int) for mask in masks).max() == 1


def test_second_call_changes_nothing(demo):
    before = sorted(Image.objects.values_list("pk", "sha256"))
    _, is_new = demo_create(size=SMALL, say=lambda line: None)
    assert not is_new
    assert sorted(Image.objects.values_list("pk", "sha256")) == before


def test_call_after_a_break_off_completes_the_project(demo):
    everything = demo.pairs.count()
    lost = demo.images.filter(split="holdout")[:4]
    Image.objects.filter(pk__in=[image.pk for image in lost]).delete()
    truth_path().unlink()
    demo_create(size=SMALL, say=lambda line: None)
    assert demo.pairs.count() == everything
    assert demo.pairs.filter(image__split="holdout", truth="unseen").count() == 0


def test_scenes_are_of_seeds_the_model_was_not_made_from(demo):
    seeds = [
        int(name.rsplit("-", 1)[1].removesuffix(".png")) for name in demo.images.values_list("original_name", flat=True)
    ]
    assert min(seeds) >= 2_000_000
