"""What a holdout has been through: decisions that read it are counted, training that read it is refused."""

import pytest

from annotator.common.errors import ConflictError, RoostError
from annotator.models import GateDecision, Job
from annotator.registry.gate_looks import check_holdout, looks_at
from annotator.registry.gating import gate_ask
from tests import factories


def row(image: str, split: str = "holdout", phrase: str = "chicken", is_exhaustive: int = 1) -> dict:
    truth = "absent" if phrase == "duck" else "present"
    same = {"text_input": phrase, "split": split, "is_exhaustive": is_exhaustive}
    return {"file_name": image * 64, "verdict": truth, **same}


def snapshot_of(barn, *rows: dict):
    snapshot = factories.make_snapshot(barn.project)
    factories.write_pairs(snapshot, list(rows))
    return snapshot


def decided_on(barn, snapshot) -> GateDecision:
    version = factories.make_version(f"barn-v{GateDecision.objects.count() + 1}", project=barn.project)
    return factories.make_gate(factories.make_training_run(barn.project, version=version, snapshot=snapshot), "reject")


def test_each_decision_counts_by_the_share_of_todays_pairs_that_it_had_read(barn):
    old = snapshot_of(barn, row("a"), row("b"), row("c", is_exhaustive=0), row("d", split="train"))
    assert looks_at(snapshot=old) == 0
    decided_on(barn, old)
    decided_on(barn, old)
    assert looks_at(snapshot=old) == 2
    grown = snapshot_of(barn, row("a"), row("b"), row("e"), row("f"), row("g"), row("h", phrase="duck"))
    assert looks_at(snapshot=grown) == pytest.approx(2 * 2 / 6, abs=1e-5)
    decided_on(barn, grown)
    assert looks_at(snapshot=grown) == pytest.approx(1 + 2 / 3, abs=1e-5)


def test_a_decision_on_a_snapshot_whose_files_are_gone_counts_whole(barn):
    decided_on(barn, factories.make_snapshot(barn.project))
    assert looks_at(snapshot=snapshot_of(barn, row("a"))) == 1


def test_looks_of_another_project_do_not_count(barn):
    other = factories.make_snapshot(factories.make_project(barn.admin, "Coop"))
    factories.write_pairs(other, [row("a")])
    version = factories.make_version("coop-v1", project=other.project)
    factories.make_gate(factories.make_training_run(other.project, version=version, snapshot=other))
    assert looks_at(snapshot=snapshot_of(barn, row("a"))) == 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_picture_that_training_reads_does_not_judge(barn, split):
    leaky = snapshot_of(barn, row("a", split=split), row("a"), row("b", phrase="duck"))
    with pytest.raises(RoostError, match="shows 0 scenes with the thing and 1 without") as refused:
        check_holdout(snapshot=leaky)
    assert "1 more are in train or val" in str(refused.value)
    assert refused.value.code == "too_few_scenes"
    check_holdout(snapshot=snapshot_of(barn, row("a", split=split), row("a"), row("b", phrase="duck"), row("c")))


def test_another_picture_of_a_scene_that_training_reads_does_not_judge(barn):
    first, second = (factories.make_image(barn.project, scene="yard at noon").sha256 for _ in range(2))
    rows = row("a", split="train") | {"file_name": first}, row("b") | {"file_name": second}, row("c", phrase="duck")
    with pytest.raises(RoostError, match="0 scenes with the thing and 1 without"):
        check_holdout(snapshot=snapshot_of(barn, *rows))


def test_a_later_holdout_is_held_against_what_the_version_was_trained_on(barn):
    trained_on = snapshot_of(barn, row("a", split="train"), row("b"))
    later = snapshot_of(barn, row("c", split="train"), row("a"), row("d", phrase="duck"))
    check_holdout(snapshot=later)
    with pytest.raises(RoostError, match="1 more are in train or val"):
        check_holdout(snapshot=later, trained_on=trained_on)


def test_few_scenes_are_refused_before_anything_is_trained(barn):
    barn.project.gate_min_scenes = 3
    barn.project.save()
    pictures = [factories.make_image(barn.project, scene="yard at noon").sha256 for _ in range(3)]
    frames = [row("a") | {"file_name": picture} for picture in pictures]
    absent = [row(name, phrase="duck") for name in "cdef"]
    with pytest.raises(RoostError, match="shows 2 scenes with the thing and 4 without; the gate's policy asks for 3"):
        check_holdout(snapshot=snapshot_of(barn, *frames, row("b"), *absent))
    check_holdout(snapshot=snapshot_of(barn, *frames, row("a"), row("b"), *absent))


def settled(barn, split: str, truth: str) -> None:
    image = factories.make_image(barn.project, split=split)
    marked = [factories.make_instance(factories.box_rle(2, 2, 8, 8, image.width, image.height))]
    pair = factories.make_pair(barn.project, image=image, truth=truth, truth_source="annotated")
    pair.instances, pair.is_exhaustive = (marked if truth == "present" else []), True
    pair.save()


def test_asking_again_without_new_labels_is_refused_and_with_them_is_a_job(barn, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    (tmp_path / "barn-v1").mkdir()
    (tmp_path / "barn-v1" / "config.json").write_text("{}")
    for truth in ("present", "absent"):
        settled(barn, "holdout", truth)
    version = factories.make_version("barn-v1", project=barn.project)
    run = factories.make_training_run(barn.project, version=version)
    factories.write_pairs(run.snapshot)
    first = gate_ask(run=run, user=barn.admin)
    assert (first.kind, first.params["run"]) == ("gate", run.number)
    with pytest.raises(ConflictError, match="asked already"):
        gate_ask(run=run, user=barn.admin)
    Job.objects.update(state="succeeded")
    snapshot = barn.project.snapshots.get(number=first.params["snapshot"])
    factories.make_gate(run, "undecided", snapshot=snapshot)
    with pytest.raises(ConflictError, match="Nothing has changed"):
        gate_ask(run=run, user=barn.admin)
    settled(barn, "holdout", "absent")
    assert gate_ask(run=run, user=barn.admin).params["snapshot"] > snapshot.number


def test_what_serves_or_has_no_version_is_not_judged(barn):
    with pytest.raises(ConflictError, match="no version yet"):
        gate_ask(run=factories.make_training_run(barn.project), user=barn.admin)
    run = factories.make_training_run(barn.project, version=barn.project.serving_version)
    with pytest.raises(ConflictError, match="against itself"):
        gate_ask(run=run, user=barn.admin)
