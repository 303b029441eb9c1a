"""What of a run's weights is judged and kept."""

import pytest
import torch
from torch import nn

from training.config import read_config
from training.heads import PRESENCE_BIAS, Average, set_rate


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


def test_caution_lowers_presence_of_a_run_that_moved() -> None:
    weight, bias = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([0.5]))
    average = Average({"w": weight, PRESENCE_BIAS: bias}, decay=0.0, start_share=0.0, caution=0.2)
    weight.data.fill_(3.0)
    average.update(step=1)
    assert average.kept()[PRESENCE_BIAS].item() == pytest.approx(0.3)


def test_run_that_has_not_moved_keeps_the_start_to_the_bit() -> None:
    bias = nn.Parameter(torch.tensor([0.5]))
    average = Average({PRESENCE_BIAS: bias}, decay=0.9, start_share=0.5, caution=0.2)
    assert torch.equal(average.kept()[PRESENCE_BIAS], bias)


def test_caution_of_one_round_is_not_added_to_that_of_the_round_before() -> None:
    bias = nn.Parameter(torch.tensor([0.3]))  # 0.5 before a round took 0.2 off
    weight = nn.Parameter(torch.tensor([1.0]))
    parameters = {"w": weight, PRESENCE_BIAS: bias}
    average = Average(parameters, decay=0.0, start_share=0.5, caution=0.2, earlier_caution=0.2)
    average.begin()
    assert average.kept()[PRESENCE_BIAS].item() == torch.tensor(0.3).item()
    weight.data.fill_(3.0)
    average.update(step=1)
    assert average.kept()[PRESENCE_BIAS].item() == pytest.approx(0.3)


class Detector(nn.Module):
    """As much of a network as has a presence bias and something beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.detr_decoder = nn.ModuleDict({"presence_head": nn.ModuleDict({"layer3": nn.Linear(3, 1)})})
        self.other = nn.Linear(2, 2)


def test_average_leaves_the_network_as_it_is_until_training_begins() -> None:
    network = Detector()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    average = Average(dict(network.named_parameters()), 0.98, 0.5, caution=0.2, earlier_caution=0.2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    average.begin()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {PRESENCE_BIAS}
    assert network.state_dict()[PRESENCE_BIAS].item() == pytest.approx(before[PRESENCE_BIAS].item() + 0.2)


def test_rate_rises_then_falls_and_the_text_tower_learns_more_slowly() -> None:
    given = ["snapshot=s", "images=i", "base_model=b", "learning_rate=0.01", "warmup=0.2", "final_rate=0.1"]
    config = read_config("train", None, given)
    fast, slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = [{"params": [fast], "rate_share": 1.0}, {"params": [slow], "rate_share": 0.3}]
    optimiser = torch.optim.AdamW(groups, lr=0.01)
    shares = [set_rate(optimiser, config, progress) for progress in (0.1, 0.2, 0.6, 1.0)]
    assert shares == pytest.approx([0.5, 1.0, 0.55, 0.1])
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.001, 0.0003])
