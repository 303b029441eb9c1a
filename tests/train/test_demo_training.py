"""How the demo model is taught: fair questions, honest domains, and a run that a kill does not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mlbackend.model.inputs import load_tokenizer
from mlbackend.model.network import Sam3Network
from training.demo.architecture import CONCEPTS, GRID, VIT_WIDTH, demo_config, write_tokenizer
from training.demo.detector_stage import OTHER_WORDS, Lesson, ask
from training.demo.drawings import load_or_draw
from training.demo.exemplar_stage import train_exemplars
from training.demo.optimiser import Optimiser
from training.demo.prompts import NEGATIVE, POSITIVE, boxes_by_number, make_batch, small_numbers
from training.demo.stage import Stage, load_learned, weights
from training.errors import Stopped
from training.launch import StopRequest


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawings")
    return [load_or_draw(folder, domain, 60, 6, processes=1) for domain in ("easy", "hard")]


@pytest.fixture
def lesson(drawings) -> Lesson:
    easy = drawings[0]
    boxes = np.zeros((6, 8, 4), np.float32)
    for index in range(6):
        for number, box in boxes_by_number(easy.numbers[index]).items():
            boxes[index, number - 1] = box / 224
    numbers = np.stack([small_numbers(easy.numbers[index]) for index in range(6)])
    return Lesson(np.zeros((6, 2, GRID * GRID, VIT_WIDTH), np.float16), numbers, boxes, easy.concepts)


def test_hard_pictures_never_tell_their_concepts(drawings):
    batch = make_batch(drawings, [np.arange(3), np.arange(3)], 2, np.random.default_rng(0))
    assert (batch.concepts[:3] >= 0).all()
    assert (batch.concepts[3:] == -1).all()


def test_clicks_lie_where_their_label_says(drawings):
    """In a half-mirrored batch too: points, masks and picture turn together."""
    for seed in range(4):
        batch = make_batch(drawings, [np.arange(6), np.arange(6)], 3, np.random.default_rng(seed))
        cells = (batch.points / 3.5).long().clamp(0, 63)
        for b, p, n in (batch.labels == POSITIVE).nonzero().tolist():
            x, y = cells[b, p, n]
            assert batch.masks[b, p, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any()
        for b, p, n in (batch.labels == NEGATIVE).nonzero().tolist():
            x, y = cells[b, p, n]
            assert not batch.masks[b, p, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].all()


def test_extents_reach_from_each_cell_to_its_box(drawings):
    batch = make_batch(drawings[:1], [np.arange(6)], 1, np.random.default_rng(1))
    inside = batch.numbers > 0
    left, top, right, bottom = batch.extents.unbind(1)
    assert (torch.stack([left, top, right, bottom])[:, inside] > -0.02).all()
    assert ((left + right)[inside] < 0.7).all()


def test_each_picture_is_asked_for_something_absent_and_its_truth_is_empty(lesson):
    question = ask(lesson, np.arange(6), np.random.default_rng(5))
    for row, phrase, target in zip(question.rows_P.tolist(), question.phrases, question.targets, strict=True):
        drawn = phrase in CONCEPTS and CONCEPTS.index(phrase) in lesson.concepts[row]
        assert (len(target.boxes_xyxy_M4) > 0) == drawn
        assert phrase in CONCEPTS or phrase in OTHER_WORDS
    assert len(question.phrases) == 12


def test_boxes_and_masks_of_a_question_agree(lesson):
    for seed in range(4):
        for target in ask(lesson, np.arange(6), np.random.default_rng(seed)).targets:
            for box, mask in zip(target.boxes_xyxy_M4, target.masks_MHW, strict=True):
                columns = mask.any(0).nonzero()[:, 0]
                assert abs(float(box[0]) * 64 - int(columns[0])) < 4  # a thin tip may lie between cell centres
                assert abs(float(box[2]) * 64 - int(columns[-1]) - 1) < 4


def train_line(folder, steps: int, asked_in: int | None = None) -> torch.Tensor:
    """A run whose batches depend on the step's number alone, as both stages' do."""
    torch.manual_seed(0)
    model, stop = nn.Linear(12, 9), StopRequest()

    def losses_at(step: int) -> dict[str, torch.Tensor]:
        if step == asked_in:
            stop.ask()
        torch.manual_seed(step)
        inputs = torch.randn(8, 12)
        return {"total": (model(inputs) - inputs[:, :9]).square().mean()}

    Stage(folder, {"model": model}, Optimiser(model.named_parameters(), rate=0.05, steps=20), losses_at, stop).run(
        steps
    )
    return model.weight.detach()


def test_killed_run_resumes_to_the_same_weights(tmp_path):
    train_line(tmp_path / "killed", 8)
    resumed = train_line(tmp_path / "killed", 20)
    assert torch.equal(resumed, train_line(tmp_path / "whole", 20))


def test_stage_that_is_asked_to_stop_saves_first_and_goes_on_to_the_same_weights(tmp_path):
    with pytest.raises(Stopped):
        train_line(tmp_path / "asked", 20, asked_in=6)
    assert (tmp_path / "asked" / "step-00000007.json").exists()
    resumed = train_line(tmp_path / "asked", 20)
    assert torch.equal(resumed, train_line(tmp_path / "whole", 20))


def test_next_stage_reads_what_the_one_before_learned(tmp_path):
    weight, fresh = train_line(tmp_path / "first", 3), nn.Linear(12, 9)
    load_learned(fresh, tmp_path / "first", "model")
    assert torch.equal(fresh.weight, weight)
    with pytest.raises(FileNotFoundError, match="second holds no whole checkpoint"):
        load_learned(fresh, tmp_path / "second", "model")


def test_a_tensor_that_two_parts_share_is_kept_once():
    shared = nn.Linear(3, 3)
    assert list(weights(nn.ModuleDict({"a": shared, "b": shared}))) == ["a.weight", "a.bias"]


def test_learning_rate_rises_holds_and_ends_at_zero():
    optimiser = Optimiser([("weight", nn.Parameter(torch.zeros(3)))], rate=1.0, steps=100)
    assert optimiser._share(0.01) < 1
    assert optimiser._share(0.3) == 1
    assert optimiser._share(0.75) == pytest.approx(0.5)
    assert optimiser._share(1.0) == 0


def test_examples_are_taught_to_the_geometry_encoder_alone(lesson, tmp_path):
    torch.manual_seed(0)
    network = Sam3Network.from_config(demo_config())
    write_tokenizer(tmp_path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    train_exemplars(network, load_tokenizer(tmp_path), [lesson], steps=2, folder=tmp_path / "e", seed=0, batch_size=2)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("detector.geometry_encoder.") for name in changed)
    assert all(parameter.requires_grad for parameter in network.parameters())
