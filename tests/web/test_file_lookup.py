"""Which file a document means: cases c07, c08 and c14 of the inputs that go wrong, and their kinds."""

import time
import unicodedata

import pytest

from annotator.data.file_lookup import FileLookup, FileUnclearError

NFC = unicodedata.normalize("NFC", "Hühner-Café.jpg")
NFD = unicodedata.normalize("NFD", NFC)


@pytest.mark.parametrize(
    ("names", "document", "written", "expected"),
    [
        (["train/a.jpg", "val/a.jpg"], "val/_annotations.coco.json", "a.jpg", "val/a.jpg"),
        (
            ["images/cam1/0001.jpg", "images/cam2/0001.jpg"],
            "annotations/i.json",
            "cam2/0001.jpg",
            "images/cam2/0001.jpg",
        ),
        (["data/cam1/a.jpg", "data/cam2/a.jpg"], "ann/i.json", "/home/somebody/data/cam1/a.jpg", "data/cam1/a.jpg"),
        (["imgs/a 1.jpg", "imgs/b.jpg"], "a.json", "C:\\Users\\somebody\\farm\\a 1.jpg", "imgs/a 1.jpg"),
        (["imgs/a 1.jpg", "imgs/b.jpg"], "a.json", "images\\b.jpg", "imgs/b.jpg"),
        (["pics/My hen (1).jpg"], "labels/My hen (1).json", "..\\pics\\My hen (1).jpg", "pics/My hen (1).jpg"),
        (["a.jpg", "old/a.jpg"], "ann/a.json", "../a.jpg", "a.jpg"),
        ([NFD], "a.json", NFC, NFD),
        ([NFC], "a.json", NFD, NFC),
        ([NFC, NFD], "a.json", NFD, NFD),
        (["IMG_1.jpg"], "a.json", "IMG_1.JPG", "IMG_1.jpg"),
        (["IMG_2.jpeg"], "a.json", "img_2.jpeg", "IMG_2.jpeg"),
        (["x/img.jpg", "x/IMG.jpg"], "x/a.json", "IMG.jpg", "x/IMG.jpg"),
        (["x/img.jpg", "x/IMG.jpg"], "ann/a.json", "IMG.jpg", "x/IMG.jpg"),
        (["Cam1/a.jpg", "cam2/a.jpg"], "ann/a.json", "cam1/A.JPG", "Cam1/a.jpg"),
        (["My hen.jpg"], "a.json", "My%20hen.jpg", "My hen.jpg"),
        (["My hen.jpg", "My%20hen.jpg"], "a.json", "My%20hen.jpg", "My%20hen.jpg"),
        (["imgs/H hen.jpg", "old/H hen.jpg"], "a.json", "/data/local-files/?d=set/imgs/H%20hen.jpg", "imgs/H hen.jpg"),
        (["imgs/a.jpg", "b/a.jpg"], "a.json", "/label-studio/data/local-files/?d=imgs%2Fa.jpg&x=1", "imgs/a.jpg"),
        (["a.jpg"], "export.json", "/data/upload/1/a.jpg", "a.jpg"),
        (["a.jpg"], "export.json", "/data/upload/12/1f2e3d4c-a.jpg", "a.jpg"),
        (["a.jpg", "1f2e3d4c-a.jpg"], "export.json", "/data/upload/12/1f2e3d4c-a.jpg", "1f2e3d4c-a.jpg"),
        (["cam/H%C3%BC.jpg", "cam/Hü.jpg"], "a.json", "http://example.org/x/cam/H%C3%BC.jpg?w=1", "cam/Hü.jpg"),
        (["cam/a#1.jpg"], "a.json", "s3://bucket/set/cam/a#1.jpg", "cam/a#1.jpg"),
        (["site1/images/1.jpg", "site2/images/1.jpg"], "site2/annotations/a.json", "1.jpg", "site2/images/1.jpg"),
        (["1.jpg", "old/1.jpg"], "ann/a.json", "1.jpg", "1.jpg"),
        (["./a.jpg"], "a.json", "a.jpg", "./a.jpg"),
        (["imgs\\a.jpg"], "a.json", "imgs/a.jpg", "imgs\\a.jpg"),
    ],
)
def test_the_file_that_is_meant_is_found(names, document, written, expected):
    assert FileLookup(names).find(document, written) == expected


@pytest.mark.parametrize(
    ("names", "written", "says"),
    [
        (["a.jpg"], "b.jpg", "No such file"),
        (["a.jpg"], "", "No such file"),
        (["a.jpg"], "../", "No such file"),
        (["xa.jpg"], "a.jpg", "No such file"),
        ([], "a.jpg", "No such file"),
        (["Masse.jpg"], "Maße.jpg", "No such file"),
        (["cam1/a.jpg", "cam2/a.jpg"], "a.jpg", "Several files are called so (cam1/a.jpg, cam2/a.jpg)"),
        (["x/cam1/a.jpg", "y/cam1/a.jpg", "cam1.jpg"], "/other/cam1/a.jpg", "Several files"),
        (["IMG.jpg", "img.JPG"], "Img.Jpg", "Several files"),
        ([f"{n}/a.jpg" for n in range(5)], "a.jpg", "and 2 more"),
    ],
)
def test_no_file_or_several_are_refused_in_words(names, written, says):
    with pytest.raises(FileUnclearError) as refused:
        FileLookup(names).find("a.json", written)
    assert says in str(refused.value)


def test_a_picture_that_was_left_out_does_not_lend_its_objects_to_a_namesake():
    lookup = FileLookup(["images/cam2/0001.jpg"])
    lost, found = lookup.find_all([("ann/i.json", "cam1/0001.jpg"), ("ann/i.json", "cam2/0001.jpg")])
    assert found == "images/cam2/0001.jpg"
    assert isinstance(lost, FileUnclearError)
    assert lost.contested == "images/cam2/0001.jpg"


def test_of_two_names_that_fit_one_file_equally_neither_has_it():
    answers = FileLookup(["0001.jpg"]).find_all([("ann/i.json", "/x/0001.jpg"), ("ann/i.json", "/y/0001.jpg")])
    assert [answer.contested for answer in answers if isinstance(answer, FileUnclearError)] == ["0001.jpg"] * 2


def test_rows_that_name_one_file_alike_all_have_it():
    wanted = [("a.json", "x/a.jpg"), ("a.json", "./x/a.jpg"), ("a.json", "x\\A.JPG"), ("b.json", "x/a.jpg")]
    assert FileLookup(["x/a.jpg"]).find_all(wanted) == ["x/a.jpg"] * 4


def test_a_name_that_is_not_there_leaves_the_others():
    lost, found = FileLookup(["a.jpg"]).find_all([("i.json", "b.jpg"), ("i.json", "a.jpg")])
    assert (isinstance(lost, FileUnclearError), found) == (True, "a.jpg")
    assert lost.contested == ""


def test_a_hundred_thousand_namesakes_are_found_in_seconds():
    names = [f"set/images/cam{number}/frame.jpg" for number in range(100_000)]
    started = time.process_time()
    lookup = FileLookup(names)
    found = lookup.find_all([("set/ann/a.json", f"D:\\data\\CAM{number}\\frame.jpg") for number in range(100_000)])
    assert found == names
    assert time.process_time() - started < 30  # 6 s here; a look at every namesake would take an hour
