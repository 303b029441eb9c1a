"""Low-rank adapters on attention projections (LoRA, Hu et al. 2021), by peft: each adds alpha / rank x B A to a weight.

They begin with B at 0, so that the model begins as it was, and are merged into the weights in the end: what is saved is
a plain model folder, with the base's keys.
"""

from __future__ import annotations

import torch
from torch import nn

from mlbackend.model.network import Sam3Network
from training.config import Config
from training.errors import Refused

PROJECTIONS = r"(q_proj|k_proj|v_proj|o_proj)"
OF_THE_VIT = rf"vision_encoder\.backbone\.layers\.\d+\.attention\.{PROJECTIONS}"
OF_DETR = rf"detr_(encoder|decoder)\.layers\.\d+\.\w+\.{PROJECTIONS}"
TARGETS = {"vit": OF_THE_VIT, "vit_detr": rf"({OF_THE_VIT}|{OF_DETR})"}
ADAPTER, ADAPTED = ".lora_", ".base_layer."


def add_adapters(network: Sam3Network, config: Config) -> None:
    """In place; drawn from the run's seed alone. Refused where peft is not there."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise Refused(
            "absent_package",
            "vit=lora needs the package peft: pip install -r requirements-extras.txt -c constraints.txt, or set vit to "
            "full or frozen.",
        ) from None
    wanted = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # it is divided by the rank: a fraction is as good
        target_modules=TARGETS[config.lora_targets],
        lora_dropout=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        inject_adapter_in_model(wanted, network.detector)


def adapters(network: Sam3Network) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in network.detector.named_parameters() if ADAPTER in name}


@torch.no_grad()
def merge_adapters(network: Sam3Network) -> None:
    """Each projection is a plain one again, with what its adapter added in its weight."""
    from peft.tuners.lora import LoraLayer

    adapted = [(name, module) for name, module in network.detector.named_modules() if isinstance(module, LoraLayer)]
    for name, module in adapted:
        module.merge()  # type: ignore[attr-defined]
        parent, _, own = name.rpartition(".")
        setattr(network.detector.get_submodule(parent), own, module.get_base_layer())
