"""A snapshot's hash is over content alone: what was settled, not where, in which order or in which database."""

import hashlib
import json
from pathlib import Path

import pytest

from annotator.data.snapshot_documents import documents_write, settled_pair
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshot_reading import lines_of
from annotator.data.snapshots import snapshot_create
from annotator.models import Image, Pair, Project, Snapshot
from mlbackend.model.prompts import Point
from tests import factories
from training.dataset import Snapshot as TrainerSnapshot
from training.prompts import Box

# Two masks of 16 x 16 pixels, and what is asked of the pictures a, b and c.
LEFT, RIGHT = factories.box_rle(0, 0, 4, 4), factories.box_rle(8, 8, 12, 12)
WORLD: dict[tuple[str, str], list] = {
    ("a", "chicken"): [LEFT, RIGHT],
    ("a", "Hahn"): [],
    ("b", "chicken"): [],
    ("c", "äpfel"): [RIGHT],
}
SPLITS = {"a": "train", "b": "val", "c": "holdout"}


def settle(
    project: Project, world: dict, *, splits: dict = SPLITS, concepts: list[str] | None = None, **fields
) -> None:
    """The pictures and pairs of `world` in its order; fields of the pairs."""
    named = {name: factories.make_concept(project, name) for name in concepts or ["chicken", "Hahn", "äpfel"]}
    images: dict[str, Image] = {}
    for (picture, phrase), masks in world.items():
        if picture not in images:
            images[picture] = image(project, picture, splits[picture])
        instances = [factories.make_instance(mask) for mask in masks]
        truth = "present" if instances else "absent"
        factories.make_pair(project, named[phrase], images[picture], truth=truth, instances=instances, **fields)


def image(project: Project, picture: str, split: str) -> Image:
    return Image.objects.create(
        project=project,
        sha256=hashlib.sha256(picture.encode()).hexdigest(),
        width=16,
        height=16,
        media_type="image/png",
        bytes=1,
        original_name=f"{picture} of {project.name}.png",
        source=project.name,
        split=split,
    )


def taken(world: dict, **more) -> Snapshot:
    project = factories.make_project()
    settle(project, world, **more)
    return snapshot_create(project=project, user=None)


def test_same_pictures_and_labels_in_two_projects_have_one_hash(db):
    first = taken(WORLD)
    backwards = {key: masks[::-1] for key, masks in reversed(WORLD.items())}
    other = taken(backwards, concepts=["äpfel", "chicken", "Hahn"], round=3, truth_source="imported")
    assert first.content_hash == other.content_hash
    assert first.counts == other.counts


@pytest.mark.parametrize(
    "other",
    [
        {"world": WORLD | {("a", "chicken"): [LEFT, factories.box_rle(8, 8, 12, 13)]}},
        {"world": WORLD | {("a", "chicken"): [LEFT]}},
        {"world": WORLD | {("a", "chicken"): []}},
        {"world": WORLD | {("b", "Hahn"): []}},
        {"world": {key: masks for key, masks in WORLD.items() if key != ("a", "Hahn")}},
        {"world": WORLD, "splits": SPLITS | {"b": "test"}},
        {"world": WORLD, "is_exhaustive": False},
    ],
    ids=["mask", "instance", "verdict", "more", "less", "split", "exhaustive"],
)
def test_other_content_has_another_hash(db, other):
    assert taken(WORLD).content_hash != taken(**other).content_hash


def test_another_phrase_has_another_hash(db):
    renamed = {("a", "hen") if key == ("a", "chicken") else key: masks for key, masks in WORLD.items()}
    assert taken(WORLD).content_hash != taken(renamed, concepts=["chicken", "Hahn", "äpfel", "hen"]).content_hash


def test_hash_is_what_sha256sum_says_of_the_list_of_pairs(db):
    snapshot = taken(WORLD)
    assert hashlib.sha256((snapshot_folder(snapshot) / "pairs.jsonl").read_bytes()).hexdigest() == snapshot.content_hash


def test_no_row_id_and_no_name_of_the_database_is_in_the_list(db):
    text = (snapshot_folder(snapshot := taken(WORLD)) / "pairs.jsonl").read_text()
    assert {key for line in text.splitlines() for key in json.loads(line)} == {
        *("file_name", "text_input", "split", "width", "height", "verdict", "is_exhaustive", "instances", "masks")
    }
    assert snapshot.project.name not in text


def test_ids_count_on_over_all_splits_in_the_order_of_image_and_phrase(db):
    snapshot = taken(WORLD)
    rows = [row for split in SPLITS.values() for row in read(snapshot, split)["images"]]
    assert sorted(row["id"] for row in rows) == [1, 2, 3, 4]
    by_id = sorted(rows, key=lambda row: row["id"])
    assert by_id == sorted(rows, key=lambda row: (row["file_name"], row["text_input"]))


def test_pair_that_is_not_exhaustive_is_written_and_counted_so(db):
    snapshot = taken({("a", "chicken"): [LEFT]}, is_exhaustive=False)
    row = read(snapshot, "train")["images"][0]
    assert (row["is_instance_exhaustive"], row["is_pixel_exhaustive"]) == (0, 0)
    assert snapshot.counts["train"]["not_exhaustive"] == 1


def coarse(barn, *others) -> None:
    instances = [factories.make_instance(LEFT, coarse=True), *map(factories.make_instance, others)]
    factories.make_pair(barn.project, truth="present", instances=instances)


def test_coarse_instance_stays_out_and_the_rest_is_not_exhaustive(barn):
    coarse(barn, RIGHT)
    document = read(snapshot_create(project=barn.project, user=None), "train")
    assert [row["segmentation"]["counts"] for row in document["annotations"]] == [RIGHT["counts"]]
    assert document["images"][0]["is_instance_exhaustive"] == 0


def test_pair_with_coarse_instances_alone_never_becomes_a_negative(barn):
    coarse(barn)
    factories.make_pair(barn.project, truth="absent")
    snapshot = snapshot_create(project=barn.project, user=None)
    assert snapshot.counts["train"] | {"without_masks": 1} == snapshot.counts["train"]
    assert (snapshot.counts["train"]["pairs"], snapshot.counts["train"]["negatives"]) == (1, 1)
    assert len(read(snapshot, "train")["images"]) == 1


def test_older_snapshot_is_read_from_where_it_lies_and_compared_like_new_ones(db, settings):
    snapshot = taken(WORLD)
    folder = snapshot_folder(snapshot)
    lines = list(lines_of(folder))
    older = settings.SNAPSHOTS_DIR / snapshot.content_hash
    folder.rename(older)
    (older / "pairs.jsonl").unlink()
    assert snapshot_folder(snapshot) == older
    assert list(lines_of(older)) == lines


def test_trainer_reads_ids_rounds_and_sources(db):
    snapshot = taken(WORLD, round=2)
    pairs = TrainerSnapshot(snapshot_folder(snapshot)).split("train").pairs
    assert {(pair.phrase, pair.round, pair.source) for pair in pairs} == {
        ("chicken", 2, snapshot.project.name),
        ("Hahn", 2, snapshot.project.name),
    }


def pair_with(prompts: dict[int, list[dict]], **fields) -> Snapshot:
    """A picture with two chickens; prompts by place of the instance as it was drawn."""
    project = factories.make_project()
    masks = [RIGHT, LEFT]  # against the order in which a snapshot has them
    drawn = [factories.make_instance(mask, prompts=prompts.get(n, []), **fields) for n, mask in enumerate(masks)]
    concept = factories.make_concept(project, "chicken")
    factories.make_pair(project, concept, image(project, "a", "train"), truth="present", instances=drawn)
    return snapshot_create(project=project, user=None)


CLICKS = [{"x": 9.5, "y": 10.5, "label": 1}, {"x": 12.0, "y": 13.0, "label": 0}]


def test_each_mask_carries_the_prompts_that_it_was_drawn_from(db):
    rows = read(pair_with({0: CLICKS}), "train")["annotations"]
    assert [row["segmentation"] for row in rows] == [LEFT, RIGHT]
    assert "prompts" not in rows[0]
    assert rows[1]["prompts"] == CLICKS


def test_prompts_change_neither_the_hash_nor_the_list_of_pairs(db):
    with_them, without = pair_with({0: CLICKS}), pair_with({})
    assert with_them.content_hash == without.content_hash
    assert list(lines_of(snapshot_folder(with_them))) == list(lines_of(snapshot_folder(without)))


def test_boxes_that_an_exemplar_was_found_by_are_no_prompts_of_it(db):
    shown = pair_with({0: [{"box": [0.0, 0.0, 4.0, 4.0]}]}, origin="exemplar")
    assert all("prompts" not in row for row in read(shown, "train")["annotations"])


def test_each_mask_says_how_it_came_about(db):
    rows = read(pair_with({}, origin="proposal", edited=True), "train")["annotations"]
    assert [(row["origin"], row["edited"]) for row in rows] == [("proposal", True)] * 2
    unknown = pair_with({}, origin=None)
    assert all("origin" not in row for row in read(unknown, "train")["annotations"])


def test_how_masks_came_about_does_not_change_the_hash(db):
    assert pair_with({}, origin="drawn").content_hash == pair_with({}, origin="proposal").content_hash


def test_trainer_reads_the_prompts_of_each_mask(db):
    prompts = [{"box": [7.0, 7.0, 13.0, 13.0]}, *CLICKS]
    pair = TrainerSnapshot(snapshot_folder(pair_with({0: prompts}))).split("train").pairs[0]
    asked = {instance.rle["counts"]: instance.prompts for instance in pair.instances}
    assert asked[LEFT["counts"]] == ()
    assert asked[RIGHT["counts"]] == (Box((7.0, 7.0, 13.0, 13.0)), Point(9.5, 10.5, 1), Point(12.0, 13.0, 0))


def test_documents_hold_few_pairs_at_once(tmp_path: Path):
    """3,000 instances pass through in less memory than they would take: they are written as they come."""
    import tracemalloc

    def row(number: int) -> dict:
        masks = [{"mask": LEFT, "prompts": []}] * 5
        return {
            "image__sha256": f"{number:064x}",
            "image__width": 16,
            "image__height": 16,
            "image__split": "train",
            "image__source": "",
            "image__scene": "",
            "concept__name": "chicken",
            "concept__category_id": 1,
            "truth": Pair.Truth.PRESENT,
            "truth_source": "annotated",
            "instances": masks,
            "is_exhaustive": True,
            "round": 1,
        }

    tracemalloc.start()
    written = documents_write(folder=tmp_path, pairs=(settled_pair(row(number)) for number in range(600)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written.counts["train"]["instances"] == 3_000
    assert peak < 600_000


def read(snapshot: Snapshot, split: str) -> dict:
    return json.loads((snapshot_folder(snapshot) / f"{split}.json").read_text())
