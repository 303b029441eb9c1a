"""Which pairs look alike, by the direction of their images' features about the middle. Pure functions on arrays."""

import numpy as np

# Cosine of two images' features about their middle; from here on the second teaches little.
SIMILAR = 0.9
# The middle is found among so many images, as the mean of so many that lie far apart.
COMPARED, LANDMARKS = 5000, 8


def directions(features: np.ndarray) -> np.ndarray:
    """Rows as unit vectors about their middle: what all images share says nothing about which are alike."""
    middle = _middle(features[:: -(-len(features) // COMPARED)].astype(np.float32))
    found = features.astype(np.float32)
    found -= middle
    lengths = np.sqrt(np.einsum("nd,nd->n", found, found))[:, None]
    return np.divide(found, lengths, out=found, where=lengths > 0)


def _middle(features: np.ndarray) -> np.ndarray:
    """The mean of a few that lie far apart (each the farthest from those before it).

    The mean of all would lie among the frames of a camera that hardly moves, where any noise is a direction.
    """
    apart = [int(np.square(features - features.mean(axis=0)).sum(axis=1).argmin())]
    distances = np.full(len(features), np.inf)
    while len(apart) < min(LANDMARKS, len(features)):
        distances = np.minimum(distances, np.square(features - features[apart[-1]]).sum(axis=1))
        apart.append(int(distances.argmax()))
    return features[apart].mean(axis=0)
