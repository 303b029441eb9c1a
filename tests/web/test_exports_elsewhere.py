"""Exports as the formats' own readers take them: Ultralytics, supervision, LabelMe (tests/web/format_readers.py),
pycocotools and Label Studio's SDK."""

import json
import zipfile

import numpy as np
import pytest
from label_studio_sdk.converter import Converter
from PIL import Image
from pycocotools.coco import COCO
from scipy.ndimage import gaussian_filter, label

from annotator.common.masks import decode_rle, encode_mask
from annotator.data.exports import export_file, export_start
from annotator.data.formats.records import Category, ImageRecord, Instance
from annotator.jobs.runner import job_run
from tests.web.format_readers import read_by
from tests.web.odd_barn import TURNED, TURNED_PX, fill_oddly
from tests.web.written import written

WIDTH, HEIGHT = 320, 240
ULTRALYTICS = """
import json, sys, numpy as np
from ultralytics.data.utils import check_det_dataset, polygon2mask, verify_image_label
root = sys.argv[1]
data = check_det_dataset(root + "/data.yaml", autodownload=False)
found = verify_image_label((root + "/images/train/a.png", root + "/labels/train/a.txt", "", False, 2, 0, 0, False))
masks = [polygon2mask((240, 320), [(one * [320, 240]).ravel()]).tolist() for one in found[3]]
print(json.dumps({"val": data["val"], "names": list(data["names"].values()), "masks": masks, "corrupt": found[-2]}))
"""
SUPERVISION = """
import json, sys, supervision as sv
root = sys.argv[1]
places = root + "/images/train", root + "/labels/train", root + "/data.yaml"
[(_, _, found)] = list(sv.DetectionDataset.from_yolo(*places, force_masks=True))
print(json.dumps({"masks": found.mask.astype(int).tolist()}))
"""
LABELME = """
import json, pathlib, sys
from labelme import LabelFile, utils
found = {}
for path in pathlib.Path(sys.argv[1]).glob("*/*.json"):
    file = LabelFile(str(path))
    width, height = utils.img_data_to_pil(file.image_data).size
    draw = lambda one: utils.shapes_to_label((height, width), [one], {one["label"]: 1})[1].tolist()
    masks = [[one["label"], draw(one)] for one in file.shapes]
    found[path.parent.name + "/" + file.image_path] = {"flags": sorted(file.flags), "masks": masks}
print(json.dumps(found))
"""
SUPERVISION_COCO = """
import json, sys, supervision as sv
root = sys.argv[1] + "/train/"
places = root, root + "_annotations.coco.json"
found = {}
for path, _, one in sv.DetectionDataset.from_coco(*places, force_masks=True):
    found[path.rsplit("/", 1)[-1]] = one.mask.astype(int).tolist()
print(json.dumps(found))
"""


def _masks() -> list[np.ndarray]:
    """One part with holes, and a disc of 34 px."""
    parts, _ = label(gaussian_filter(np.random.default_rng(0).random((HEIGHT, WIDTH)), 6) > 0.49)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return [parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]), np.hypot(x - 100, y - 120) < 17]


@pytest.fixture
def exported(tmp_path):
    return _write(tmp_path, _masks())


def _write(folder, masks: list[np.ndarray]):
    record = ImageRecord("a", WIDTH, HEIGHT, "train", "a.png", [Instance("hen", encode_mask(one)) for one in masks])
    files = written("yolo", [record], [Category(1, "hen"), Category(4, "duck")], folder)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "images" / "train").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / "train" / "a.png")
    return folder


def _same(found: list) -> bool:
    return all((np.array(one) > 0).tolist() == mask.tolist() for one, mask in zip(found, _masks(), strict=True))


def test_ultralytics_takes_the_data_file_from_any_folder_and_draws_the_very_masks(exported):
    found = read_by(ULTRALYTICS, exported)
    assert (found["corrupt"], found["names"]) == (0, ["hen", "duck"])
    assert found["val"] == str(exported / "images" / "train")
    assert _same(found["masks"])


def test_supervision_draws_the_very_masks(exported):
    assert _same(read_by(SUPERVISION, exported)["masks"])


def test_two_parts_of_an_object_are_over_0_99_for_ultralytics(tmp_path):
    """A bridge one pixel wide is what a line of labels costs that is one polygon."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = (np.hypot(x - 90, y - 90) < 24) | (np.hypot(x - 150, y - 90) < 24)
    _write(tmp_path, [mask])
    found = np.array(read_by(ULTRALYTICS, tmp_path)["masks"][0]) > 0
    assert (found & mask).sum() == mask.sum()
    assert mask.sum() / found.sum() > 0.99


@pytest.fixture
def barn(barn):
    return fill_oddly(barn)


def _out(barn, folder, format: str, **wishes):
    """The export, unpacked."""
    job = export_start(project=barn.project, user=barn.admin, format=format, **wishes)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    zipfile.ZipFile(export_file(job=job)).extractall(folder)
    return folder


def _known(barn, names: dict[tuple[str, str], str]) -> dict[str, list]:
    """[label, mask] of all objects by the picture's name in the export; `names`: (split, name) where it is another."""
    found: dict[str, list] = {}
    rows = barn.project.pairs.filter(truth="present").order_by("concept__category_id")
    for split, name, concept, instances in rows.values_list(
        "image__split", "image__original_name", "concept__name", "instances"
    ):
        masks = [[concept, decode_rle(one["mask"]).astype(int).tolist()] for one in instances]
        found.setdefault(names.get((split, name), name), []).extend(masks)
    return found


@pytest.mark.django_db(transaction=True)
def test_labelme_opens_every_file_and_draws_the_very_masks(barn, tmp_path):
    found = read_by(LABELME, _out(barn, tmp_path, "labelme", include_unlooked=True))
    masks = {path.partition("/")[2]: one["masks"] for path, one in found.items() if one["masks"]}
    assert masks == _known(barn, _renamed(found))
    assert {path.partition("/")[0]: one["flags"] for path, one in found.items() if "/a" in path} == {
        "train": ["no duck"],
        "valid": ["no chicken", "no duck"],
    }
    assert found["train/ü_b.png"]["flags"] == ["not all chicken"]
    assert found["holdout/d.png"]["flags"] == ["no chicken"]


def _renamed(paths) -> dict[tuple[str, str], str]:
    """Which of the two pictures called a.png is a-2.png depends on their hashes."""
    [train] = [path.partition("/")[2] for path in paths if path.startswith("train/a")]
    return {("train", "a.png"): train, ("train", "ü b.png"): "ü_b.png"}


@pytest.mark.django_db(transaction=True)
def test_label_studio_sdk_unpacks_the_very_masks_and_reads_what_is_absent(barn, tmp_path):
    folder = _out(barn, tmp_path / "zip", "label_studio", include_unlooked=True)
    config = (folder / "label_config.xml").read_text()
    for format in ("BRUSH_TO_NUMPY", "JSON_MIN"):
        (tmp_path / format).mkdir()
        converter = Converter(config, str(folder), download_resources=False)
        converter.convert(str(folder / "tasks.json"), str(tmp_path / format), format, is_dir=False)
    rows = {row["id"]: row for row in json.loads((tmp_path / "JSON_MIN" / "result.json").read_text())}
    places = {number: (row["split"], row["name"]) for number, row in rows.items()}
    found: dict[tuple[str, str], list] = {}
    for path in sorted((tmp_path / "BRUSH_TO_NUMPY").glob("*.npy"), key=lambda one: one.stem.rsplit("brush-")[1]):
        name = path.stem.split("brush-")[1].rpartition("-")[0]
        found.setdefault(places[int(path.stem.split("-")[1])], []).append(
            [name, (np.load(path) > 0).astype(int).tolist()]
        )
    known = _known(barn, {place: place for place in places.values()})
    assert found == known
    said = {place: (rows[number].get("absent"), rows[number].get("incomplete")) for number, place in places.items()}
    assert said == {
        ("train", "a.png"): ("duck", None),
        ("val", "a.png"): ({"choices": ["chicken", "duck"]}, None),
        ("train", "ü b.png"): (None, "chicken"),
        ("holdout", "d.png"): ("chicken", None),
        ("train", TURNED): ("duck", None),
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wishes", [{}, {"masks": "polygon"}], ids=["rle", "polygon"])
def test_pycocotools_draws_the_very_masks(barn, tmp_path, wishes):
    folder, found = _out(barn, tmp_path, "coco", include_unlooked=True, **wishes), {}
    coco = COCO(folder / "train" / "_annotations.coco.json")
    for row in coco.anns.values():
        name, label = coco.imgs[row["image_id"]]["file_name"], coco.cats[row["category_id"]]["name"]
        found.setdefault(name, []).append([label, coco.annToMask(row).tolist()])
    assert found == _known(barn, _renamed(f"train/{name}" for name in found))
    with Image.open(folder / "train" / TURNED) as picture:
        assert (picture.size, picture.getexif().get(0x0112)) == (TURNED_PX, None)


@pytest.mark.django_db(transaction=True)
def test_supervision_draws_the_very_masks_of_coco(barn, tmp_path):
    found = read_by(SUPERVISION_COCO, _out(barn, tmp_path, "coco", include_unlooked=True))
    known = _known(barn, _renamed(f"train/{name}" for name in found))
    assert found == {name: [mask for _, mask in rows] for name, rows in known.items()}
