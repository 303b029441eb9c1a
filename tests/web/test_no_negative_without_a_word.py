"""Documents that say less than they seem to: whatever a person vouches for, nothing becomes absent because of them."""

import json

import pytest

from annotator.common.masks import rle_area
from annotator.data.convert import Wish, files_checked
from annotator.data.import_documents import documents_gathered
from annotator.data.sources import FolderSource
from annotator.data.verdicts import Classes, Mention, Vouch, verdicts_of
from tests.web.format_trees import SIZE, found_in, only, records_of, tree

EVERYTHING = Vouch(complete=True, exhaustive=True)
SQUARE_PX = [[8, 8, 24, 8, 24, 24, 8, 24]]
POINTS = [[12.5, 16.667], [37.5, 16.667], [37.5, 50], [12.5, 50]]


def _truths(root, files):
    """{picture: {class: truth}} of an import that vouches for everything, and what is told."""
    gathered, told = documents_gathered(FolderSource(tree(root, files))), []
    names = {one.name: one.name for document in gathered.documents for one in document.categories}
    found = {}
    for name, words in gathered.words.items():
        mentions = []
        for word in words:
            record, problems = word.document.read(word.listed, SIZE)
            told += [one.why for one in problems]
            classes = frozenset(one.name for one in word.document.categories)
            mentions.append(Mention(word.listed, record, classes))
        verdicts = verdicts_of(mentions, Classes(names), EVERYTHING)
        found[name] = {category: one.truth for category, one in verdicts.items()}
    return found, told + [one.why for one in gathered.problems]


def _coco(annotations, **more):
    images = [{"id": number, "file_name": name, "width": 64, "height": 48} for number, name in enumerate("ab", 1)]
    images = [row | {"file_name": f"{row['file_name']}.png"} for row in images]
    document = {"images": images, "categories": [{"id": 1, "name": "hen"}]} | more
    return document if annotations is None else document | {"annotations": annotations}


def _outline(**more):
    return {"id": 1, "image_id": 1, "category_id": 1, "segmentation": SQUARE_PX, "bbox": [8, 8, 16, 16]} | more


def _pictures(**documents):
    return {"a.png": None, "b.png": None} | {f"{name}.json": content for name, content in documents.items()}


def test_controls_a_full_document_gives_presence_and_absence(tmp_path):
    assert _truths(tmp_path, _pictures(x=_coco([_outline()])))[0] == {
        "a.png": {"hen": "present"},
        "b.png": {"hen": "absent"},
    }


@pytest.mark.parametrize("annotations", [None, [_outline(image_id="other")], [_outline(category_id=7)]])
def test_coco_without_a_list_or_with_no_annotation_that_fits_makes_no_negative(tmp_path, annotations):
    truths, told = _truths(tmp_path, _pictures(x=_coco(annotations)))
    assert "absent" not in str(truths)
    assert any("nothing is absent because of it" in why for why in told)


def test_coco_with_an_empty_list_is_a_statement(tmp_path):
    assert _truths(tmp_path, _pictures(x=_coco([])))[0]["a.png"] == {"hen": "absent"}


def _pairs(annotations):
    rows = [{"id": n, "file_name": f"{name}.png", "text_input": "hen"} for n, name in enumerate("ab", 1)]
    document = {"images": [row | {"width": 64, "height": 48, "is_instance_exhaustive": 1} for row in rows]}
    return document if annotations is None else document | {"annotations": annotations}


@pytest.mark.parametrize("annotations", [None, [_outline(image_id="other")]])
def test_pairs_to_be_asked_are_no_verified_negatives(tmp_path, annotations):
    truths, told = _truths(tmp_path, _pictures(x=_pairs(annotations)))
    assert "absent" not in str(truths)
    assert any("nothing is absent because of it" in why for why in told)


def test_crowd_of_a_pair_is_no_instance_and_no_negative(tmp_path):
    truths, told = _truths(tmp_path, _pictures(x=_pairs([_outline(iscrowd=1)])))
    assert truths == {"a.png": {"hen": "unseen"}, "b.png": {"hen": "absent"}}
    assert any("crowd" in why for why in told)


@pytest.mark.parametrize(
    "row",
    [
        _outline(segmentation=[[str(value) for value in SQUARE_PX[0]]]),
        _outline(segmentation={"size": [48.0, 64.0], "counts": [392.0] + [16.0, 32.0] * 15 + [16.0, 1944.0]}),
    ],
)
def test_numbers_as_text_and_whole_floats_are_numbers(tmp_path, row):
    records, why = records_of(only(found_in(tree(tmp_path, {"x.json": _coco([row])}))))
    assert ([rle_area(one.mask) for one in records["a.png"].instances], why) == ([256], [])


def test_nan_of_python_is_named_with_its_place(tmp_path):
    [refused] = found_in(tree(tmp_path, {"x.json": json.dumps(_coco([_outline(area=float("nan"))]))})).refused
    assert "it has NaN at byte" in refused.why


def _labelme(*shapes, **more):
    document = {"version": "5.4.1", "flags": {}, "imagePath": "a.png", "imageData": None}
    return document | {"shapes": list(shapes), "imageHeight": 48, "imageWidth": 64} | more


def _shape(label="hen", **more):
    return {"label": label, "points": [[8, 8], [24, 8], [24, 24], [8, 24]], "shape_type": "polygon"} | more


def test_one_labelme_file_without_a_picture_leaves_the_others(tmp_path):
    files = {"a.png": None, "a.json": _labelme(_shape()), "c.json": _labelme(_shape(), imagePath="")}
    truths, told = _truths(tmp_path, files)
    assert truths == {"a.png": {"hen": "present"}}
    assert told == ["Its imagePath names no picture."]


def test_flag_of_a_labelme_picture_says_that_its_class_is_there(tmp_path):
    files = _pictures(a=_labelme(_shape()), b=_labelme(imagePath="b.png", flags={"hen": True, "blurred": True}))
    assert _truths(tmp_path, files)[0] == {"a.png": {"hen": "present"}, "b.png": {}}


def test_group_of_labelme_is_one_object_however_its_number_is_written(tmp_path):
    parts = [_shape(group_id="1"), _shape(group_id=1.0, points=[[40, 8], [48, 8], [48, 16], [40, 16]])]
    records, _ = records_of(only(found_in(tree(tmp_path, {"a.png": None, "a.json": _labelme(*parts)}))))
    assert [rle_area(one.mask) for one in records["a.png"].instances] == [256 + 64]


CVAT = """<annotations><meta><task><labels><label><name>hen</name></label></labels></task></meta>
<image id="0" name="a.png" width="64" height="48">{}</image><image id="1" name="b.png" width="64" height="48"/>{}
</annotations>"""


def test_tag_of_cvat_says_that_its_class_is_there(tmp_path):
    truths, _ = _truths(tmp_path, {"a.png": None, "b.png": None, "x.xml": CVAT.format('<tag label="hen"/>', "")})
    assert truths == {"a.png": {}, "b.png": {"hen": "absent"}}


def test_cvat_with_tracks_is_refused_whole(tmp_path):
    track = '<track id="0" label="hen"><box frame="0" xtl="1" ytl="1" xbr="5" ybr="5"/></track>'
    truths, told = _truths(tmp_path, {"a.png": None, "b.png": None, "x.xml": CVAT.format("", track)})
    assert truths == {}
    assert any("for video" in why for why in told)


def _region(kind, **value):
    size = {"original_width": 64, "original_height": 48}
    return {"id": kind, "from_name": "f", "to_name": "image", "type": kind, "value": value} | size


HEN = _region("polygonlabels", points=POINTS, polygonlabels=["hen"])


def _tasks(*annotations):
    first = {"id": 1, "data": {"image": "a.png"}, "annotations": list(annotations)}
    return [first, {"id": 2, "data": {"image": "b.png"}, "annotations": [{"id": 9, "result": [HEN]}]}]


@pytest.mark.parametrize(
    "annotations",
    [
        [{"id": 1, "result": [_region("keypointlabels", x=50, y=50, width=1, keypointlabels=["hen"])]}],
        [{"id": 1, "result": [_region("choices", choices=["hen"])]}],
        [{"id": 1, "result": [_region("taxonomy", taxonomy=[["bird", "hen"]])]}],
        [{"id": 1, "result": [HEN]}, {"id": 2, "result": []}],
    ],
    ids=["a point", "a choice", "a taxonomy", "another annotator"],
)
def test_what_names_a_class_in_label_studio_keeps_it_from_being_absent(tmp_path, annotations):
    truths, _ = _truths(tmp_path, _pictures(x=_tasks(*annotations)))
    assert truths == {"a.png": {}, "b.png": {"hen": "present"}}


@pytest.mark.parametrize(
    "annotations",
    [
        [{"id": 1, "result": []}],
        [{"id": 1, "result": [_region("choices", choices=["daylight"])]}],
        [{"id": 1, "result": [HEN]}, {"id": 2, "result": [], "ground_truth": True}],
    ],
    ids=["nothing", "a choice of another kind", "ground truth"],
)
def test_what_says_nothing_of_a_class_leaves_the_vouching_as_it_is(tmp_path, annotations):
    assert _truths(tmp_path, _pictures(x=_tasks(*annotations)))[0]["a.png"] == {"hen": "absent"}


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "tiff", "jpg"])
def test_check_reads_pictures_of_every_kind(tmp_path, ending):
    document = _coco([_outline()])
    document["images"] = [document["images"][0] | {"file_name": f"a.{ending}"}]
    report = files_checked(str(tree(tmp_path, {f"a.{ending}": None, "x.json": document})), wish=Wish())
    assert ([row["classes"] for row in report.documents], report.problems) == ([{"hen": 1}], [])
