"""What a run needs of a card, known beforehand: held against real tensors, and against cards of several sizes."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from transformers.models.sam3.configuration_sam3 import Sam3Config

from tests.train.snapshots import Snapshot, tiny_model
from training.__main__ import perform
from training.click_rehearsal import pretend_clicks
from training.config import Config
from training.dataset import Snapshot as Frozen
from training.errors import Refused, TrainingError
from training.evaluate import find_pairs
from training.features import FeatureStore
from training.fit import Fit, memory_told, smaller
from training.heads import trainable, use_training_mode
from training.models import load_model
from training.plan import CONTEXT_BYTES, GB, Planner, card_bytes_of, left_for_us
from training.recompute import recompute_layers
from training.rehearsal import Lesson, Meter, Rehearsal
from training.texts import Texts

CPU = torch.device("cpu")
# Without recomputing and in fp32 a tiny model's activations outweigh its weights, as a large one's do in any case.
SMALL: dict[str, object] = {"batch_pairs": 16, "mask_pairs": 1, "blend_pairs": 0, "judge_pairs": 1, "text_rate": 0.0}
SMALL |= {"recompute": "never", "precision": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def rehearsal(folder: Path) -> Rehearsal:
    return Rehearsal(folder)


def config(**changes: object) -> Config:
    return replace(Config(snapshot="", images="", base_model=""), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("recompute", [False, True])
def test_rehearsal_takes_what_real_tensors_take(folder: Path, tmp_path: Path, recompute: bool) -> None:
    """The same forward and backward pass on real weights and real features, each storage counted once."""
    made = Snapshot(tmp_path).add_scenes("train", "easy", 8).freeze()
    pairs = [pair for pair in Frozen(made.folder).split("train").pairs if pair.is_positive][:8]
    pairs = list({pair.image: pair for pair in pairs}.values())
    model = load_model(folder, device=CPU)
    features = FeatureStore(model, made.images, tmp_path / "features")
    features.tokens([pair.image for pair in pairs])
    trainable(model.network, with_text=False)
    if recompute:
        recompute_layers(model.network)
    use_training_mode(model.network, True)
    text = Texts(model, is_frozen=True)([pair.phrase for pair in pairs])
    with Meter() as meter:
        found, _ = find_pairs(model, features, pairs, text)
        torch.stack(
            [layer.boxes_xyxy_PQ4.sum() + layer.query_logits_PQ.sum() for layer in found.layers]
        ).sum().backward()
    lesson = Lesson(pairs=len(pairs), drawn=0, mixed=0, objects=1, learns_text=False)
    planned = Rehearsal(folder).learn(Fit(16, recompute=recompute), lesson)
    weights = sum(parameter.nbytes for parameter in model.network.parameters() if parameter.requires_grad)
    assert planned == pytest.approx(meter.most - weights, rel=0.35, abs=weights)


def test_sizes_are_those_of_the_network(folder: Path) -> None:
    model, sizes = load_model(folder, device=CPU), Rehearsal(folder).sizes
    assert sizes.vit + sizes.text + sizes.heads == sum(p.numel() for p in model.network.parameters())
    assert sizes.vit == sum(p.numel() for p in model.network.detector.vision_encoder.backbone.parameters())
    assert sizes.trained_heads == sum(p.numel() for p in trainable(model.network, with_text=False).values())


def test_rehearsal_leaves_nothing_behind_for_a_real_run(folder: Path) -> None:
    """transformers keeps positions in caches that fake tensors must not get into."""
    lesson = Lesson(pairs=4, drawn=1, mixed=2, objects=2, learns_text=True, has_gradients=True, one_to_many=True)
    Rehearsal(folder).learn(Fit(4, recompute=True), lesson)
    network = load_model(folder, device=CPU).network
    with torch.no_grad():
        vision = network.detector_features(torch.zeros(4, 16, 32))
    assert all(type(position) is torch.Tensor for position in vision.fpn_position_encoding)


def test_rehearsed_clicks_take_what_real_tensors_take(folder: Path) -> None:
    network = load_model(folder, device=CPU).network
    with Meter() as meter:
        pretend_clicks(network, torch.zeros(4, 16, 32))
    assert Rehearsal(folder).click(4) == pytest.approx(meter.most, rel=0.2)


def test_tuned_clicks_cost_gradients_moments_an_average_and_a_step_of_their_own(
    folder: Path, rehearsal: Rehearsal
) -> None:
    plain, tuned, many = (
        Planner(config(), folder, None, rehearsal).phases(Fit(1, recompute=True), config(**changes))[2].parts
        for changes in ({}, {"click_rate": 1.0}, {"click_rate": 1.0, "click_pairs": 256})
    )
    network = load_model(folder, device=CPU).network
    decoder = network.tracker.mask_decoder
    fixed = (decoder.conv_s0, decoder.conv_s1, decoder.pred_obj_score_head, decoder.obj_score_token)
    own = 4 * sum(p.numel() for p in decoder.parameters()) - 4 * sum(p.numel() for m in fixed for p in m.parameters())
    assert tuned["gradients"] - plain["gradients"] == own
    assert tuned["optimiser"] - plain["optimiser"] == 2 * own
    assert tuned["average"] - plain["average"] == own
    assert tuned["activations"] >= plain["activations"]
    assert many["activations"] > tuned["activations"]


def test_forgetting_layers_and_smaller_parts_need_less(folder: Path, rehearsal: Rehearsal) -> None:
    planner = Planner(config(), folder, None, rehearsal)
    plain = planner.phases(Fit(16), config())
    forgetting = planner.phases(Fit(16, recompute=True), config())
    parts = planner.phases(Fit(4, recompute=True), config())
    active = [phases[2].parts["activations"] for phases in (plain, forgetting, parts)]
    assert active[0] > active[1] > active[2] > 0


def test_frozen_text_tower_costs_neither_gradients_nor_moments_nor_an_average(
    folder: Path, rehearsal: Rehearsal
) -> None:
    learning, frozen = (
        Planner(config(), folder, None, rehearsal).phases(Fit(4), config(text_rate=rate))[2].parts
        for rate in (0.3, 0.0)
    )
    text = 4 * rehearsal.sizes.text
    assert learning["gradients"] - frozen["gradients"] == text
    assert learning["optimiser"] - frozen["optimiser"] == 2 * text
    assert learning["average"] - frozen["average"] == text
    assert learning["weights"] - frozen["weights"] == text


def test_what_is_given_up_counts_while_images_are_encoded_too(folder: Path, rehearsal: Rehearsal) -> None:
    asked = config(vit_dtype="float32")
    before, after = (
        Planner(asked, folder, None, rehearsal).phases(Fit(4), replace(asked, **change))[1].parts
        for change in ({}, {"vit_dtype": "bfloat16", "text_rate": 0.0})
    )
    assert before["weights"] - after["weights"] == 2 * rehearsal.sizes.vit
    assert before["average"] - after["average"] == 4 * rehearsal.sizes.text


@pytest.mark.parametrize("recompute", [False, True])
def test_one_to_many_branch_costs_what_it_costs_real_tensors(folder: Path, tmp_path: Path, recompute: bool) -> None:
    """The branch's own share: the rest is the test above."""
    made = Snapshot(tmp_path).add_scenes("train", "easy", 8).freeze()
    pairs = [pair for pair in Frozen(made.folder).split("train").pairs if pair.is_positive]
    pairs = list({pair.image: pair for pair in pairs}.values())[:8]
    real, planned = [], []
    for branch in (False, True):
        model = load_model(folder, device=CPU)
        features = FeatureStore(model, made.images, tmp_path / "features")
        features.tokens([pair.image for pair in pairs])
        trainable(model.network, with_text=False)
        if recompute:
            recompute_layers(model.network)
        use_training_mode(model.network, True)
        text = Texts(model, is_frozen=True)([pair.phrase for pair in pairs])
        with Meter() as meter:
            found, _ = find_pairs(model, features, pairs, text, one_to_many=branch)
            layers = [*found.layers, *(found.many.layers if found.many else [])]
            torch.stack([one.boxes_xyxy_PQ4.sum() + one.query_logits_PQ.sum() for one in layers]).sum().backward()
        real.append(meter.most)
        lesson = Lesson(pairs=len(pairs), drawn=0, mixed=0, objects=1, learns_text=False, one_to_many=branch)
        planned.append(Rehearsal(folder).learn(Fit(16, recompute=recompute), lesson))
    assert real[1] > 1.2 * real[0]
    assert planned[1] - planned[0] == pytest.approx(real[1] - real[0], rel=0.35)


def test_semantic_logits_and_their_gradient_are_counted(folder: Path, rehearsal: Rehearsal) -> None:
    plain, both = (
        rehearsal.learn(Fit(16), Lesson(8, drawn=8, mixed=0, objects=200, learns_text=False, semantic=on))
        for on in (False, True)
    )
    logits = 4 * 8 * (4 * rehearsal._network.grid_size) ** 2  # of eight pairs in fp32, at the masks' own size
    assert both - plain > logits


def test_run_that_judges_is_told_keys_that_are_its_own(folder: Path, rehearsal: Rehearsal) -> None:
    asked = config(judge_pairs=16)
    roomy = Planner(asked, folder, 80 * GB, rehearsal).judge()
    assert {part for phase in roomy.phases for part in phase.parts} == {"weights", "activations"}
    too_small = Planner(asked, folder, CONTEXT_BYTES, rehearsal).judge()
    assert (too_small.fits, too_small.change) == (False, {})
    assert "batch_pairs" not in too_small.sentence
    assert smaller(Fit(16), asked, judges=True) == {"judge_pairs": 8}
    assert smaller(Fit(16, judge_pairs=1), asked, judges=True) == {}


def test_run_that_does_not_fit_is_told_what_to_set_and_fits_with_that(folder: Path, rehearsal: Rehearsal) -> None:
    asked = config(micro_pairs=16, **SMALL)
    roomy = Planner(asked, folder, 80 * GB, rehearsal).train()
    card = int((roomy.needed_bytes - CONTEXT_BYTES) * 0.9) + CONTEXT_BYTES
    plan = Planner(asked, folder, card, rehearsal).train()
    assert (roomy.fits, roomy.change) == (True, {})
    assert plan.fits is False
    assert "set micro_pairs to" in plan.sentence
    assert Planner(replace(asked, **plan.change), folder, card, rehearsal).train().fits


def test_card_that_cannot_even_load_the_model_is_too_small_whatever_is_set(folder: Path, rehearsal: Rehearsal) -> None:
    plan = Planner(config(micro_pairs=16, **SMALL), folder, CONTEXT_BYTES, rehearsal).train()
    assert (plan.fits, plan.change) == (False, {})
    assert "it takes a card with more" in plan.sentence


def test_parts_are_chosen_where_the_config_leaves_them_open(folder: Path, rehearsal: Rehearsal) -> None:
    asked = config(**SMALL)
    roomy = Planner(asked, folder, 80 * GB, rehearsal).train()
    card = int((roomy.needed_bytes - CONTEXT_BYTES) * 0.9) + CONTEXT_BYTES
    tight = Planner(asked, folder, card, rehearsal).train()
    assert (roomy.fits, tight.fits) == (True, True)
    assert roomy.fit.micro_pairs == 16 > tight.fit.micro_pairs


def test_plan_of_several_cards_is_for_each_of_them(folder: Path, rehearsal: Rehearsal) -> None:
    """One of four learns from 4 of 16 pairs, and holds what a run of 4 pairs holds."""
    four = Planner(config(**SMALL), folder, 10**12, rehearsal, cards=4).train()
    one = Planner(config(**SMALL | {"batch_pairs": 4}), folder, 10**12, rehearsal).train()
    assert four.needed_bytes == one.needed_bytes
    assert four.needed_bytes < Planner(config(**SMALL), folder, 10**12, rehearsal).train().needed_bytes
    assert "of the memory of each of 4 cards" in four.sentence
    assert four.fit.micro_pairs == 4


def test_plan_of_a_cluster_s_job_is_for_each_of_its_cards(folder: Path, tmp_path: Path) -> None:
    status, words = plan(folder, tmp_path, "--card", "24GB", "launch=slurm", "launch_gpus=2")
    assert status == 0
    assert "each of 2 cards" in words


@pytest.mark.parametrize(
    ("words", "size"),
    [("24GB", 24 * 10**9), ("22.5 GiB", int(22.5 * 2**30)), ("16", 16 * 10**9), ("800 mib", 800 * 2**20)],
)
def test_card_is_named_by_its_size(words: str, size: int) -> None:
    assert card_bytes_of(words) == size


def test_what_is_kept_for_the_backend_is_taken_off_once() -> None:
    gib = 2**30
    assert left_for_us(free=23 * gib, total=24 * gib, kept_free_mib=8192) == 16 * gib
    assert left_for_us(free=15 * gib, total=24 * gib, kept_free_mib=8192) == 15 * gib  # it has its share and more
    assert left_for_us(free=23 * gib, total=24 * gib, kept_free_mib=0) == 23 * gib
    assert left_for_us(free=3 * gib, total=4 * gib, kept_free_mib=8192) == 0


def test_plan_says_what_it_left_to_the_backend(folder: Path, tmp_path: Path) -> None:
    status, words = plan(folder, tmp_path, "--card", "24GB", "kept_free_mib=8192")
    assert status == 0
    assert "15.4 GB are there beside the 8.6 GB kept for the ML backend: it fits." in words


def test_what_is_no_size_of_a_card_is_refused() -> None:
    with pytest.raises(Refused, match="such as 24GB"):
        card_bytes_of("A10G")


def plan(folder: Path, out: Path, *arguments: str) -> tuple[int, str]:
    asked = out / "asked.json"
    asked.write_text(json.dumps({"base_model": str(folder), "nice": 0, **SMALL}))
    said = StringIO()
    with redirect_stdout(said):
        status = perform(["plan", "--config", str(asked), "--out", str(out), *arguments])
    return status, said.getvalue()


def test_command_says_what_is_needed_and_leaves_it_as_json(folder: Path, tmp_path: Path) -> None:
    status, words = plan(folder, tmp_path, "--card", "24GB")
    made = json.loads((tmp_path / "plan.json").read_text())
    assert status == 0
    assert "24.0 GB are there: it fits" in words
    assert made["fits"] is True
    assert [phase["name"] for phase in made["phases"]] == ["load", "encode", "train", "validate"]
    assert made["sentence"] in words


def test_command_refuses_a_run_that_does_not_fit(folder: Path, tmp_path: Path) -> None:
    status, words = plan(folder, tmp_path, "--card", "500MB")
    assert status == 2
    assert json.loads(words.splitlines()[-1])["code"] == "too_little_memory"
    assert json.loads((tmp_path / "plan.json").read_text())["fits"] is False


def test_card_that_runs_out_of_memory_all_the_same_says_what_to_set_next() -> None:
    words = "set micro_pairs to 8, judge_pairs to 8"
    with pytest.raises(TrainingError, match=words) as told, memory_told(Fit(16), config()):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert (told.value.code, told.value.exit_status) == ("out_of_memory", 1)
    assert told.value.settings == {"micro_pairs": 8, "judge_pairs": 8}


def test_what_is_given_up_ends_with_the_text_tower() -> None:
    assert smaller(Fit(1), config()) == {"recompute": "always"}
    assert smaller(Fit(1, recompute=True), config()) == {"text_rate": 0.0}
    assert smaller(Fit(1, recompute=True), config(text_rate=0.0)) == {}


def test_sam3_heads_fit_12_gb_and_its_text_tower_too_24(tmp_path: Path) -> None:
    """The real network at its real size, from its config alone: the targets of docs/training.md."""
    (tmp_path / "config.json").write_text(json.dumps({"detector_config": Sam3Config().to_dict()}))
    rehearsal, both = Rehearsal(tmp_path), config(batch_pairs=2, blend_pairs=0, mask_pairs=1, judge_pairs=2)
    heads = Planner(replace(both, text_rate=0.0), tmp_path, 12 * GB, rehearsal).train()
    text = Planner(both, tmp_path, 24 * GB, rehearsal).train()
    assert (heads.fits, text.fits) == (True, True)
    assert text.needed_bytes > heads.needed_bytes > 4 * GB
