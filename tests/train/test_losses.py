"""The official losses: numbers by hand, and what an explicit negative may train."""

from __future__ import annotations

import math

import pytest
import torch

from mlbackend.model.network import Detections, LayerOutput
from training.losses import LossWeights, Target, detection_loss, dice_loss, focal_loss, presence_loss

BOX = torch.tensor([[0.25, 0.25, 0.75, 0.75]])


def layer(logits: list[float], boxes: torch.Tensor, presence: float = 0.0) -> LayerOutput:
    return LayerOutput(
        torch.tensor([presence], requires_grad=True),
        torch.tensor([logits], requires_grad=True),
        boxes[None].clone().requires_grad_(),
    )


def target(box: torch.Tensor = BOX) -> Target:
    mask = torch.zeros(len(box), 4, 4, dtype=torch.bool)
    mask[:, 1:3, 1:3] = True
    return Target(box, mask)


NEGATIVE = Target(torch.zeros(0, 4), torch.zeros(0, 4, 4, dtype=torch.bool))
TWO = torch.cat([BOX, torch.tensor([[0.0, 0.0, 0.1, 0.1]])])


def test_negative_trains_the_presence_score_alone():
    one = layer([2.0, -1.0], TWO)
    masks = torch.zeros(1, 2, 4, 4, requires_grad=True)
    losses = detection_loss(Detections([one], masks), [NEGATIVE])
    losses["total"].backward()
    assert float(losses["presence"]) == pytest.approx(20 * 0.5 * math.log(2))
    assert float(losses["total"]) == pytest.approx(float(losses["presence"]))
    assert one.presence_logits_P.grad.item() == pytest.approx(5.0)
    for tensor in (one.query_logits_PQ, one.boxes_xyxy_PQ4, masks):
        assert tensor.grad is None or not tensor.grad.any()


def test_score_term_by_hand():
    """Perfect box at logit 0 aims at 0.5^0.25: 10 x its BCE, p^2 BCE of the other query, over 200 queries, times 20."""
    losses = detection_loss(Detections([layer([0.0, 1.0], TWO)], None), [target()])
    aim, other = 0.5**0.25, 1 / (1 + math.exp(-1))
    bce = -(aim * math.log(0.5) + (1 - aim) * math.log(0.5))
    expected = 20 * (10 * bce + other**2 * -math.log(1 - other)) / 200
    assert float(losses["score"]) == pytest.approx(expected, rel=1e-4)


def test_badly_placed_box_is_not_taught_a_high_score():
    """IoU-aware: the matched query's aim falls with its overlap, so a sure query on a poor box is pulled down."""
    poor = torch.tensor([[0.7, 0.7, 0.99, 0.99]])
    one = layer([2.0], poor)
    detection_loss(Detections([one], None), [target()])["score"].backward()
    assert one.query_logits_PQ.grad.item() > 0
    good = layer([0.0], BOX)
    detection_loss(Detections([good], None), [target()])["score"].backward()
    assert good.query_logits_PQ.grad.item() < 0


def test_box_terms_by_hand():
    """Shifted right by half its width: centre off by 0.25; IoU 1/3, the enclosing box full: GIoU 1/3."""
    losses = detection_loss(Detections([layer([0.0], BOX + torch.tensor([0.25, 0, 0.25, 0]))], None), [target()])
    assert float(losses["box_l1"]) == pytest.approx(5 * 0.25)
    assert float(losses["giou"]) == pytest.approx(2 * (1 - 1 / 3), rel=1e-5)


def test_every_decoder_layer_is_trained_and_terms_add_up():
    layers = [layer([0.0, 1.0], TWO, presence=0.3) for _ in range(3)]
    once = detection_loss(Detections(layers[:1], None), [target()])
    thrice = detection_loss(Detections(layers, None), [target()])
    assert float(thrice["total"]) == pytest.approx(3 * float(once["total"]), rel=1e-5)
    assert float(sum(v for k, v in thrice.items() if k != "total")) == pytest.approx(float(thrice["total"]), rel=1e-5)


def test_boxes_are_averaged_over_all_objects_of_the_batch():
    shifted = BOX + torch.tensor([0.25, 0, 0.25, 0])
    row = layer([0.0, -3.0], torch.cat([shifted, TWO[1:]]))
    batch = LayerOutput(
        row.presence_logits_P.repeat(2), row.query_logits_PQ.repeat(2, 1), row.boxes_xyxy_PQ4.repeat(2, 1, 1)
    )
    assert float(detection_loss(Detections([batch], None), [target(), target()])["box_l1"]) == pytest.approx(5 * 0.25)


def test_masks_of_chosen_prompts_are_compared_with_those_prompts():
    both = LayerOutput(torch.zeros(2), torch.zeros(2, 1), BOX[None].repeat(2, 1, 1))
    right = torch.where(target().masks_MHW[0], 20.0, -20.0)[None, None]
    losses = detection_loss(Detections([both], right), [NEGATIVE, target()], mask_rows=torch.tensor([1]))
    assert float(losses["mask_focal"]) == pytest.approx(0, abs=1e-5)
    assert float(losses["mask_dice"]) == pytest.approx(0, abs=1e-3)
    wrong = detection_loss(Detections([both], -right), [NEGATIVE, target()], mask_rows=torch.tensor([1]))
    assert float(wrong["mask_dice"]) > 7


def test_masks_are_judged_at_the_size_of_the_truth():
    one = layer([0.0], BOX)
    small = torch.where(target().masks_MHW[0], 9.0, -9.0)[None, None]
    large = Target(BOX, target().masks_MHW.repeat_interleave(8, 1).repeat_interleave(8, 2))
    assert float(detection_loss(Detections([one], small), [large])["mask_dice"]) < 2.5


def test_focal_and_dice_by_hand():
    assert float(focal_loss(torch.tensor(0.0), torch.tensor(1.0))) == pytest.approx(0.25 * 0.25 * math.log(2))
    assert float(focal_loss(torch.tensor(0.0), torch.tensor(0.0))) == pytest.approx(0.75 * 0.25 * math.log(2))
    assert float(dice_loss(torch.full((1, 2, 2), -50.0), torch.ones(1, 2, 2))) == pytest.approx(1 - 1 / 5)


def test_smoothed_presence_stops_pulling_before_certainty():
    sure = torch.tensor([6.0], requires_grad=True)
    presence_loss(sure, torch.tensor([True]), smoothing=0.05).backward()
    assert sure.grad.item() > 0


def test_weights_scale_their_own_term():
    detections = Detections([layer([0.0, 1.0], TWO)], None)
    plain = detection_loss(detections, [target()])
    double = detection_loss(detections, [target()], weights=LossWeights(giou=4.0))
    assert {k for k in plain if not torch.isclose(plain[k], double[k])} <= {"giou", "total"}


def test_boxes_from_masks_enclose_every_pixel():
    masks = torch.zeros(1, 10, 20, dtype=torch.bool)
    masks[0, 2:5, 4:8] = True
    assert Target.from_masks(masks).boxes_xyxy_M4.tolist() == [pytest.approx([0.2, 0.2, 0.4, 0.5])]


def test_empty_mask_is_refused():
    with pytest.raises(ValueError, match="empty mask"):
        Target.from_masks(torch.zeros(1, 4, 4, dtype=torch.bool))


def test_no_masks_at_all_is_a_negative():
    assert Target.from_masks(torch.zeros(0, 4, 4)).boxes_xyxy_M4.shape == (0, 4)


PARTIAL = Target(target().boxes_xyxy_M4, target().masks_MHW, is_exhaustive=False)


def batch_of(targets: list[Target]) -> tuple[list[LayerOutput], dict[str, torch.Tensor]]:
    """Each prompt with one query on the marked object and, as sure, one elsewhere; two decoder layers."""
    layers = [
        LayerOutput(
            torch.zeros(len(targets), requires_grad=True),
            torch.tensor([[1.0, 2.0]] * len(targets), requires_grad=True),
            TWO[None].repeat(len(targets), 1, 1).requires_grad_(),
        )
        for _ in range(2)
    ]
    losses = detection_loss(Detections(layers, None), targets)
    losses["total"].backward()
    return layers, losses


def test_unmatched_query_of_a_pair_that_is_not_exhaustive_gets_no_gradient_at_all():
    """It may lie on an object that nobody marked; in the exhaustive pair beside it the same query is pulled down."""
    layers, _ = batch_of([PARTIAL, target(), NEGATIVE])
    for one in layers:
        partial, whole, negative = one.query_logits_PQ.grad
        assert partial[1].item() == 0.0
        assert whole[1].item() > 0
        assert negative.tolist() == [0.0, 0.0]


def test_pair_that_is_not_exhaustive_trains_what_it_holds():
    """Its matched query's score, presence, box and mask: to the same extent as where all is marked."""
    partial, _ = batch_of([PARTIAL])
    whole, _ = batch_of([target()])
    for one, other in zip(partial, whole, strict=True):
        assert one.query_logits_PQ.grad[0, 0].item() == other.query_logits_PQ.grad[0, 0].item() < 0
        assert one.presence_logits_P.grad.item() == other.presence_logits_P.grad.item() < 0
        assert torch.equal(one.boxes_xyxy_PQ4.grad, other.boxes_xyxy_PQ4.grad)
    masks = torch.zeros(1, 1, 4, 4, requires_grad=True)
    detection_loss(Detections([layer([0.0], BOX)], masks), [PARTIAL])["total"].backward()
    assert masks.grad.any()


def test_sure_query_on_what_may_be_an_unmarked_object_is_not_pulled_down_by_its_match():
    """With one query for an object far off, the match aims at 0.01: in an exhaustive pair only is that a lesson."""
    far = torch.tensor([[0.8, 0.8, 0.99, 0.99]])
    sure = {kind: layer([3.0], far) for kind in ("partial", "whole")}
    detection_loss(Detections([sure["partial"]], None), [PARTIAL])["score"].backward()
    detection_loss(Detections([sure["whole"]], None), [target()])["score"].backward()
    assert sure["partial"].query_logits_PQ.grad.item() == 0.0
    assert sure["whole"].query_logits_PQ.grad.item() > 0


def test_exhaustive_pair_teaches_the_same_beside_one_that_is_not():
    beside_partial, _ = batch_of([PARTIAL, target()])
    beside_whole, _ = batch_of([target(), target()])
    for one, other in zip(beside_partial, beside_whole, strict=True):
        assert torch.equal(one.query_logits_PQ.grad[1], other.query_logits_PQ.grad[1])
        assert torch.equal(one.boxes_xyxy_PQ4.grad[1], other.boxes_xyxy_PQ4.grad[1])
        assert torch.equal(one.presence_logits_P.grad[1], other.presence_logits_P.grad[1])


def test_truth_that_is_neither_whole_nor_marks_anything_is_refused():
    with pytest.raises(ValueError, match="says nothing"):
        Target(NEGATIVE.boxes_xyxy_M4, NEGATIVE.masks_MHW, is_exhaustive=False)
