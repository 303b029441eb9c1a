"""What is known of a pair, as a chip beside its image."""

from functools import lru_cache

from django import template
from django.template.loader import render_to_string

from annotator.models import Pair

register = template.Library()


@register.simple_tag
def mark(pair: Pair) -> str:
    """`pair.truth` is what the person who looks may know."""
    return _rendered(pair.concept.name, pair.concept.colour, pair.truth, pair.is_exhaustive)


@lru_cache(maxsize=4096)
def _rendered(name: str, colour: str, truth: str, is_exhaustive: bool) -> str:
    """A page of images shows hundreds of them and few kinds; each kind is rendered once."""
    present = truth == Pair.Truth.PRESENT
    said = {"truth": truth, "truth_words": Pair.Truth(truth).label, "is_partial": present and not is_exhaustive}
    return render_to_string("data/image_mark.html", {"concept": {"name": name, "colour": colour}, **said})
