"""CVAT for images 1.1. Expected masks are counted by hand from its RLE, which runs along the rows."""

import numpy as np
import pytest

from annotator.common.masks import decode_rle, rle_area, rle_box_xyxy
from tests.web.format_trees import found_in, only, records_of, tree

META = (
    "<meta><task><labels>"
    "<label><name>hen</name><type>any</type></label><label><name>duck</name></label>"
    "<label><name>wing</name><parent>hen</parent></label><label><name>night</name><type>tag</type></label>"
    "</labels></task></meta>"
)
SQUARE = '<polygon label="hen" points="8.00,8.00;24.00,8.00;24.00,24.00;8.00,24.00" occluded="0" z_order="0"/>'


def _xml(inner, size='width="64" height="48"', more=""):
    image = f'<image id="0" name="cam 1/Hühner.jpg" {size} {more}>{inner}</image>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{META}{image}</annotations>'


def _read(tmp_path, inner, **more):
    document = only(found_in(tree(tmp_path, {"annotations.xml": _xml(inner, **more)})))
    records, why = records_of(document)
    return document, records["cam 1/Hühner.jpg"], why


def test_classes_are_those_of_the_task_also_where_nobody_used_them(tmp_path):
    document, _, why = _read(tmp_path, SQUARE)
    assert [one.name for one in document.categories] == ["hen", "duck"]
    assert (dict(document.counts), why) == ({"hen": 1}, [])


def test_image_without_objects_was_looked_at_and_its_subset_is_its_split(tmp_path):
    document, record, _ = _read(tmp_path, "", more='subset="Validation"')
    [listed] = document.images
    assert (listed.file_name, listed.split, listed.covered, listed.size_px) == (
        "cam 1/Hühner.jpg",
        "val",
        True,
        (64, 48),
    )
    assert record.instances == []


def test_boxes_are_coarse_and_turn_about_their_centre(tmp_path):
    box = '<box label="duck" xtl="8" ytl="8" xbr="24" ybr="16" {}/>'
    _, record, why = _read(tmp_path, SQUARE + box.format("") + box.format('rotation="90.00"'))
    assert why == []
    assert [(one.category, one.coarse, rle_box_xyxy(one.mask)) for one in record.instances] == [
        ("hen", False, (8, 8, 24, 24)),
        ("duck", True, (8, 8, 24, 16)),
        ("duck", True, (12, 4, 20, 20)),
    ]


def test_mask_is_read_along_its_rows(tmp_path):
    # 3 x 2 px at (10, 5): one of background, two of the object; then one of the object and two of background.
    _, record, why = _read(tmp_path, '<mask label="hen" rle="1, 3, 2" left="10" top="5" width="3" height="2"/>')
    rows, columns = np.nonzero(decode_rle(record.instances[0].mask))
    assert (sorted(zip(columns.tolist(), rows.tolist(), strict=True)), why) == ([(10, 6), (11, 5), (12, 5)], [])


def test_ellipse_is_an_area(tmp_path):
    _, record, _ = _read(tmp_path, '<ellipse label="hen" cx="30" cy="24" rx="16" ry="8"/>')
    assert rle_area(record.instances[0].mask) == pytest.approx(402, rel=0.03)


def test_polygons_of_one_group_are_one_object(tmp_path):
    away = SQUARE.replace("8.00,8.00;24.00,8.00;24.00,24.00;8.00,24.00", "30,8;46,8;46,24;30,24")
    grouped = [one.replace("occluded", 'group_id="1" occluded') for one in (SQUARE, away)]
    _, record, _ = _read(tmp_path, "".join(grouped) + away)
    assert [rle_area(one.mask) for one in record.instances] == [512, 256]


def test_tags_and_attributes_are_counted_and_left_out(tmp_path):
    inner = SQUARE.replace("/>", '><attribute name="age">3</attribute></polygon>') + '<tag label="night"></tag>'
    _, record, why = _read(tmp_path, inner)
    assert [sentence.split(" were")[0] for sentence in sorted(why)] == ["1 attributes", "1 tags of whole images"]
    assert len(record.instances) == 1


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ('<polyline label="hen" points="1,1;5,5"/>', "is no area"),
        ('<points label="hen" points="1,1"/>', "is no area"),
        ('<polygon label="hen" points="1,1;x,5;5,5"/>', "numbers"),
        ('<polygon label="hen" points="1,1;2;5,5"/>', "pairs"),
        ('<polygon label="hen" points="1,1;nan,5;5,5"/>', "finite"),
        ('<polygon label="hen"/>', "three points"),
        ('<box label="hen" xtl="1" ytl="1" xbr="5"/>', "as numbers"),
        ('<mask label="hen" rle="1, 3, 9" left="0" top="0" width="3" height="2"/>', "do not add up"),
        ('<mask label="hen" rle="-1, 5, 2" left="0" top="0" width="3" height="2"/>', "do not add up"),
        ('<mask label="hen" rle="1" left="0" top="0" width="99999" height="99999"/>', "larger than the picture"),
        ('<mask label="hen" rle="6" left="0" top="0" width="3" height="2"/>', "no pixel"),
        ('<mask label="hen" rle="0, 99999999999999999999" left="0" top="0" width="3" height="2"/>', "whole numbers"),
    ],
)
def test_shape_that_can_not_be_read_is_told_and_leaves_its_label_open(tmp_path, shape, why):
    _, record, told = _read(tmp_path, shape)
    assert [why in one for one in told] == [True]
    assert (record.instances, record.unsure) == ([], {"hen"})


def test_another_size_leaves_the_masks_out(tmp_path):
    _, record, [why] = _read(tmp_path, SQUARE, size='width="640" height="480"')
    assert "says 640 x 480" in why
    assert (record.instances, record.unsure) == ([], {"hen", "duck"})


@pytest.mark.parametrize(
    "trap",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>',
        '<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><annotations>&y;</annotations>',
        "<annotations><image name='a.jpg'>",
        "<annotations>" + "<x>" * 200_000,
    ],
    ids=["file", "bomb", "cut", "nested"],
)
def test_trap_or_damaged_file_is_refused(tmp_path, trap):
    found = found_in(tree(tmp_path, {"annotations.xml": trap}))
    assert found.documents == []
    assert len(found.refused) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<annotation><object><name>hen</name></object></annotation>", "Pascal VOC"),
        ('<annotations><track id="0" label="hen"></track></annotations>', "CVAT for video"),
        ("<svg></svg>", "no annotation file that is known"),
    ],
)
def test_xml_of_other_kinds_is_refused_by_name(tmp_path, text, why):
    found = found_in(tree(tmp_path, {"a.xml": text, "b.xml": text}))
    assert why in found.refused[0].why
