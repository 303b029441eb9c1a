"""The temperature of a version's presence score: how sure it may sound, fitted on `val` after training.

The trainer writes it into manifest.json (training/temperature.py, docs/contracts.md); a version without it has 1.
Instance scores never see it: CGF1 and what is listed at 0.5 stay as the weights have them (docs/decisions/0025).
"""

from __future__ import annotations

import math
from typing import Any

from mlbackend.model.checkpoint import WeightsError

PRESENCE_CALIBRATION = "presence_calibration"
UNCHANGED = 1.0


def temperature_of(manifest: dict[str, Any]) -> float:
    """What presence logits are divided by; WeightsError where the manifest holds something else than that."""
    told = manifest.get(PRESENCE_CALIBRATION)
    if told is None:
        return UNCHANGED
    temperature = told.get("temperature") if isinstance(told, dict) else None
    is_number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    value = float(temperature) if is_number and temperature is not None else math.nan
    if not math.isfinite(value) or value <= 0:
        words = f"{PRESENCE_CALIBRATION} in manifest.json must hold a temperature above 0: copy the version again"
        raise WeightsError(words)
    return value
