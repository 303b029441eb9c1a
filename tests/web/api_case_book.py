"""The book that the cases of the API's operations are written into, and what several of them need."""

from collections.abc import Callable, Iterator
from typing import Any

from tests import factories
from tests.web.api_farm import BARN, V1, Farm, post

Case = Callable[[Farm], Iterator[Any]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    method, path = name.split()
    return lambda calls: CASES.setdefault(f"{method} {V1}{path}", calls)


def admin_call(farm, verb: str, prepare: Callable[[Farm], object] = lambda farm: None, **body):
    prepare(farm)
    yield post(farm.admin, f"{BARN}/{verb}", body)
    yield post(farm.annotator, f"{BARN}/{verb}", body)


def settled(farm) -> None:
    for truth in ("present", "absent"):
        factories.make_pair(farm.project, truth=truth)
