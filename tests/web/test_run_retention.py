"""What ended runs leave on the disk, taking one up again, and the room that a run needs before it begins."""

import hashlib
import io
import json
import math
import os
import shutil
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from annotator.common.errors import ConflictError, RoostError
from annotator.jobs.runner import job_run
from annotator.models import AuditEvent, Job, Snapshot, TrainingRun
from annotator.operations.doctor import diagnose
from annotator.registry.models_folder import model_folder_register
from annotator.registry.run_again import run_go_on
from annotator.registry.run_files import check_room, room_for, run_folder
from annotator.registry.run_retention import features_trim, run_tidy, runs_tidy
from tests import factories
from tests.web.test_training_run import settle_all, start
from toolbox.weights import weights_header
from training.views import View

DEMO_TRAINED = 939_902  # numbers that a retrain of the demo model moves: 15,038,432 bytes of checkpoint / 16


@pytest.fixture(autouse=True)
def _runs(settings, tmp_path):
    settings.RUNS_DIR = tmp_path / "runs"


def checkpoint(folder, name: str, content: bytes = b"weights") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(content)
    (folder / f"{name}.json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))


def ended_run(barn, state: str, *, days_ago: float = 1, **fields) -> TrainingRun:
    ended = timezone.now() - timedelta(days=days_ago)
    job = factories.make_job(barn.project, Job.Kind.RETRAIN, state=state, finished_at=ended)
    run = factories.make_training_run(barn.project, job=job, **fields)
    for name in ("step-00000010", "step-00000020", "best"):
        checkpoint(run_folder(run) / "checkpoints", name, name.encode())
    return run


def left(run: TrainingRun) -> list[str]:
    return sorted(path.name for path in (run_folder(run) / "checkpoints").glob("*.safetensors"))


def test_run_that_made_its_version_keeps_no_checkpoint(barn):
    run = ended_run(barn, "succeeded", days_ago=0, version=factories.make_version("barn-v1", project=barn.project))
    (run_folder(run) / "events.jsonl").write_text("{}")
    assert run_tidy(run=run) > 0
    assert os.listdir(run_folder(run)) == ["events.jsonl"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_run_that_broke_off_keeps_its_newest_step_and_the_best(barn, state):
    run = ended_run(barn, state)
    run_tidy(run=run)
    assert left(run) == ["best.safetensors", "step-00000020.safetensors"]


def test_damaged_newest_step_does_not_cost_the_sound_one_before(barn):
    run = ended_run(barn, "failed")
    (run_folder(run) / "checkpoints" / "step-00000020.safetensors").write_bytes(b"damaged")
    run_tidy(run=run)
    assert left(run) == ["best.safetensors", "step-00000010.safetensors"]


def test_days_can_be_set_after_which_a_broken_run_s_checkpoints_go(barn, settings):
    run = ended_run(barn, "cancelled", days_ago=3)
    settings.CHECKPOINT_DAYS = 4
    runs_tidy()
    assert left(run)
    settings.CHECKPOINT_DAYS = 2
    runs_tidy()
    assert not left(run)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_run_under_way_is_left_alone(barn, state):
    run = ended_run(barn, state, days_ago=99)
    runs_tidy(all_of_them=True)
    assert len(left(run)) == 3


def test_features_over_the_budget_go_oldest_first_but_those_a_snapshot_names(barn, settings):
    settle_all(barn)
    barn.project.serving_version = factories.make_version("demo")
    barn.project.save()
    named = start(barn).training_run.snapshot.project.images.first().sha256
    folder = settings.RUNS_DIR / "features" / "abc-square" / "tokens" / "00"
    folder.mkdir(parents=True)
    for age, name in enumerate((named, "b" * 64, "c" * 64)):
        path = folder / f"{name}.safetensors"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1000 + age, 1000 + age))
    assert features_trim(budget_bytes=300) == 0
    assert features_trim(budget_bytes=250) == 100
    assert sorted(path.stem for path in folder.iterdir()) == sorted([named, "c" * 64])
    features_trim(budget_bytes=0)
    assert [path.stem for path in folder.iterdir()] == [named]


def test_features_of_drawn_views_go_though_a_snapshot_names_their_image(barn, settings):
    """Another seed has others, so that they would pile up for ever."""
    settle_all(barn)
    barn.project.serving_version = factories.make_version("demo")
    barn.project.save()
    named = start(barn).training_run.snapshot.project.images.first().sha256
    features = settings.RUNS_DIR / "features"
    for kind in ("abc-square56-float32", "abc-square56-float32-mirrored", f"abc-square56-float32{View(hue_deg=3).key}"):
        folder = features / kind / "tokens" / named[:2]
        folder.mkdir(parents=True)
        (folder / f"{named}.safetensors").write_bytes(b"x" * 100)
    assert features_trim(budget_bytes=0) == 100
    assert sorted(path.name for path in features.iterdir()) == ["abc-square56-float32", "abc-square56-float32-mirrored"]


def test_command_removes_all_that_no_run_needs(barn):
    run = ended_run(barn, "failed")
    told = io.StringIO()
    call_command("clean_runs", "--all", stdout=told)
    assert "removed" in told.getvalue()
    assert not left(run)
    call_command("clean_runs", stdout=told)
    assert "nothing to remove" in told.getvalue()


def test_room_is_three_checkpoints_the_best_and_the_model(demo_barn, settings):
    """By hand: fp32 weights, their average and two moments thrice, the best weights once, the model's file."""
    model = (settings.SHIPPED_MODEL_DIR / "model.safetensors").stat().st_size
    room = room_for(version=demo_barn.project.serving_version, config={})
    assert room.needed_bytes == 4 * DEMO_TRAINED * 4 * 3 + DEMO_TRAINED * 4 + model


def test_room_counts_a_vit_that_learns_and_not_a_text_tower_that_the_recipe_freezes(demo_barn, settings):
    tensors, _ = weights_header(settings.SHIPPED_MODEL_DIR / "model.safetensors")
    numbers = {
        part: sum(math.prod(row["shape"]) for name, row in tensors.items() if name.startswith(f"detector_model.{part}"))
        for part in ("vision_encoder.backbone.", "text_")
    }

    def needed(**config):
        return room_for(version=demo_barn.project.serving_version, config=config).needed_bytes

    more = 4 * 4 * 3 + 4  # three checkpoints of four copies, and the best weights
    assert needed(vit="full") - needed() == more * numbers["vision_encoder.backbone."]
    assert needed() - needed(recipe="sam3_heads") == more * numbers["text_"]
    assert needed(recipe="sam3_full") - needed(recipe="sam3_heads") == more * numbers["vision_encoder.backbone."]
    assert 0 < needed(vit="lora") - needed() < needed(vit="full") - needed()


@pytest.fixture
def demo_barn(barn):
    barn.project.serving_version = factories.make_version("demo")
    barn.project.save()
    settle_all(barn)
    return barn


@pytest.fixture
def _full_disk(monkeypatch):
    """20 MB are free, wherever one asks."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=20_000_000, total=1, used=1))


@pytest.mark.usefixtures("_full_disk")
def test_retrain_without_room_is_refused_saying_how_much_and_what_could_go(demo_barn):
    ended_run(demo_barn, "failed")
    theirs = factories.make_training_run(
        factories.make_project(name="Goose"), job=factories.make_job(demo_barn.project, state="failed")
    )
    checkpoint(run_folder(theirs) / "checkpoints", "step-00000010", b"x" * 1_500_000)
    with pytest.raises(RoostError) as refused:
        start(demo_barn)
    assert refused.value.code == "disk_full"
    words = str(refused.value)
    assert "takes 61 MB of disk for checkpoints and its model, 20 MB are free" in words
    assert "41 MB are missing" in words
    assert "Run 1 keeps 1 MB to go on from; runs elsewhere keep 2 MB: manage.py clean_runs --all" in words
    assert "goose" not in words
    assert (TrainingRun.objects.count(), Snapshot.objects.count()) == (2, 2), "nothing was written for it"


def test_room_is_looked_at_again_before_the_run_begins(demo_barn, monkeypatch):
    job = start(demo_barn)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=20_000_000, total=1, used=1))
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, "41 MB are missing" in job.reason) == ("failed", True)
    assert not (run_folder(job.training_run) / "train.config.json").exists()


@pytest.mark.usefixtures("_full_disk")
def test_what_a_broken_run_has_on_the_disk_need_not_be_found_again(demo_barn):
    run = ended_run(demo_barn, "cancelled")
    checkpoint(run_folder(run) / "checkpoints", "step-00000030", b"x" * 45_000_000)
    check_room(project=demo_barn.project, version=run.base_version, config={}, run=run)


@pytest.mark.usefixtures("_full_disk")
def test_training_page_shows_the_room(demo_barn, signed_in):
    page = signed_in(demo_barn.admin).get(reverse("training", args=["barn"])).content.decode()
    assert "20 MB of disk are" in page
    assert "41 MB are missing" in page


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        b"\x08\0\0\0\0\0\0\0[1, 2, 3",
        b"\x02\0\0\0\0\0\0\0[]",
        b'\x0a\0\0\0\0\0\0\0{"a": {}} ',
    ],
)
def test_training_page_is_there_when_the_weights_are_no_weights(demo_barn, signed_in, settings, tmp_path, content):
    settings.SHIPPED_MODEL_DIR = tmp_path / "model"
    settings.SHIPPED_MODEL_DIR.mkdir()
    (settings.SHIPPED_MODEL_DIR / "config.json").write_text("{}")
    (settings.SHIPPED_MODEL_DIR / "model.safetensors").write_bytes(content)
    page = signed_in(demo_barn.admin).get(reverse("training", args=["barn"]))
    assert (page.status_code, "of disk are" in page.content.decode()) == (200, True)
    assert "a run from" not in page.content.decode()


def test_broken_run_goes_on_as_the_same_run_and_who_did_it_is_told(demo_barn, signed_in):
    run = ended_run(demo_barn, "cancelled")
    before = run.job
    browser = signed_in(demo_barn.admin)
    assert "It goes on from step 20." in browser.get(reverse("run", args=["barn", 1])).content.decode()
    browser.post(reverse("run-go-on", args=["barn", 1]))
    run.refresh_from_db()
    before.refresh_from_db()
    assert (before.state, run.job.state, run.job.created_by) == ("cancelled", "queued", demo_barn.admin)
    assert TrainingRun.objects.count() == 1
    assert AuditEvent.objects.get(action="run.go_on").actor == demo_barn.admin
    with pytest.raises(ConflictError):
        run_go_on(run=run, user=demo_barn.admin)


def test_run_that_succeeded_can_not_go_on(demo_barn):
    with pytest.raises(ConflictError, match="nothing to go on with"):
        run_go_on(run=ended_run(demo_barn, "succeeded"), user=demo_barn.admin)


def test_doctor_tells_what_training_keeps(barn, settings):
    run = ended_run(barn, "failed")
    checkpoint(run_folder(run) / "checkpoints", "step-00000030", b"x" * 5_000_000)
    (settings.RUNS_DIR / "gone-project-7").mkdir()
    words = {finding.name: finding.words for finding in diagnose(running=False)}["training files"]
    assert "6 MB of checkpoints of runs that broke off (1), kept for 14 days" in words
    assert "of no run here: gone-project-7" in words


def test_registered_model_shares_its_file_with_the_run(settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"
    source = tmp_path / "runs" / "barn-1" / "model"
    source.mkdir(parents=True)
    (source / "model.safetensors").write_bytes(b"weights")
    (source / "manifest.json").write_text('{"weights_hash": "a"}')
    target = model_folder_register(name="barn-v1", source=source)
    assert (target / "model.safetensors").samefile(source / "model.safetensors")
