"""YOLO exports as Ultralytics' own code and supervision read them (tests/web/format_readers.py)."""

import json
import subprocess

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, label

from annotator.common.masks import encode_mask
from annotator.data.formats.records import Category, ImageRecord, Instance
from tests.web.format_readers import ReadersMissing, readers_python
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


def _masks() -> list[np.ndarray]:
    """One part with holes, and a disc of 34 px."""
    parts, _ = label(gaussian_filter(np.random.default_rng(0).random((HEIGHT, WIDTH)), 6) > 0.49)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return [parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]), np.hypot(x - 100, y - 120) < 17]


@pytest.fixture
def exported(tmp_path):
    record = ImageRecord("a", WIDTH, HEIGHT, "train", "a.png", [Instance("hen", encode_mask(one)) for one in _masks()])
    files = written("yolo", [record], [Category(1, "hen"), Category(4, "duck")], tmp_path)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "images" / "train").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "train" / "a.png")
    return tmp_path


def _read(program: str, folder) -> dict:
    try:
        command = readers_python()
    except ReadersMissing as missing:
        pytest.skip(f"the formats' readers: {missing}")
    done = subprocess.run([*command, program, str(folder)], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def _same(found: list) -> bool:
    return all((np.array(one) > 0).tolist() == mask.tolist() for one, mask in zip(found, _masks(), strict=True))


def test_ultralytics_takes_the_data_file_from_any_folder_and_draws_the_very_masks(exported):
    found = _read(ULTRALYTICS, exported)
    assert (found["corrupt"], found["names"]) == (0, ["hen", "duck"])
    assert found["val"] == str(exported / "images" / "train")
    assert _same(found["masks"])


def test_supervision_draws_the_very_masks(exported):
    assert _same(_read(SUPERVISION, exported)["masks"])
