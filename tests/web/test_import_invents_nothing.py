"""Random exports of a known world make no negative of a picture that holds the thing, and call no part the whole."""

import random

import pytest

from annotator.data.formats.documents import Listed
from annotator.data.formats.records import ImageRecord, Instance
from annotator.data.verdicts import Classes, Mention, Vouch, verdicts_of

SIDE = 12
IS_A = {"hen": "chicken", "rooster": "chicken", "duck": "duck", "goose": "goose", "egg": "egg"}
WORLDS = 4_000


def _mask(number: int) -> dict:
    """Object `number` of a picture: one pixel, as COCO's compressed runs of less than 32 pixels a run."""
    runs = [number, 1, SIDE - number - 1]
    return {"size": [SIDE, 1], "counts": "".join(chr(48 + run) for run in runs)}


def _document(world: dict[str, list], chance: random.Random, whole: bool) -> tuple[list[str], dict[str, ImageRecord]]:
    """Some pictures and classes, told truly; `whole`: with every object of those classes, else with some."""
    judged = [name for name in IS_A if chance.random() < 0.6]
    records = {}
    for picture in [picture for picture in world if chance.random() < 0.7]:
        record = ImageRecord(picture, 1, SIDE)
        objects = [(name, number) for number, name in enumerate(world[picture]) if name in judged]
        told = [one for one in objects if whole or chance.random() < 0.7]
        record.unsure = {name for name, _ in objects if chance.random() < 0.1}
        read = [(name, number) for name, number in told if name not in record.unsure or chance.random() < 0.5]
        record.instances = [Instance(name, _mask(number)) for name, number in read]
        if not whole:
            record.incomplete = {name for name, _ in objects if chance.random() < 0.2}
        record.absent = [name for name in judged if name not in world[picture] and chance.random() < 0.5]
        records[picture] = record
    return judged, records


def _classes(documents: list, chance: random.Random) -> Classes[str]:
    """Any class may be forgotten; what is left out is truly none of the concepts that are asked for."""
    known = sorted({name for judged, _ in documents for name in judged})
    mapped = {name: IS_A[name] for name in known if chance.random() < 0.6}
    others = [name for name in known if name not in mapped]
    left_out = {name for name in others if IS_A[name] not in mapped.values() and chance.random() < 0.5}
    return Classes(mapped, left_out, [name for name in others if name not in left_out])


def _said_by_person(world: dict[str, list], classes: Classes[str], chance: random.Random) -> list[tuple[str, str, str]]:
    """(picture, class, concept): somebody says truly of some pictures that they show none of a concept.

    Their word goes by any class that is mapped to that concept.
    """
    names = {concept: name for name, concept in classes.by_category.items()}
    told = [(picture, concept) for picture in world for concept in names if chance.random() < 0.3]
    return [
        (picture, names[concept], concept)
        for picture, concept in told
        if not any(IS_A[name] == concept for name in world[picture])
    ]


def _mention_of(picture: str, category: str) -> Mention:
    record = ImageRecord(picture, 1, SIDE, absent=[category], none_of={category})
    return Mention(Listed(picture, picture, covered=False), record, frozenset([category]))


@pytest.mark.parametrize("seed", range(4))
def test_no_negative_is_invented_and_no_part_is_called_the_whole(seed):
    chance = random.Random(seed)
    absent = whole = by_word = 0
    for _ in range(WORLDS // 4):
        world = {f"{n}.jpg": chance.choices(list(IS_A), k=chance.randrange(4)) for n in range(3)}
        vouch = chance.choice([Vouch(), Vouch(complete=True), Vouch(complete=True, exhaustive=True)])
        documents = [_document(world, chance, whole=vouch.complete) for _ in range(chance.randrange(1, 4))]
        classes = _classes(documents, chance)
        # What no document ever names is no part of the world that they tell of.
        told = {name for judged, _ in documents for name in judged}
        said = _said_by_person(world, classes, chance)
        for picture, objects in world.items():
            mentions = [
                Mention(Listed(picture, picture), records[picture], frozenset(judged))
                for judged, records in documents
                if picture in records
            ]
            vouched = {concept for of, _, concept in said if of == picture}
            mentions += [_mention_of(picture, name) for of, name, _ in said if of == picture]
            chance.shuffle(mentions)
            for concept, verdict in verdicts_of(mentions, classes, vouch).items():
                names = {name for name, one in classes.by_category.items() if one == concept}
                negatives = {name for mention in mentions for name in mention.record.absent}
                named = {one.category for mention in mentions for one in mention.record.instances}
                # A negative that a document names holds for the classes that are mapped, and for what is outlined.
                known = names | named if names <= negatives else told
                # A person's word is about the thing itself, whatever documents call it.
                known = set(IS_A) if concept in vouched else known
                there = [number for number, name in enumerate(objects) if IS_A[name] == concept and name in known]
                if verdict.truth == "absent":
                    absent += 1
                    by_word += concept in vouched
                    assert not there, (objects, documents, classes, vouch)
                if verdict.truth == "present" and verdict.is_exhaustive:
                    whole += 1
                    assert len(verdict.instances) == len(there), (objects, documents, classes, vouch)
    assert absent > 100  # the rule is not kept by saying nothing
    assert whole > 100
    assert by_word > 100


@pytest.mark.parametrize("seed", range(4))
def test_person_s_word_that_something_contradicts_makes_no_negative_and_is_told(seed):
    """Said of pictures that do show the thing: a slip of whoever sorted the folders."""
    chance = random.Random(100 + seed)
    disputed = withheld = 0
    for _ in range(WORLDS // 4):
        world = {f"{n}.jpg": chance.choices(list(IS_A), k=chance.randrange(4)) for n in range(3)}
        vouch = chance.choice([Vouch(), Vouch(complete=True), Vouch(complete=True, exhaustive=True)])
        documents = [_document(world, chance, whole=vouch.complete) for _ in range(chance.randrange(1, 4))]
        classes = _classes(documents, chance)
        names = {concept: name for name, concept in classes.by_category.items()}
        for picture in world:
            records = [records[picture] for _, records in documents if picture in records]
            mentions = [Mention(Listed(picture, picture), one, frozenset(IS_A)) for one in records]
            mentions += [_mention_of(picture, name) for name in names.values()]
            chance.shuffle(mentions)
            seen = {
                name for one in records for name in {*one.unsure, *one.incomplete, *(i.category for i in one.instances)}
            }
            for concept, verdict in verdicts_of(mentions, classes, vouch).items():
                against = {name for name in seen if classes.by_category.get(name) == concept}
                undecided = {name for name in seen if classes.is_undecided(name)}
                if against:
                    disputed += 1
                    assert (verdict.truth != "absent", verdict.disputed) == (True, True)
                    assert not (verdict.truth == "present" and verdict.is_exhaustive)
                elif undecided:
                    withheld += 1
                    assert verdict.truth == "unseen"
                else:
                    assert (verdict.truth, verdict.disputed) == ("absent", False)
    assert disputed > 100
    assert withheld > 100
