"""Changing how a concept is drawn and which names imports map onto it."""

from collections.abc import Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from annotator.errors import RoostError
from annotator.models import Concept

from .audit import audit_record


@transaction.atomic
def concept_update(*, concept: Concept, user: AbstractBaseUser, colour: str, synonyms: Sequence[str]) -> Concept:
    """The name and the category id stay: exports and models know the concept by them."""
    concept.colour = colour.lower()
    concept.synonyms = list(dict.fromkeys(" ".join(name.split()).lower() for name in synonyms if name.strip()))
    try:
        concept.full_clean()
    except ValidationError as error:
        raise RoostError("The concept can't be changed like that.", fields=error.message_dict) from error
    concept.save(update_fields=["colour", "synonyms"])
    details = {"colour": concept.colour, "synonyms": concept.synonyms}
    audit_record(project=concept.project, actor=user, action="concept.update", subject=concept.name, **details)
    return concept
