"""Retrain: what is refused at once, and one real round through trainer, registry and gate."""

import importlib.util

import pytest

from annotator.common.errors import ConflictError, RoostError
from annotator.common.rounds import round_current
from annotator.jobs.runner import job_run
from annotator.models import Evaluation, GateDecision, Image, Job, ModelVersion, Pair, TrainingRun
from annotator.registry.model_weights import model_folder
from annotator.registry.training_runs import retrain_start
from tests import factories

Split = Image.Split
SHORT = {"seed": 1, "steps": 2, "batch_pairs": 2, "validate_every": 2, "checkpoint_every": 2}


def settle(barn, split: str, truth: str, image: Image | None = None) -> Pair:
    image = image or factories.make_image(barn.project, split=split)
    return factories.make_pair(barn.project, image=image, truth=truth)


def settle_all(barn) -> None:
    for split in (Split.TRAIN, Split.VAL, Split.HOLDOUT):
        for truth in ("present", "absent"):
            settle(barn, split, truth)


def start(barn, **more) -> Job:
    return retrain_start(project=barn.project, user=barn.admin, config=SHORT, **more)


@pytest.mark.parametrize("split", ["train", "val", "holdout"])
@pytest.mark.parametrize("truth", ["present", "absent"])
def test_split_without_positives_or_negatives_is_refused_by_name(tiny_barn, split, truth):
    settle_all(tiny_barn)
    Pair.objects.filter(image__split=split, truth=truth).delete()
    lacking = {"present": "positives", "absent": "negatives"}[truth]
    with pytest.raises(RoostError, match=f"no {lacking} in its {split} split"):
        start(tiny_barn)
    assert not TrainingRun.objects.exists()


def test_setting_that_names_a_path_is_refused(tiny_barn):
    settle_all(tiny_barn)
    with pytest.raises(RoostError, match="base_model"):
        retrain_start(project=tiny_barn.project, user=tiny_barn.admin, config={"base_model": "/etc"})


def test_second_retrain_at_once_is_refused(tiny_barn):
    settle_all(tiny_barn)
    start(tiny_barn)
    with pytest.raises(ConflictError) as caught:
        start(tiny_barn)
    assert caught.value.code == "already_running"


def test_run_pins_its_snapshot_and_base_version(tiny_barn):
    settle_all(tiny_barn)
    run = start(tiny_barn).training_run
    settle(tiny_barn, Split.TRAIN, "absent")
    run.refresh_from_db()
    assert (run.number, run.base_version.name) == (1, "tiny")
    assert run.snapshot.counts["train"]["pairs"] == 2


def finish_first_run(barn) -> None:
    job = start(barn)
    Job.objects.filter(pk=job.pk).update(state=Job.State.SUCCEEDED)
    TrainingRun.objects.update(version=factories.make_version("barn-v1", project=barn.project))


def test_retrain_without_news_is_refused_unless_forced(tiny_barn):
    settle_all(tiny_barn)
    finish_first_run(tiny_barn)
    with pytest.raises(RoostError, match="Nothing has been approved since run 1"):
        start(tiny_barn)
    assert start(tiny_barn, force=True).training_run.number == 2


def test_one_more_approved_pair_is_news(tiny_barn):
    settle_all(tiny_barn)
    finish_first_run(tiny_barn)
    settle(tiny_barn, Split.TRAIN, "absent")
    assert start(tiny_barn).training_run.number == 2


def test_version_without_weights_here_can_not_be_trained_on(barn):
    barn.project.serving_version = factories.make_version("elsewhere")
    barn.project.save()
    settle_all(barn)
    with pytest.raises(RoostError, match="elsewhere"):
        start(barn)


@pytest.mark.django_db(transaction=True)
def test_real_retrain_registers_a_version_and_a_gate_decision(tiny_barn, picture, settings):
    settings.TRACKERS = ["tensorboard"]
    project = tiny_barn.project
    for seed, (split, truth) in enumerate((s, t) for s in ("train", "val", "holdout") for t in ("present", "absent")):
        mask = factories.box_rle(20, 20, 90, 90, width=160, height=120)
        pair = settle(tiny_barn, split, truth, picture(project, seed, split=split))
        if truth == "present":
            Pair.objects.filter(pk=pair.pk).update(instances=[factories.make_instance(mask)])
    job = start(tiny_barn)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    run = TrainingRun.objects.get()
    version, gate = run.version, run.gate
    assert (version.name, version.parent.name, len(version.weights_hash)) == ("barn-v1", "tiny", 64)
    assert (model_folder(version) / "config.json").is_file()
    assert (version.metrics["recipe"], version.metrics["config"]["steps"]) == ("demo", 2)
    assert version.metrics["config"]["groups"]["optimizer"] == "demo"
    assert "snapshot" not in version.metrics["config"]
    assert gate.decision in GateDecision.Decision.values
    assert gate.reasons
    assert gate.report["holdout"]["positives"] == gate.report["holdout"]["negatives"] == 1
    assert job.report["version"] == "barn-v1"
    assert [point["step"] for point in run.series["loss"]][-1] <= 2
    assert run.series["validation"]
    (tracker,) = run.series["trackers"]
    kept = settings.RUNS_DIR / "tracking" / "tensorboard" / "barn" / "barn-1"
    is_there = importlib.util.find_spec("tensorboard") is not None
    assert (tracker["tracker"], tracker["state"]) == ("tensorboard", "on" if is_there else "absent"), tracker["message"]
    assert (tracker["place"], kept.is_dir()) == (str(kept) if is_there else "", is_there)
    assert {row["pair_id"] for row in run.samples["before"]} == {row["pair_id"] for row in run.samples["after"]}
    assert len(run.samples["before"]) == 2
    assert Evaluation.objects.filter(split="holdout", version__in=[version, version.parent]).count() == 2
    assert round_current(project=project) == 2
    assert not ModelVersion.objects.filter(name="barn-v1", stage="production").exists()
    # A second delivery of the same message, after a crash that lost the job's end, redoes nothing.
    Job.objects.update(state=Job.State.QUEUED, finished_at=None)
    job_run(job_id=job.pk)
    assert (TrainingRun.objects.count(), GateDecision.objects.count()) == (1, 1)
