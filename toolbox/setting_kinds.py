"""What a table of settings is made of: a field's default with what is told of it, and the row that others read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Told:
    """What is known of a setting beside its type and default. `form_help` puts it on the retrain form; `no_such` words
    the refusal of what is none of the choices, where more is to be said of it."""

    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    no_such: Callable[[str, tuple[str, ...]], str] | None = None
    can_be_set: bool = False
    changes_result: bool = True
    form_help: str = ""
    heading: str = ""


@dataclass(frozen=True)
class Setting:
    """One row of the table; `kind` is bool, int, float, str or list (of words); `is_optional`: null is one."""

    name: str
    kind: type
    is_optional: bool
    default: Any
    told: Told

    def refusal(self, value: Any) -> str | None:
        """The sentence that refuses the value, if it is of this kind but outside its range or choices."""
        told, is_number = self.told, isinstance(value, int | float) and not isinstance(value, bool)
        if told.low is not None and told.high is not None and is_number and not told.low <= value <= told.high:
            return f"The config's key '{self.name}' must be between {told.low} and {told.high}, it is {value}."
        chosen = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        wrong = [one for one in chosen if told.choices and one not in told.choices]
        if wrong and told.no_such:
            return told.no_such(wrong[0], told.choices)
        return f"The config's key '{self.name}' is one of {', '.join(told.choices)}." if wrong else None


def path(default: str | None, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, changes_result=False, **more)})


def number(default: float | None, help: str, low: float, high: float, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, low, high, **more)})


def loss(default: float, help: str, **more: Any) -> Any:
    return number(default, help, 0.0, 1000.0, can_be_set=True, **more)


def choice(default: str, help: str, *choices: str, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, choices=choices, **more)})


def several(help: str, *choices: str, **more: Any) -> dict[str, Told]:
    """Any of the choices, none by default; the run's result does not follow from them."""
    return {"told": Told(help, choices=choices, changes_result=False, **more)}


def flag(default: bool, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"told": Told(help, **more)})
