"""Images that show the same scene: found by look and by time, and kept in one split."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotator.data.image_store import NewImage, StoredFile, image_rows_add
from annotator.data.imports import import_start
from annotator.data.looks import NEAR_BITS, NearLooks, alike_sets
from annotator.data.split_plan import SplitPlan
from annotator.jobs.runner import job_run
from annotator.models import Image
from toolbox.look import FLAT, look_of

PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "shared" / "data" / "fuse_neutrals" / "train"
QUALITIES = (95, 80, 60, 40, 20)


def scene(seed: int, size: int = 64) -> PillowImage.Image:
    """Large blotches, so that JPEG keeps what tells one from another."""
    rng = np.random.default_rng(seed)
    blotches = PillowImage.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return blotches.resize((size, size), PillowImage.Resampling.BICUBIC)


def jpeg(picture: PillowImage.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def bring_in(barn, folder: Path, files: dict[str, bytes], **wishes):
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    job = import_start(project=barn.project, user=barn.admin, upload_path=folder, **wishes)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


def add(barn, number: int, look: str = "", *, plan: SplitPlan | None = None, at=None, **fields) -> Image:
    """A row for a file that is none: scenes are found by the rows."""
    sha256 = f"{number:064x}"
    stored = StoredFile(sha256, 1, 8, 8, "image/png", True, look, at)
    new = NewImage(stored=stored, name=f"{number}.png", **fields)
    return image_rows_add(project=barn.project, images=[new], plan=plan)[sha256][0]


def splits_of_scenes(project) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for scene_name, split in project.images.values_list("scene", "split"):
        found.setdefault(scene_name, set()).add(split)
    return found


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the photographs of ../shared are not here")
def test_photographs_at_five_qualities_lie_scene_by_scene_in_one_split(barn, tmp_path):
    files = {}
    for path in sorted(PHOTOGRAPHS.glob("*.jpg")):
        with PillowImage.open(path) as picture:
            files |= {f"{path.name[:9]} {quality}.jpg": jpeg(picture, quality) for quality in QUALITIES}
    bring_in(barn, tmp_path / "in", files, holdout_share=0.2)
    assert (len(files), barn.project.images.count()) == (120, 120)
    names: dict[str, set[str]] = {}
    for name, scene_name in barn.project.images.values_list("original_name", "scene"):
        names.setdefault(scene_name, set()).add(name[:9])
    assert len(names) == 24, "each photograph is one scene"
    assert all(len(photographs) == 1 for photographs in names.values())
    found = splits_of_scenes(barn.project)
    assert all(len(splits) == 1 for splits in found.values())
    assert {"train", "holdout"} <= set.union(*found.values())


def test_scene_grows_over_imports_and_keeps_its_split(barn, tmp_path):
    bring_in(barn, tmp_path / "one", {"a.jpg": jpeg(scene(1), 95)}, split="holdout")
    for quality in (70, 50, 30):
        bring_in(barn, tmp_path / str(quality), {"b.jpg": jpeg(scene(1), quality)})
    bring_in(barn, tmp_path / "scaled", {"c.jpg": jpeg(scene(1).resize((100, 100)))}, split=None)
    assert [set(splits) for splits in splits_of_scenes(barn.project).values()] == [{"holdout"}]


def test_split_asked_for_by_name_is_kept_and_the_crossing_told(barn, tmp_path):
    bring_in(barn, tmp_path / "one", {"a.jpg": jpeg(scene(1), 95)}, split="holdout")
    job = bring_in(barn, tmp_path / "two", {"b.jpg": jpeg(scene(1), 60), "c.jpg": jpeg(scene(2))}, split="train")
    assert barn.project.images.get(original_name="b.jpg").split == "train"
    (told,) = [row for row in job.report["problems"] if "scene" in row["why"]]
    assert told["file"] == "b.jpg"
    assert "holdout, train" in told["why"]


def test_image_that_joins_two_scenes_goes_to_the_split_that_judges(barn):
    first = add(barn, 1, "00000000000000ff", split="train")
    apart = add(barn, 2, "000000000003ffff", split="holdout")  # 10 bits from the first
    assert first.scene != apart.scene
    plan = SplitPlan(project=barn.project)
    bridge = add(barn, 3, "0000000000003fff", plan=plan)  # 6 from the one, 4 from the other
    assert bridge.split == "holdout"
    assert {row.scene for row in Image.objects.all()} == {first.scene}
    assert [(one.name, one.splits) for one in plan.crossings()] == [("3.png", ("holdout", "train"))]


def test_flat_pictures_and_unknown_looks_are_scenes_of_their_own(barn, tmp_path):
    greys = {f"{grey}.png": plain(grey) for grey in (90, 91, 120, 200)}
    bring_in(barn, tmp_path / "in", greys)
    add(barn, 1, ""), add(barn, 2, "")
    rows = list(Image.objects.values_list("scene", "look"))
    assert len({row[0] for row in rows}) == 6
    assert sorted(row[1] for row in rows) == ["", "", FLAT, FLAT, FLAT, FLAT]


def plain(grey: int) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (40, 30), (grey, grey, grey)).save(buffer, "PNG")
    return buffer.getvalue()


def test_burst_of_one_camera_is_one_scene_and_the_same_look_of_another_is_not(barn):
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    base, ten_apart = "0f0f0f0f0f0f0f0f", "0f0f0f0f0f0f00f0"  # 8 bits apart: too many for the look alone
    first = add(barn, 1, base, at=noon, source="camera 1")
    burst = add(barn, 2, ten_apart, at=noon + timedelta(seconds=4), source="camera 1")
    later = add(barn, 3, "0f0f0f0f0f0ff00f", at=noon + timedelta(hours=2), source="camera 1")
    other = add(barn, 4, "0f0f0f0f00f00f0f", at=noon + timedelta(seconds=4), source="camera 2")
    assert first.scene == burst.scene
    assert len({first.scene, later.scene, other.scene}) == 3


def test_drawing_for_the_holdout_takes_whole_scenes(barn, tmp_path):
    files = {f"{seed} {quality}.jpg": jpeg(scene(seed), quality) for seed in range(12) for quality in (95, 70, 45)}
    bring_in(barn, tmp_path / "in", files, holdout_share=0.4)
    found = splits_of_scenes(barn.project)
    assert len(found) == 12
    assert all(len(splits) == 1 for splits in found.values())
    assert sum(splits == {"holdout"} for splits in found.values()) in range(1, 12)


def test_near_looks_are_those_that_a_comparison_with_all_finds():
    rng = np.random.default_rng(3)
    looks = rng.integers(0, 2**64, 3000, dtype=np.uint64)
    for place in range(0, 1000):  # copies with up to 9 bits turned
        turned = rng.choice(64, size=place % 10, replace=False)
        looks[place] = looks[2000 + place] ^ np.uint64(sum(1 << int(bit) for bit in turned))
    apart = np.bitwise_count(looks[:, None] ^ looks[None])
    index = NearLooks()
    index.add(looks[:1000].tolist()), index.add(looks[1000:].tolist())
    for place in range(0, 3000, 7):
        expected = np.flatnonzero(apart[place] <= NEAR_BITS)
        assert sorted(index.near(int(looks[place]))) == expected.tolist()


def test_sets_of_a_hundred_thousand_looks_are_right():
    rng = np.random.default_rng(5)
    looks = rng.integers(0, 2**64, 100_000, dtype=np.uint64)
    for place in range(500):  # chains of three: each 4 bits from the next, 8 from the one after
        looks[50_000 + place] = looks[place] ^ np.uint64(0b1111 << (place % 30))
        looks[60_000 + place] = looks[50_000 + place] ^ np.uint64(0b1111 << (place % 30 + 30))
    sets = alike_sets(looks)
    assert len(np.unique(sets)) == 100_000 - 1000
    assert (sets[:500] == sets[50_000:50_500]).all()
    assert (sets[:500] == sets[60_000:60_500]).all()


@pytest.mark.parametrize("size", [(8, 8), (31, 33), (300, 40)])
def test_look_is_the_same_for_grey_and_colour_and_any_size(size):
    grey = np.random.default_rng(2).integers(0, 256, size, dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert look_of(grey) == look_of(colour)
    assert len(look_of(grey)) == 16
