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
