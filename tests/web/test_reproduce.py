"""A run made again: the same weights from the same things, and by name what is not the same or not there any more."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from annotator.common.errors import RoostError
from annotator.data.snapshot_folders import snapshot_folder
from annotator.jobs.runner import job_run
from annotator.models import ModelVersion, Pair, TrainingRun
from annotator.registry.model_weights import model_folder
from annotator.registry.packing import version_pack, version_unpack
from annotator.registry.reproduction import _other_losses, run_reproduce
from annotator.registry.run_files import run_folder
from annotator.registry.training_runs import retrain_start
from annotator.registry.version_keeping import version_check
from tests import factories
from tests.web.test_training_run import SHORT, settle, settle_all
from toolbox.weights_hash import folder_weights_hash


def reproduce(*words: str) -> str:
    out = StringIO()
    call_command("reproduce", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_real_run_gives_the_same_weights_again_and_brings_removed_ones_back(tiny_barn, picture, settings, tmp_path):
    project = tiny_barn.project
    for seed, (split, truth) in enumerate((s, t) for s in ("train", "val", "holdout") for t in ("present", "absent")):
        pair = settle(tiny_barn, split, truth, picture(project, seed, split=split))
        if truth == "present":
            mask = factories.box_rle(20, 20, 90, 90, width=160, height=120)
            Pair.objects.filter(pk=pair.pk).update(instances=[factories.make_instance(mask)])
    job_run(job_id=retrain_start(project=project, user=tiny_barn.admin, config=SHORT).pk)
    run = TrainingRun.objects.get()
    version = run.version
    base = folder_weights_hash(model_folder(run.base_version))
    assert version.base_hash == base
    assert version.packages["torch"]
    assert version.code_revision
    assert version_check(version=version).is_sound

    told = reproduce("1", "--project", "barn")
    assert version.weights_hash in told
    assert "The same weights" in told
    assert "The run kept its base's weights" in told  # a random network: what it learns in two steps is no better
    assert not list(settings.RUNS_DIR.glob(".reproduce-*"))

    # Its folder says that it ran with another torch, which is told by name.
    manifest = run_folder(run) / "manifest.json"
    kept = json.loads(manifest.read_text())
    (loss,) = run.series["loss"]
    manifest.write_text(json.dumps(kept | {"packages": kept["packages"] | {"torch": "1.0"}}))
    ModelVersion.objects.filter(pk=version.pk).update(
        weights_removed_at=version.created_at, archived_at=version.created_at
    )
    for path in model_folder(ModelVersion(name=version.name)).glob("*.safetensors"):
        path.unlink()
    done = run_reproduce(run=TrainingRun.objects.get(), keep=True)
    assert (done.is_same, done.kept) == (True, True)
    assert any(words.startswith("torch: 1.0 then") for words in done.differs)
    assert (done.losses, [words for words in done.differs if "loss" in words]) == (1, [])
    assert loss["step"] == 2  # after an update: the network is not the base's any more
    version.refresh_from_db()
    assert (version.weights_removed_at, version.archived_at) == (None, None)
    assert version_check(version=version).is_sound

    # Out and in again with what the trainer left.
    version_pack(version=version, file=tmp_path / "barn-v1.zip")
    taken = version_unpack(project=project, file=tmp_path / "barn-v1.zip", user=tiny_barn.admin, name="brought")
    assert (taken.weights_hash, taken.base_hash) == (version.weights_hash, base)


def test_training_that_went_another_way_is_told_by_its_first_step(barn):
    run = factories.make_training_run(barn.project)
    run.series = {"loss": [{"step": 5, "total": 1.5}, {"step": 10, "total": 1.25}]}
    (words,) = _other_losses(run, {5: 1.5, 10: 1.2500001})
    assert words == "the loss at step 10: 1.25 then, 1.2500001 now"
    assert _other_losses(run, {5: 1.5, 10: 1.25}) == []


def test_what_is_gone_is_named_before_anything_is_trained(barn, settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"
    settings.SHIPPED_MODEL_DIR = tmp_path / "nowhere"
    settle_all(barn)
    version = factories.make_version("barn-v1", project=barn.project)
    run = factories.make_training_run(barn.project, version=version)
    with pytest.raises(RoostError) as caught:
        run_reproduce(run=run)
    assert "the files of snapshot 1 are gone" in str(caught.value)
    assert "its base can't be read" in str(caught.value)
    assert not settings.RUNS_DIR.exists() or not list(settings.RUNS_DIR.glob(".reproduce-*"))


def test_changed_snapshot_and_absent_images_are_named(barn, settings):
    version = factories.make_version("barn-v1", project=barn.project)
    run = factories.make_training_run(barn.project, version=version)
    factories.write_pairs(run.snapshot, [{"file_name": "a" * 64, "text_input": "hen", "split": "train"}])
    with pytest.raises(RoostError) as caught:
        run_reproduce(run=run)
    assert f"{snapshot_folder(run.snapshot)}/pairs.jsonl was changed" in str(caught.value)
    assert "1 of its images are gone, the first is aaaa" in str(caught.value)


def test_run_without_a_version_has_nothing_to_compare_with(barn):
    factories.make_training_run(barn.project)
    with pytest.raises(CommandError, match="made no version"):
        reproduce("1")
    with pytest.raises(CommandError, match="There is no run 7"):
        reproduce("7")
