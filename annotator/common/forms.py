"""What the forms of every feature stand on."""

from typing import Any

from django import forms


class PlainForm(forms.Form):
    """No colons after labels."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, label_suffix="", **more)


def names_in(text: str) -> list[str]:
    """«chicken, duck» -> ["chicken", "duck"]; commas or lines between, each name once."""
    names = [" ".join(part.split()) for part in text.replace("\n", ",").split(",")]
    return list(dict.fromkeys(name for name in names if name))


def fraction_in(text: str | None) -> float | None:
    """0..1, or None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
