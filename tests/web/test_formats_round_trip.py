"""What is written in a format is read back to the pixel, verified negatives included where the format has them."""

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageDraw
from pycocotools import mask as coco
from scipy.ndimage import gaussian_filter
from scipy.ndimage import label as label_parts

from annotator.common.errors import ImportRefusedError
from annotator.common.masks import decode_rle, encode_mask, rle_area, rle_iou
from annotator.data.formats import label_studio, labelme, saco, yolo
from annotator.data.formats.outlines import part_outlines, pixel_outline, rings
from annotator.data.formats.records import Category, ImageRecord, Instance
from tests.factories import box_rle
from tests.web.written import document, written

CATEGORIES = [Category(3, "hen"), Category(7, "duck")]
WIDTH, HEIGHT = 40, 30


def _odd_masks() -> list[np.ndarray]:
    """A ring with a hole, two parts, pixels that touch at a corner, one pixel, the whole image, noise."""
    masks = [np.zeros((HEIGHT, WIDTH), dtype=bool) for _ in range(6)]
    masks[0][5:20, 5:20] = True
    masks[0][8:15, 9:12] = False
    masks[1][2:5, 2:9] = masks[1][20:28, 30:40] = True
    masks[2][3, 3] = masks[2][4, 4] = masks[2][4, 2] = True
    masks[3][29, 39] = True
    masks[4][:] = True
    masks[5][:] = np.random.default_rng(2).random((HEIGHT, WIDTH)) > 0.6
    return masks


def _record() -> ImageRecord:
    instances = [Instance("hen", encode_mask(mask)) for mask in _odd_masks()]
    return ImageRecord("a.png", WIDTH, HEIGHT, "train", "a.png", instances, ["duck"])


def _same_masks(read: ImageRecord) -> bool:
    return [one.mask for one in read.instances] == [one.mask for one in _record().instances]


@pytest.mark.parametrize("mask", _odd_masks(), ids=["hole", "parts", "corners", "pixel", "all", "noise"])
def test_outline_filled_by_even_odd_is_the_mask(mask):
    # The reference is Pillow's polygon filling, on a canvas eight times finer, sampled at pixel centres.
    scale = 8
    canvas = PillowImage.new("1", (WIDTH * scale, HEIGHT * scale))
    filled = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for ring in rings(mask):
        canvas.paste(0, (0, 0, *canvas.size))
        ImageDraw.Draw(canvas).polygon([(x * scale, y * scale) for x, y in ring], fill=1)
        filled ^= np.asarray(canvas)[scale // 2 :: scale, scale // 2 :: scale]
    assert (filled == mask).all()


@pytest.mark.parametrize("mask", _odd_masks(), ids=["hole", "parts", "corners", "pixel", "all", "noise"])
def test_parts_as_polygons_with_bridges_to_their_holes_are_the_mask_for_pycocotools(mask):
    polygons = [line.ravel().tolist() for line in part_outlines(mask)]
    assert len(polygons) == label_parts(mask)[1]
    assert (coco.decode(coco.merge(coco.frPyObjects(polygons, HEIGHT, WIDTH))).astype(bool) == mask).all()


def _drawn_by_opencv(mask: np.ndarray, to_pixels) -> np.ndarray:
    """As Ultralytics (cut) and supervision (rounded) do: shares times the size, then the filled outline."""
    size = np.array([mask.shape[1], mask.shape[0]], dtype=np.float32)
    shares = (pixel_outline(mask) / size).astype(np.float32)
    canvas = np.zeros(mask.shape, dtype=np.uint8)
    cv2.fillPoly(canvas, [to_pixels(shares * size).astype(np.int32)], 1)
    return canvas.astype(bool)


@pytest.mark.parametrize("to_pixels", [np.trunc, np.round], ids=["cut", "rounded"])
@pytest.mark.parametrize("seed", range(5))
def test_object_of_one_part_with_holes_is_the_same_for_readers_that_draw_the_outline(seed, to_pixels):
    blurred = gaussian_filter(np.random.default_rng(seed).random((97, 131)), 3) > 0.47
    parts, _ = label_parts(blurred)
    mask = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    assert label_parts(~mask)[1] > 1
    assert (_drawn_by_opencv(mask, to_pixels) == mask).all()


def test_bridge_between_two_parts_is_one_pixel_wide_and_as_short_as_can_be():
    mask = np.zeros((100, 100), dtype=bool)
    mask[10:50, 10:50] = mask[60:90, 12:60] = True
    assert (_drawn_by_opencv(mask, np.trunc) ^ mask).sum() == 10


def test_empty_mask_has_no_outline():
    empty = np.zeros((4, 4), dtype=bool)
    assert (len(pixel_outline(empty)), part_outlines(empty)) == (0, [])


def test_yolo_round_trip_is_exact(tmp_path):
    text = written("yolo", [_record()], CATEGORIES, tmp_path)["labels/train/a.txt"]
    read, problems = yolo.read(text, file_name="a.png", width_px=WIDTH, height_px=HEIGHT, names=["hen", "duck"])
    assert problems == []
    assert _same_masks(read)


@pytest.mark.parametrize("boxes", ["norm", "px"])
def test_saco_round_trip_is_exact(tmp_path, boxes):
    files = written("saco", [_record()], CATEGORIES, tmp_path, boxes=boxes)
    [read] = saco.read(document(files, "train.json")).images
    assert _same_masks(read)
    assert read.absent == ["duck"]


def test_saco_has_a_row_for_each_settled_pair_and_none_for_what_nobody_saw(tmp_path):
    unseen = ImageRecord("b.png", WIDTH, HEIGHT, "train")
    found = document(written("saco", [_record(), unseen], CATEGORIES, tmp_path), "train.json")
    assert [(row["file_name"], row["text_input"]) for row in found["images"]] == [
        ("a.png", "hen"),
        ("a.png", "duck"),
    ]
    assert found["annotations"][4]["area"] == 1.0


def test_labelme_round_trip_is_exact(tmp_path):
    files = written("labelme", [_record()], CATEGORIES, tmp_path)
    read, problems = labelme.read(document(files, "train/a.json"))
    assert problems == []
    assert _same_masks(read)
    assert read.absent == ["duck"]


def _task(folder) -> dict:
    [task] = document(written("label_studio", [_record()], CATEGORIES, folder), "tasks.json")
    return task


def test_label_studio_round_trip_is_exact(tmp_path):
    read, problems = label_studio.read(_task(tmp_path))
    assert problems == []
    assert _same_masks(read)
    assert read.absent == ["duck"]


def test_label_studios_lists_are_cut_where_its_own_uploads_end(tmp_path, monkeypatch):
    monkeypatch.setattr("annotator.data.writers.label_studio.MAX_LIST_BYTES", 10)
    files = written("label_studio", [_record(), _record()], CATEGORIES, tmp_path)
    for name in ("tasks.json", "tasks-2.json"):
        [task] = document(files, name)
        assert _same_masks(label_studio.read(task)[0])


def _yolo_line(line: str) -> tuple[ImageRecord, list]:
    return yolo.read(line, file_name="a.png", width_px=10, height_px=10, names=["hen"])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1 0.1 0.1 0.5 0.1 0.5 0.5", "no class"),
        ("-1 0.1 0.1 0.5 0.1 0.5 0.5", "no class"),
        ("0 0.5 0.5 0.2 0.2 0.9", "three points"),
        ("0 0.1 0.1 0.5 0.1 0.5", "three points"),
        ("0 0,1 0,1 0,5 0,1 0,5 0,5", "no number"),
        ("0 nan 0.1 0.5 0.1 0.5 0.5", "from 0 to 1"),
        ("0 5 1 50 1 50 50", "from 0 to 1"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1", "no pixel"),
    ],
)
def test_bad_yolo_line_is_a_problem(line, why):
    image, [problem] = _yolo_line(line)
    assert why in problem.why
    assert (image.instances, image.unsure) == ([], {"hen"})


def test_yolo_box_is_a_coarse_mask():
    image, problems = _yolo_line("0 0.5 0.4 0.2 0.4")
    assert problems == []
    assert [(one.coarse, one.mask) for one in image.instances] == [(True, box_rle(4, 2, 6, 6, 10, 10))]


def test_windows_line_ends_are_read():
    image, problems = _yolo_line("0 0.1 0.1 0.5 0.1 0.5 0.5\r\n0 0.1 0.1 0.5 0.1 0.5 0.5\r\n")
    assert (len(image.instances), problems) == (2, [])


def test_yolo_data_file_runs_no_code(tmp_path):
    trap = f"names: !!python/object/apply:os.system ['touch {tmp_path}/trap']"
    with pytest.raises(ImportRefusedError, match="plain YAML"):
        yolo.read_names(trap)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["names: [hen, duck]", "names: {1: duck, 0: hen}\npath: /etc"])
def test_yolo_names_are_read_from_a_list_or_a_map(text):
    assert yolo.read_names(text) == ["hen", "duck"]


def _labelme(shape: dict) -> tuple[ImageRecord, list]:
    document = {"imagePath": "../../a.png", "imageHeight": 20, "imageWidth": 30, "shapes": [shape]}
    return labelme.read(document)


@pytest.mark.parametrize(
    "shape",
    [
        {"label": "hen", "shape_type": "circle", "points": [[1, 1]]},
        {"label": "hen", "shape_type": "mask", "points": [[0, 0], [99, 99]], "mask": ""},
        {"label": "hen", "shape_type": "mask", "points": [[0, 0], [2, 2]], "mask": "no base64!"},
        {"label": "hen", "shape_type": "mask", "points": [[0, 0], [1e300, 2]], "mask": ""},
        {"label": "hen", "points": [[0, 0], [5, 5]]},
        {"label": "hen", "points": [[0, 0], [5, float("inf")], [3, 3]]},
        {"label": 5, "points": [[0, 0], [5, 0], [5, 5]]},
        {"label": "hen", "points": "x"},
        7,
    ],
)
def test_bad_labelme_shape_is_a_problem(shape):
    image, problems = _labelme(shape)
    assert (image.instances, len(problems)) == ([], 1)


def test_labelme_path_counts_by_its_last_part_alone():
    image, _ = _labelme({"label": "hen", "points": [[0, 0], [10, 0], [10, 10], [0, 10]]})
    assert image.file_name == "a.png"
    assert rle_area(image.instances[0].mask) == 100


@pytest.mark.parametrize(
    "rle",
    [[255] * 40, [0, 0, 18, 192], [0, 0, 18, 192, *[255] * 20], "text", [0, 0, 18, 192, *[999] * 9]],
    ids=["4 GB", "cut", "noise", "text", "no bytes"],
)
def test_hostile_brush_rle_is_a_problem(tmp_path, rle):
    task = _task(tmp_path)
    task["annotations"][0]["result"][0]["value"]["rle"] = rle
    image, problems = label_studio.read(task)
    assert (len(image.instances), len(problems)) == (5, 1)


def test_label_studio_polygon_is_percent_of_the_size():
    value = {"points": [[0, 0], [50, 0], [50, 50], [0, 50]], "polygonlabels": ["hen"]}
    result = {"type": "polygonlabels", "original_width": WIDTH, "original_height": HEIGHT, "value": value}
    image, _ = label_studio.read({"data": {"image": "a.png"}, "annotations": [{"result": [result]}]})
    assert rle_iou(image.instances[0].mask, box_rle(0, 0, 20, 15, WIDTH, HEIGHT)) == 1.0


@pytest.mark.parametrize("document", [None, [], {}, {"data": {"image": 5}, "annotations": []}])
def test_what_is_no_label_studio_task_is_refused(document):
    with pytest.raises(ImportRefusedError, match="no Label Studio task"):
        label_studio.read(document)


def test_masks_here_are_really_odd():
    assert [int(decode_rle(one.mask).sum()) for one in _record().instances][:5] == [204, 101, 3, 1, 1200]
