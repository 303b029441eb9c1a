"""The list of a trainer's settings that people read: python -m toolbox.training_yaml > training/conf/train.yaml"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

from toolbox.gate_policy import Policy
from toolbox.training_settings import TABLES, Groups, TrainerConfig, default_of


def as_yaml() -> str:
    return "\n".join(_yaml_lines()) + "\n"


def _yaml_lines() -> Iterator[str]:
    yield "# Defaults of `python -m training`. A run's own file (--config) and key=value arguments override them; a key"
    yield "# that is not here is an error. Written by `python -m toolbox.training_yaml`: change training_settings.py."
    for one in fields(TrainerConfig):
        told = one.metadata["told"]
        if told.heading:
            yield f"\n# {told.heading}"
        if one.name in TABLES:
            own: Any = {"groups": Groups(), "policy": Policy()}[one.name]
            yield f"{f'{one.name}:':<24} # {told.help}".removesuffix(" # ").rstrip()
            yield from (f"  {name}: {_yaml(value)}" for name, value in asdict(own).items())
        else:
            yield f"{f'{one.name}: {_yaml(default_of(one))}':<24} # {told.help}".removesuffix(" # ").rstrip()


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    assert not isinstance(value, float) or math.isfinite(value)
    return str(value)


if __name__ == "__main__":
    print(as_yaml(), end="")
