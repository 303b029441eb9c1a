"""Colours of new concepts stay apart for colour-blind eyes."""

from itertools import combinations

import numpy as np
import pytest

from annotator.concepts.services import COLOURS, concept_add

# Whole loss of one kind of cone, on linear RGB: Machado, Oliveira and Fernandes, "A Physiologically-based Model for
# Simulation of Color Vision Deficiency", IEEE TVCG 15 (6), 2009, severity 1.0.
SIMULATED = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# sRGB's primaries and white point D65, IEC 61966-2-1.
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]
# In CIE L*a*b* about 2.3 is just noticed between large fields; thin outlines need several times that.
APART = 15


def linear(colour: str) -> np.ndarray:
    coded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of a linear RGB colour."""
    ratio = np.array(TO_XYZ) @ np.clip(rgb, 0, 1) / WHITE
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", SIMULATED)
def test_any_two_of_the_first_eight_stay_apart(barn, eyes):
    concepts = [concept_add(project=barn.project, name=f"thing {n}", user=barn.admin) for n in range(8)]
    seen = [lab(np.array(SIMULATED[eyes]) @ linear(concept.colour)) for concept in concepts]
    assert len(seen) == len(COLOURS)
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > APART


def test_the_measure_tells_a_known_confusion(barn):
    # A red and a green of equal weight, which deuteranopes confuse: the measure must say so.
    red, green = (lab(np.array(SIMULATED["deuteranopia"]) @ linear(one)) for one in ("#b05030", "#7a7030"))
    assert np.linalg.norm(red - green) < APART < np.linalg.norm(lab(linear("#b05030")) - lab(linear("#7a7030")))
