"""What a Label Studio project can be told: which of its labels is which concept, and what of an image is said in it.

A label that nobody judged in an image is among the choices `incomplete` there: a reader that takes what is left out for
absent must not take that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotator.common.errors import RoostError
from annotator.concepts.selectors import plain_name
from annotator.data.export_rows import Settled
from annotator.data.formats.records import Instance
from annotator.data.writers.label_studio import ABSENT, INCOMPLETE, label_config, results
from annotator.models import Concept

from .writing import Interface

NO_BRUSH = "no BrushLabels with {}"
NO_CHOICES = "no Choices called «{}» with {}"
MISMATCH = (
    "The labelling interface of Label Studio's project {}, «{}», can't be told what is settled here: it has {}. Add "
    "that in its settings, or send to a new project, which gets an interface to match."
)


@dataclass(frozen=True)
class Target:
    """`labels`: what each concept is called there, the first of them on its masks; `all_labels`: those of no concept,
    too."""

    image_key: str
    brush: str
    image: str
    labels: Mapping[str, tuple[str, ...]]
    all_labels: frozenset[str]

    def result(self, found: Settled) -> list[dict[str, Any]]:
        """What an annotation of this image says."""
        record = found.record
        judged = {label for name in found.settled for label in self.labels[name]}
        partly = {label for name in record.incomplete for label in self.labels[name]}
        said = replace(
            record,
            instances=[Instance(self.labels[one.category][0], one.mask) for one in record.instances],
            absent=[label for name in record.absent for label in self.labels[name]],
            incomplete=partly | (self.all_labels - judged),
        )
        return results(said, brush=self.brush, image=self.image)

    def unlooked(self, found: Settled) -> str:
        return ", ".join(sorted(self.labels[name][0] for name in set(self.labels) - found.settled))


def target_of(*, interface: Interface, names: Sequence[str], known: Mapping[str, Concept]) -> Target | RoostError:
    """The error names all that the interface lacks. `known`: concepts by their plain names and synonyms."""
    project = interface.project
    labels = {name: _called(name, project.labels, known) for name in names}
    first = [called[0] if called else name for name, called in labels.items()]
    brush = next((one for one in _of_kind(interface, "brushlabels") if _has(interface, one, first)), None)
    lacks = [] if brush else [NO_BRUSH.format(_listed(_missing(interface, first)))]
    every = sorted({*project.labels, *first})
    for control, wanted in (
        (ABSENT, [label for name in names for label in labels[name] or (name,)]),
        (INCOMPLETE, every),
    ):
        if control not in _of_kind(interface, "choices") or not _has(interface, control, wanted):
            lacks.append(NO_CHOICES.format(control, _listed(wanted)))
    if lacks or brush is None:
        words = MISMATCH.format(project.number, project.title, ", and ".join(lacks))
        return RoostError(words, code="label_studio_mismatch", fields={"number": ["Its labelling interface differs."]})
    image = str((interface.controls[brush].get("to_name") or [""])[0])
    return Target(project.image_key, brush, image, labels, frozenset(project.labels))


def config_extended(*, interface: Interface, names: Sequence[str], known: Mapping[str, Concept]) -> str:
    """Roost's own interface with the labels that it lacks."""
    labels = interface.project.labels
    return label_config([*labels, *(name for name in names if not _called(name, labels, known))])


def _called(name: str, labels: Sequence[str], known: Mapping[str, Concept]) -> tuple[str, ...]:
    """The labels that are this concept: by its very name first, then by name or synonym as an import would match."""
    concept = known.get(plain_name(name))
    same = [one for one in labels if plain_name(one) == plain_name(name)]
    same += [one for one in labels if one not in same and concept and known.get(plain_name(one)) == concept]
    return tuple(sorted(same, key=lambda one: one != name))


def _of_kind(interface: Interface, kind: str) -> list[str]:
    return [name for name, one in interface.controls.items() if str(one.get("type")).lower() == kind]


def _has(interface: Interface, control: str, wanted: Sequence[str]) -> bool:
    return set(wanted) <= set(interface.controls[control].get("labels") or ())


def _missing(interface: Interface, wanted: Sequence[str]) -> list[str]:
    found = [set(interface.controls[one].get("labels") or ()) for one in _of_kind(interface, "brushlabels")]
    best = max(found, key=lambda one: len(one & set(wanted)), default=set())
    return [one for one in wanted if one not in best]


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(f"«{one}»" for one in words[:10])
    return f"{shown} and {len(words) - 10} more" if len(words) > 10 else shown
