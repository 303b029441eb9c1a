"""One query for one object, at the least total cost."""

from __future__ import annotations

import itertools

import pytest
import torch

from training.matcher import box_iou_and_union, generalised_iou, match, to_cxcywh


def test_nearest_boxes_are_matched_whatever_the_order():
    boxes = torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.6, 0.6, 0.9, 0.9], [0.4, 0.1, 0.5, 0.2]])
    [(queries, objects)] = match(torch.zeros(1, 3), boxes[None], [boxes[[1, 0]]])
    assert dict(zip(queries.tolist(), objects.tolist(), strict=True)) == {1: 0, 0: 1}


def test_of_two_equal_boxes_the_surer_query_is_matched():
    boxes = torch.tensor([[[0.1, 0.1, 0.3, 0.3], [0.1, 0.1, 0.3, 0.3]]])
    [(queries, _)] = match(torch.tensor([[-2.0, 2.0]]), boxes, [boxes[0, :1]])
    assert queries.tolist() == [1]


def test_negative_matches_nothing():
    [(queries, objects)] = match(torch.zeros(1, 4), torch.rand(1, 4, 4), [torch.zeros(0, 4)])
    assert len(queries) == len(objects) == 0


def test_more_objects_than_queries_leaves_some_unmatched():
    truth = torch.tensor([[0.0, 0.0, 0.2, 0.2], [0.4, 0.4, 0.6, 0.6], [0.7, 0.7, 0.9, 0.9]])
    [(queries, objects)] = match(torch.zeros(1, 2), truth[None, :2], [truth])
    assert sorted(queries.tolist()) == [0, 1]
    assert len(set(objects.tolist())) == 2


def test_total_cost_is_the_least_of_all_assignments():
    """By hand on random boxes: 2 x focal + 5 x L1 - 2 x GIoU over every permutation."""
    rng = torch.Generator().manual_seed(4)
    near = torch.rand(7, 2, generator=rng) * 0.6
    boxes = torch.cat([near, near + 0.1 + 0.3 * torch.rand(7, 2, generator=rng)], dim=1)
    logits, truth = torch.randn(4, generator=rng), boxes[4:]
    chance = logits.sigmoid()
    score = 0.25 * (1 - chance) ** 2 * -chance.log() - 0.75 * chance**2 * -(1 - chance).log()

    def cost(q: int, m: int) -> float:
        distance = (to_cxcywh(boxes[q]) - to_cxcywh(truth[m])).abs().sum()
        return float(2 * score[q] + 5 * distance - 2 * generalised_iou(boxes[q], truth[m]))

    best = min(itertools.permutations(range(4), 3), key=lambda order: sum(cost(q, m) for m, q in enumerate(order)))
    [(queries, objects)] = match(logits[None], boxes[None, :4], [truth])
    assert [q for _, q in sorted(zip(objects.tolist(), queries.tolist(), strict=True))] == list(best)


def test_box_that_is_not_a_number_is_refused():
    boxes = torch.full((1, 2, 4), float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        match(torch.zeros(1, 2), boxes, [torch.tensor([[0.1, 0.1, 0.2, 0.2]])])


def test_overlaps_by_hand():
    a, b = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 1.0, 3.0, 3.0])
    assert float(box_iou_and_union(a, b)[0]) == pytest.approx(1 / 7)
    assert float(generalised_iou(a, b)) == pytest.approx(1 / 7 - 2 / 9)
    far = torch.tensor([3.0, 0.0, 4.0, 2.0])
    assert float(generalised_iou(a, far)) == pytest.approx(-2 / 8)
