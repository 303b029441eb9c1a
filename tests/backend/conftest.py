"""Fixtures of the ML backend's tests: one server process and one loaded network for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.predictor import Predictor
from tests.backend.support import Client, served, small_network, store_picture, write_version

torch.set_num_threads(1)


@dataclass(frozen=True)
class Served:
    """A server with two versions, `tiny` (its default, taught "chicken") and `other`, and three pictures."""

    client: Client
    var: Path
    pictures: tuple[str, ...]


@pytest.fixture(scope="session")
def backend_var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    var = tmp_path_factory.mktemp("backend")
    write_version(var / "models", "tiny", small_network(1), taught_words=["Chicken"])
    write_version(var / "models", "other", small_network(2))
    return var


@pytest.fixture(scope="session")
def server(backend_var: Path) -> Iterator[Served]:
    pictures = (
        store_picture(backend_var, 1),
        store_picture(backend_var, 2, width=97, height=211),
        store_picture(backend_var, 3),
    )
    with served(backend_var, ROOST_DEFAULT_MODEL="tiny") as client:
        yield Served(client, backend_var, pictures)


@pytest.fixture(scope="session")
def tiny(backend_var: Path) -> Predictor:
    return load_predictor(backend_var / "models" / "tiny", LoadOptions(device="cpu"))
