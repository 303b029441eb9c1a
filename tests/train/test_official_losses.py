"""Losses, one-to-many branch and matcher equal those of Meta's own modules (tests/data/official_sam3/)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mlbackend.model.network import Detections, LayerOutput, Sam3Network
from tests.official_reference import reference_answers, reference_inputs, reference_network
from training.losses import Drawn, LossWeights, Target, detection_loss
from training.matcher import match_many

CLOSE = 1e-5
EXTRA = LossWeights(one_to_many=2.0, semantic_focal=20.0, semantic_dice=30.0)


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    return reference_answers()


@pytest.fixture(scope="module")
def targets(theirs: dict[str, torch.Tensor]) -> list[Target]:
    counts = theirs["target_counts"].tolist()
    boxes, masks = theirs["target_boxes_xyxy"].split(counts), theirs["target_masks"].split(counts)
    return [Target(box, mask) for box, mask in zip(boxes, masks, strict=True)]


def ask(network: Sam3Network, **more: object) -> Detections:
    inputs = reference_inputs()
    return network.detect(inputs.vision, inputs.text, image_rows_P=inputs.image_rows_P, one_to_many=True, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def network() -> Sam3Network:
    network = reference_network()
    network.prompt_has_cls = True
    return network


@pytest.fixture(scope="module")
def found(network: Sam3Network) -> Detections:
    return ask(network)


def of_layers(layers: list[LayerOutput], name: str) -> torch.Tensor:
    return torch.stack([getattr(layer, name) for layer in layers])


def close(ours: torch.Tensor, official: torch.Tensor) -> bool:
    """Within 1e-5 of the largest number, or of 1."""
    return float((ours - official).detach().abs().max()) <= CLOSE * max(1.0, float(official.abs().max()))


@pytest.mark.parametrize("name", ["query_logits_PQ", "boxes_xyxy_PQ4"])
def test_both_branches_answer_layer_by_layer_as_metas(
    found: Detections, theirs: dict[str, torch.Tensor], name: str
) -> None:
    assert found.many is not None
    assert close(of_layers(found.layers, name), theirs[f"train_{name}"])
    assert close(of_layers(found.many.layers, name), theirs[f"many_{name}"])
    assert not close(of_layers(found.layers, name), theirs[f"many_{name}"])


def test_masks_of_the_branch_and_semantic_logits_are_metas(found: Detections, theirs: dict[str, torch.Tensor]) -> None:
    assert found.many is not None
    assert found.many.mask_logits_PQHW is not None
    assert found.semantic_logits_PHW is not None
    assert close(found.many.mask_logits_PQHW, theirs["many_mask_logits_PQHW"])
    assert close(found.semantic_logits_PHW, theirs["eval_semantic_P1HW"][:, 0])


def test_the_branch_leaves_the_ordinary_answer_as_it_is(network: Sam3Network, found: Detections) -> None:
    inputs = reference_inputs()
    plain = network.detect(inputs.vision, inputs.text, image_rows_P=inputs.image_rows_P)
    assert plain.many is None
    assert torch.equal(plain.query_logits_PQ, found.query_logits_PQ)
    assert close(plain.mask_logits_PQHW, found.mask_logits_PQHW)  # type: ignore[arg-type]


def test_the_branch_adds_no_weights_and_its_gradient_reaches_the_shared_ones(network: Sam3Network) -> None:
    names = list(network.state_dict())
    many = ask(network).many
    assert many is not None
    assert list(network.state_dict()) == names
    [shared] = torch.autograd.grad(many.query_logits_PQ.sum(), [network.detector.detr_decoder.layers[0].mlp.fc1.weight])
    assert shared.abs().sum() > 0
    attention = network.detector.detr_decoder.layers[0].self_attn.q_proj.weight
    assert torch.autograd.grad(ask(network).many.query_logits_PQ.sum(), [attention], allow_unused=True) == (None,)  # type: ignore[union-attr]


def test_one_to_many_matches_are_metas(
    found: Detections, targets: list[Target], theirs: dict[str, torch.Tensor]
) -> None:
    assert found.many is not None
    pairs = match_many(
        found.many.query_logits_PQ, found.many.boxes_xyxy_PQ4, [target.boxes_xyxy_M4 for target in targets]
    )
    starts = [0, *theirs["target_counts"].cumsum(0).tolist()]
    ours = [
        [p, q, starts[p] + m] for p, (qs, ms) in enumerate(pairs) for q, m in zip(qs.tolist(), ms.tolist(), strict=True)
    ]
    assert sorted(ours) == sorted(theirs["many_match"].T.tolist())
    assert len(ours) > len(theirs["target_boxes_xyxy"])


def test_ordinary_terms_are_metas(found: Detections, targets: list[Target], theirs: dict[str, torch.Tensor]) -> None:
    terms = detection_loss(found, targets)
    expected = {
        "presence": 20 * (theirs["loss_presence_loss"] + theirs["loss_presence_loss_aux_0"]),
        "score": 20 * (theirs["loss_ce"] + theirs["loss_ce_aux_0"]),
        "box_l1": 5 * (theirs["loss_bbox"] + theirs["loss_bbox_aux_0"]),
        "giou": 2 * (theirs["loss_giou"] + theirs["loss_giou_aux_0"]),
        "mask_focal": 200 * theirs["loss_mask"],
        "mask_dice": 10 * theirs["loss_dice"],
    }
    assert terms.keys() == expected.keys() | {"total"}
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=CLOSE), name


def test_terms_of_the_branch_are_metas(
    found: Detections, targets: list[Target], theirs: dict[str, torch.Tensor]
) -> None:
    """What is recorded as `_o2m` is multiplied by the branch's weight of 2 already."""
    ends = ("_o2m", "_aux_0_o2m")
    boxes = sum(5 * theirs[f"loss_bbox{end}"] + 2 * theirs[f"loss_giou{end}"] for end in ends)
    expected = boxes + sum(20 * theirs[f"loss_ce{end}"] for end in ends)
    expected += 200 * theirs["loss_mask_o2m"] + 10 * theirs["loss_dice_o2m"]
    terms = detection_loss(found, targets, weights=LossWeights(one_to_many=2.0))
    assert float(terms["many"]) == pytest.approx(float(expected), rel=CLOSE)
    assert float(terms["total"]) == pytest.approx(float(theirs["loss_core_loss"]), rel=CLOSE)


def test_semantic_term_is_metas(found: Detections, targets: list[Target], theirs: dict[str, torch.Tensor]) -> None:
    terms = detection_loss(found, targets, weights=LossWeights(semantic_focal=20.0, semantic_dice=30.0))
    assert float(terms["semantic"]) == pytest.approx(float(theirs["loss_semantic_core"]), rel=CLOSE)


def test_gradients_of_the_whole_loss_are_metas(
    network: Sam3Network, targets: list[Target], theirs: dict[str, torch.Tensor]
) -> None:
    detector = network.detector
    weights = {
        "query_embed": detector.detr_decoder.query_embed.weight,
        "cls_embed": detector.geometry_encoder.cls_embed.weight,
        "semantic_head": detector.mask_decoder.semantic_projection.weight,
    }
    total = detection_loss(ask(network), targets, weights=EXTRA)["total"]
    for name, ours in zip(weights, torch.autograd.grad(total, list(weights.values())), strict=True):
        official = theirs[f"grad_{name}"]
        assert float((ours - official).norm() / official.norm()) < 1e-4, name


def test_masks_of_some_prompts_are_divided_by_the_objects_of_these(
    network: Sam3Network, targets: list[Target], theirs: dict[str, torch.Tensor]
) -> None:
    """Meta's Masks of the first and the third prompt: 4 of the 6 objects of the batch."""
    rows = torch.tensor([0, 2])
    terms = detection_loss(ask(network, mask_rows=rows), targets, mask_rows=rows)
    assert float(terms["mask_focal"]) == pytest.approx(200 * float(theirs["some_loss_mask"]), rel=CLOSE)
    assert float(terms["mask_dice"]) == pytest.approx(10 * float(theirs["some_loss_dice"]), rel=CLOSE)


def test_parts_of_a_batch_given_its_numbers_add_up_to_it(network: Sam3Network, targets: list[Target]) -> None:
    names = ("mask_focal", "mask_dice", "semantic")
    rows = torch.tensor([0, 2])
    whole = detection_loss(ask(network, mask_rows=rows), targets, mask_rows=rows, weights=EXTRA)
    drawn = Drawn.of([targets[0], targets[2]])
    parts = []
    for row in rows:
        one = torch.tensor([int(row)])
        parts.append(detection_loss(ask(network, mask_rows=one), targets, mask_rows=one, weights=EXTRA, drawn=drawn))
    for name in names:
        assert float(sum(part[name] for part in parts)) == pytest.approx(float(whole[name]), rel=1e-4)


def test_the_extra_terms_are_off_unless_they_are_asked_for(found: Detections, targets: list[Target]) -> None:
    assert not {"many", "semantic"} & detection_loss(found, targets).keys()


def test_a_weight_without_its_branch_is_an_error(found: Detections, targets: list[Target]) -> None:
    with pytest.raises(ValueError, match="one_to_many=True"):
        detection_loss(replace(found, many=None), targets, weights=LossWeights(one_to_many=2.0))


def open_positive(targets: list[Target]) -> list[Target]:
    """The first prompt's objects are not all marked, nor are the last one's."""
    return [replace(target, is_exhaustive=place not in (0, 3)) for place, target in enumerate(targets)]


def test_no_extra_term_pulls_down_a_score_of_a_pair_that_is_not_whole(
    network: Sam3Network, targets: list[Target]
) -> None:
    found = ask(network)
    assert found.many is not None
    logits = [layer.query_logits_PQ for layer in found.many.layers]
    terms = detection_loss(found, open_positive(targets), weights=EXTRA)
    for gradient in torch.autograd.grad(terms["many"], logits, retain_graph=True):
        assert (gradient[[0, 3]] <= 0).all()  # a step along the negative gradient only raises them
        assert (gradient[2] > 0).any()  # of a whole positive some are pulled down
        assert not gradient[1].any()  # and of a negative none


def test_pixels_of_a_pair_that_is_not_whole_and_of_a_negative_are_taught_nothing(
    network: Sam3Network, targets: list[Target]
) -> None:
    found = ask(network)
    assert found.semantic_logits_PHW is not None
    terms = detection_loss(found, open_positive(targets), weights=EXTRA)
    [gradient] = torch.autograd.grad(terms["semantic"], [found.semantic_logits_PHW])
    assert [bool(row.any()) for row in gradient] == [False, False, True, False]
