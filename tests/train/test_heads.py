"""What of a run's weights is judged and kept."""

import torch
from torch import nn

from training.heads import Average


def test_kept_weights_lie_between_the_start_and_the_average():
    weight = nn.Parameter(torch.tensor([0.0, 4.0]))
    average = Average({"w": weight}, decay=0.0, start_share=0.25)
    weight.data.copy_(torch.tensor([8.0, 4.0]))
    average.update(step=1)
    assert average.kept()["w"].tolist() == [6.0, 4.0]


def test_network_holds_the_kept_weights_inside_and_its_own_afterwards():
    weight = nn.Parameter(torch.tensor([0.1]))
    average = Average({"w": weight}, decay=0.0, start_share=1.0)
    weight.data.copy_(torch.tensor([0.7]))
    before = weight.detach().clone()
    with average.in_network():
        assert weight.item() == torch.tensor(0.1).item()
    assert torch.equal(weight.detach(), before)
