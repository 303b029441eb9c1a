"""What of a run's weights is judged and kept."""

import pytest
import torch
from torch import nn

from training.config import read_config
from training.heads import Average, set_rate


def test_kept_weights_lie_between_the_start_and_the_average():
    weight = nn.Parameter(torch.tensor([0.0, 4.0]))
    average = Average({"w": weight}, decay=0.0)
    weight.data.copy_(torch.tensor([8.0, 4.0]))
    average.update(step=1)
    assert average.kept(0.25)["w"].tolist() == [6.0, 4.0]


def test_network_holds_the_kept_weights_inside_and_its_own_afterwards():
    weight = nn.Parameter(torch.tensor([0.1]))
    average = Average({"w": weight}, decay=0.0)
    weight.data.copy_(torch.tensor([0.7]))
    before = weight.detach().clone()
    with average.in_network(1.0):
        assert weight.item() == torch.tensor(0.1).item()
    assert torch.equal(weight.detach(), before)


def test_run_that_has_not_moved_keeps_the_start_to_the_bit() -> None:
    bias = nn.Parameter(torch.tensor([0.1]))
    average = Average({"bias": bias}, decay=0.9)
    average.update(step=1)
    assert torch.equal(average.kept(0.3)["bias"], bias)


def test_rate_rises_then_falls_and_the_text_tower_learns_more_slowly() -> None:
    given = ["snapshot=s", "images=i", "base_model=b", "learning_rate=0.01", "warmup=0.2", "final_rate=0.1"]
    config = read_config("train", None, given)
    fast, slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = [{"params": [fast], "rate_share": 1.0}, {"params": [slow], "rate_share": 0.3}]
    optimiser = torch.optim.AdamW(groups, lr=0.01)
    shares = [set_rate(optimiser, config, progress) for progress in (0.1, 0.2, 0.6, 1.0)]
    assert shares == pytest.approx([0.5, 1.0, 0.55, 0.1])
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.001, 0.0003])
