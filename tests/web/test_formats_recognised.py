"""What kind of files these are, told before they are read, and wrong files among good ones."""

import json
import zipfile

import pytest

from annotator.data.formats.recognise import documents_found
from annotator.data.sources import FolderSource, source_opened
from tests.web.format_trees import SQUARE, found_in, tree

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[8, 8, 24, 8, 24, 24]], "iscrowd": 0}],
    "categories": [{"id": 1, "name": "hen"}],
}
CAPTIONS = COCO | {"annotations": [{"id": 1, "image_id": 1, "caption": "a hen"}], "categories": []}
PANOPTIC = COCO | {"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}]}
PAIR = {"id": 1, "file_name": "a.jpg", "text_input": "hen", "width": 64, "height": 48, "is_instance_exhaustive": 1}
LABELME = {"shapes": [], "imagePath": "a.jpg", "imageWidth": 64, "imageHeight": 48}
TASK = {"id": 1, "data": {"image": "/a.jpg"}, "annotations": [{"id": 1, "result": []}]}
CVAT = '<annotations><version>1.1</version><image id="0" name="a.jpg" width="64" height="48"></image></annotations>'


def test_every_format_is_told_by_its_contents_whatever_it_is_called(tmp_path):
    root = tree(
        tmp_path,
        {
            "one/data.json": COCO,
            "two/data.json": {"images": [PAIR], "annotations": [], "categories": []},
            "three/data.json": LABELME,
            "four/data.json": [TASK],
            "five/data.xml": CVAT,
            "six/data.yaml": "names: [hen]",
            "six/a.jpg": None,
            "six/a.txt": f"0 {SQUARE}",
        },
    )
    found = found_in(root)
    assert {document.where: document.format for document in found.documents} == {
        "one/data.json": "coco",
        "two/data.json": "saco",
        "three/*.json": "labelme",
        "four/data.json": "label_studio",
        "five/data.xml": "cvat",
        "six/data.yaml": "yolo",
    }
    assert found.refused == []
    assert "six/a.jpg" not in found.used


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("captions_val.json", CAPTIONS, "captions"),
        ("panoptic_val.json", PANOPTIC, "panoptic"),
        ("a.json", [{"image": "a.jpg", "annotations": [{"label": "hen", "coordinates": {}}]}], "CreateML"),
        ("via.json", {"a.jpg123": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator"),
        ("settings.json", {"theme": "dark"}, "no annotation file that is known"),
        ("list.json", [1, 2], "no annotation file that is known"),
        ("text.json", "null", "begins with neither"),
        ("empty.json", "", "is empty"),
        ("cut.json", json.dumps(COCO)[:-20], "not valid JSON"),
        ("nan.json", '{"images": [], "annotations": [NaN]}', "not valid JSON"),
        ("deep.json", '{"images": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ("wide.json", json.dumps(COCO).encode("utf-16"), "not UTF-8"),
        ("latin.json", '{"images": [{"file_name": "Hühner"}]}'.encode("latin-1"), "not valid JSON"),
        ("_annotations.csv", "a.jpg,hen,1,2,3,4", "CSV"),
        ("a.jsonl", "{}", "JSON lines"),
    ],
)
def test_file_that_is_no_document_is_refused_in_words_beside_one_that_is(tmp_path, name, content, why):
    found = found_in(tree(tmp_path, {name: content, "good.json": COCO}))
    assert [document.where for document in found.documents] == ["good.json"]
    [refused] = found.refused
    assert refused.where == name
    assert why in refused.why
    assert name in found.used


def test_what_goes_with_an_export_is_neither_refused_nor_a_picture(tmp_path):
    manifest = {"made_by": "Roost", "annotation_files_sha256": {}, "notes": ""}
    found = found_in(tree(tmp_path, {"manifest.json": manifest, "label_config.xml": "<View/>", "notes.csv": "a,b"}))
    assert (found.documents, found.refused, found.used) == ([], [], {"manifest.json", "label_config.xml"})


def test_many_files_refused_for_one_reason_are_one_sentence(tmp_path):
    found = found_in(tree(tmp_path, {f"{n}.xml": "<annotation></annotation>" for n in range(200)}))
    [refused] = found.refused
    assert refused.where == "0.xml and 199 more"
    assert "Pascal VOC" in refused.why


def test_byte_order_mark_is_no_part_of_a_document(tmp_path):
    marked = b"\xef\xbb\xbf"
    files = {"a.json": marked + json.dumps(COCO).encode(), "b.json": marked + json.dumps(LABELME).encode()}
    files |= {"c.json": marked + json.dumps([TASK]).encode(), "d.xml": marked + CVAT.encode()}
    assert [one.format for one in found_in(tree(tmp_path, files)).documents] == [
        "coco",
        "label_studio",
        "cvat",
        "labelme",
    ]


def test_cvat_is_read_inside_its_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.writestr("annotations.xml", CVAT)
        archive.writestr("images/a.jpg", b"picture")
    with source_opened(tmp_path / "task.zip") as source:
        [document] = documents_found(source).documents
        assert (document.format, [one.file_name for one in document.images]) == ("cvat", ["a.jpg"])


def test_progress_is_told_from_the_first_file(tmp_path):
    told: list[tuple[int, int]] = []
    source = FolderSource(tree(tmp_path, {"a.json": COCO, "b.json": COCO, "c.jpg": None}))
    documents_found(source, on_progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]
