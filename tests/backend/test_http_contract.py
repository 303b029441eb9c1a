"""Every call of docs/contracts.md against a real server process."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from mlbackend.model.masks import decode_wire_mask
from tests.backend.conftest import Served
from tests.backend.support import iou

ABSENT = "0" * 64


def click(server: Served, **changes: Any) -> dict[str, Any]:
    body = {"model_version": "tiny", "image": server.pictures[0], "points": [{"x": 40, "y": 50, "label": 1}]}
    return server.client.post("/v1/click", body | changes)


def refused(server: Served, path: str, status: int, **body: Any) -> dict[str, Any]:
    return server.client.post(path, body, expected=status)["error"]


def test_health_says_up(server: Served) -> None:
    assert server.client.get("/health") == {"status": "UP", "model_class": "Sam3"}


def test_ready_names_default_and_versions(server: Served) -> None:
    answer = server.client.get("/ready")
    assert answer["state"] == "ready"
    assert answer["default_version"] == "tiny"
    assert {"tiny", "other"} <= set(answer["versions"])


def test_versions_list_hashes_and_taught_words(server: Served) -> None:
    rows = {row["version"]: row for row in server.client.get("/v1/versions")["versions"]}
    assert rows["tiny"]["loaded"] is True
    assert rows["tiny"]["taught_words"] == ["chicken"]
    assert len(rows["tiny"]["backbone_hash"]) == 64


def test_one_positive_point_answers_three_candidates_best_first(server: Served) -> None:
    answer = click(server)
    scores = [candidate["score"] for candidate in answer["candidates"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert answer["mask"] == answer["candidates"][0]["mask"]
    assert answer["score"] == scores[0]


def test_click_answer_says_version_image_and_stages(server: Served) -> None:
    answer = click(server)
    assert (answer["model_version"], answer["image"]) == ("tiny", server.pictures[0])
    assert set(answer["stages_ms"]) == {"wait", "encode", "decode", "mask", "total"}


def test_second_click_on_an_image_is_a_hit(server: Served) -> None:
    click(server)
    assert click(server)["embedding"] == "hit"


def test_mask_has_the_images_size_and_a_tight_crop(server: Served) -> None:
    wire = click(server, image=server.pictures[1])["mask"]
    mask = decode_wire_mask(wire)
    x, y, w, h = wire["crop_xywh"]
    assert mask.shape == (211, 97)
    assert mask[y].any()
    assert mask[y + h - 1].any()
    assert mask[:, x].any()
    assert mask[:, x + w - 1].any()


@pytest.mark.parametrize(
    "changes",
    [
        {"points": [{"x": 40, "y": 50, "label": 1}, {"x": 10, "y": 10, "label": 0}]},
        {"points": [], "box": [10, 10, 90, 80]},
        {"points": [{"x": 40, "y": 50, "label": 0}], "box": [10, 10, 90, 80]},
    ],
    ids=["two points", "box", "box and negative point"],
)
def test_further_prompts_answer_a_single_mask(server: Served, changes: dict[str, Any]) -> None:
    assert len(click(server, **changes)["candidates"]) == 1


def test_earlier_mask_takes_part_in_the_prompt(server: Served) -> None:
    first = click(server)
    plain = click(server, points=[{"x": 40, "y": 50, "label": 1}, {"x": 9, "y": 9, "label": 0}])
    refined = click(
        server, points=[{"x": 40, "y": 50, "label": 1}, {"x": 9, "y": 9, "label": 0}], earlier_mask_id=first["mask_id"]
    )
    assert refined["score"] != plain["score"]


def test_each_candidate_can_be_refined_from(server: Served) -> None:
    candidates = click(server)["candidates"]
    refined = [click(server, earlier_mask_id=candidate["mask_id"]) for candidate in candidates]
    assert len({answer["mask"]["counts"] for answer in refined}) > 1


def test_earlier_mask_of_another_image_is_refused(server: Served) -> None:
    mask_id = click(server)["mask_id"]
    error = refused(
        server,
        "/v1/click",
        400,
        model_version="tiny",
        image=server.pictures[1],
        points=[{"x": 4, "y": 5, "label": 1}],
        earlier_mask_id=mask_id,
    )
    assert error["fields"].keys() == {"earlier_mask_id"}


def test_predict_answers_in_the_order_of_images(server: Served) -> None:
    images = [server.pictures[2], server.pictures[0]]
    answer = server.client.post("/v1/predict", {"model_version": "tiny", "images": images, "concepts": ["chicken"]})
    assert [result["image"] for result in answer["results"]] == images


def test_predict_reports_presence_score_stability_and_taught(server: Served) -> None:
    answer = server.client.post(
        "/v1/predict",
        {
            "model_version": "tiny",
            "images": [server.pictures[0]],
            "concepts": ["chicken", "moon"],
            "score_threshold": 0.0,
        },
    )
    result = answer["results"][0]
    assert [concept["taught"] for concept in result["concepts"]] == [True, False]
    assert (result["width"], result["height"]) == (160, 120)
    for concept in result["concepts"]:
        assert 0 <= concept["presence"] <= 1
        assert len(concept["instances"]) == 20
        for instance in concept["instances"]:
            assert instance["score"] == pytest.approx(instance["query_score"] * concept["presence"], abs=1e-5)
            assert 0 <= instance["stability"] <= 1


def test_hesitant_presence_does_not_hide_instances(server: Served) -> None:
    def instances(threshold: float) -> list[dict[str, Any]]:
        body = {
            "model_version": "tiny",
            "images": [server.pictures[0]],
            "concepts": ["chicken"],
            "score_threshold": threshold,
        }
        return server.client.post("/v1/predict", body)["results"][0]["concepts"][0]["instances"]

    everything = instances(0.0)
    threshold = everything[9]["query_score"] - 1e-4
    assert all(instance["query_score"] >= threshold for instance in instances(threshold))
    assert len(instances(threshold)) >= 10


def test_feature_is_fp16_and_as_wide_as_the_vit(server: Served) -> None:
    answer = server.client.post(
        "/v1/predict", {"model_version": "tiny", "images": [server.pictures[0]], "concepts": ["chicken"]}
    )
    feature = np.frombuffer(base64.b64decode(answer["results"][0]["feature"]), dtype=np.float16)
    assert feature.shape == (128,)
    assert np.isfinite(feature).all()


def test_absent_image_is_an_error_in_its_own_row(server: Served) -> None:
    answer = server.client.post(
        "/v1/predict", {"model_version": "tiny", "images": [ABSENT, server.pictures[0]], "concepts": ["chicken"]}
    )
    assert answer["results"][0]["error"]["code"] == "absent_image"
    assert answer["results"][1]["concepts"]


def test_warm_makes_the_first_click_a_hit(server: Served) -> None:
    from tests.backend.support import store_picture

    picture = store_picture(server.var, 41)
    assert server.client.post("/v1/warm", {"model_version": "tiny", "images": [picture]}, expected=202) == {"queued": 1}
    # The warm request encodes in the background; a click that arrives meanwhile shares that encode.
    click(server, image=picture)
    assert click(server, image=picture)["embedding"] == "hit"


def test_load_answers_the_versions_row(server: Served) -> None:
    row = server.client.post("/v1/versions/other/load", {})
    assert (row["version"], row["loaded"], row["device"], row["taught_words"]) == ("other", True, "cpu", None)


def test_versions_answer_differently(server: Served) -> None:
    assert click(server, model_version="other")["score"] != click(server)["score"]


def test_metrics_show_latency_by_stage_and_hit_rate(server: Served) -> None:
    click(server)
    text = server.client.get("/metrics")
    assert 'roost_request_ms_count{call="click",stage="decode"}' in text
    assert 'roost_embedding_lookups_total{call="click",result="hit"}' in text
    assert "roost_queue_depth_clicks 0" in text
    assert "roost_gpu_memory_bytes " in text


@pytest.mark.parametrize(
    ("path", "changes", "status", "code", "field"),
    [
        ("/v1/click", {"model_version": "absent"}, 404, "unknown_version", "model_version"),
        ("/v1/click", {"model_version": "../demo"}, 400, "bad_request", "model_version"),
        ("/v1/click", {"image": ABSENT}, 404, "absent_image", "image"),
        ("/v1/click", {"image": "../../etc/passwd"}, 400, "bad_request", "image"),
        ("/v1/click", {"points": [{"x": 160.5, "y": 5, "label": 1}]}, 422, "outside_image", "points[0]"),
        ("/v1/click", {"points": [{"x": 5, "y": -1, "label": 1}]}, 422, "outside_image", "points[0]"),
        ("/v1/click", {"points": [], "box": [0, 0, 10, 121]}, 422, "outside_image", "box"),
        ("/v1/click", {"points": [], "box": [10, 0, 10, 20]}, 400, "bad_request", "box"),
        ("/v1/click", {"points": []}, 400, "bad_request", "points"),
        ("/v1/click", {"points": [{"x": "5", "y": 5, "label": 1}]}, 400, "bad_request", "points[0].x"),
        ("/v1/click", {"points": [{"x": 5, "y": 5, "label": 2}]}, 400, "bad_request", "points[0].label"),
        ("/v1/click", {"points": [{"x": 5, "y": 5, "label": True}]}, 400, "bad_request", "points[0].label"),
        ("/v1/click", {"points": [{"x": 5, "y": 5, "label": 1}] * 65}, 400, "bad_request", "points"),
        ("/v1/click", {"earlier_mask_id": "unheard-of"}, 400, "bad_request", "earlier_mask_id"),
        ("/v1/click", {"sequence": -1}, 400, "bad_request", "sequence"),
        ("/v1/predict", {"images": []}, 400, "bad_request", "images"),
        ("/v1/predict", {"images": [ABSENT] * 17}, 400, "bad_request", "images"),
        ("/v1/predict", {"concepts": [""]}, 400, "bad_request", "concepts[0]"),
        ("/v1/predict", {"concepts": ["a" * 33]}, 400, "too_many_tokens", "concepts"),
        ("/v1/predict", {"score_threshold": 1.5}, 400, "bad_request", "score_threshold"),
        ("/v1/warm", {"images": [ABSENT] * 65}, 400, "bad_request", "images"),
    ],
)
def test_bad_requests_are_refused_by_name(
    server: Served, path: str, changes: dict[str, Any], status: int, code: str, field: str
) -> None:
    body: dict[str, Any] = {"model_version": "tiny"}
    if path == "/v1/click":
        body |= {"image": server.pictures[0], "points": [{"x": 4, "y": 5, "label": 1}]}
    else:
        body |= {"images": [server.pictures[0]], "concepts": ["chicken"]}
    error = refused(server, path, status, **(body | changes))
    assert error["code"] == code
    assert field in error["fields"]


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b"",
        b'{"model_version": NaN}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_bodies_that_are_no_json_objects_are_refused(server: Served, body: bytes) -> None:
    status, answer, _ = server.client.call("/v1/click", raw=body)
    assert (status, answer["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_coordinates_that_are_not_finite_are_refused_by_name(server: Served, number: str) -> None:
    raw = b'{"model_version": "tiny", "image": "%s", "points": [{"x": %s, "y": 1, "label": 1}]}' % (
        server.pictures[0].encode(),
        number.encode(),
    )
    status, answer, _ = server.client.call("/v1/click", raw=raw)
    assert status == 400
    assert answer["error"]["fields"] == {"points[0].x": "points[0].x must be a finite number."}


def test_oversized_body_is_refused(server: Served) -> None:
    assert server.client.call("/v1/click", raw=b" " * (1024 * 1024 + 1))[0] == 413


def test_unknown_path_and_wrong_method_have_the_error_shape(server: Served) -> None:
    assert server.client.call("/v1/nothing")[1]["error"]["code"] == "not_found"
    assert server.client.call("/v1/click")[1]["error"]["code"] == "method_not_allowed"


def boxes(server: Served, *boxed: dict[str, Any]) -> list[dict[str, Any]]:
    return server.client.post("/v1/boxes", {"model_version": "tiny", "boxed": list(boxed)})["results"]


BOX, OTHER_BOX = [10, 10, 90, 80], [60, 30, 150, 110]


def test_boxes_answer_the_masks_that_clicks_with_these_boxes_draw(server: Served) -> None:
    images = [server.pictures[2], server.pictures[0]]
    many = [[5 * n, 4 * n, 5 * n + 60, 4 * n + 40] for n in range(1, 19)]  # more than a decoder call takes
    results = boxes(server, {"image": images[0], "boxes": [OTHER_BOX]}, {"image": images[1], "boxes": many})
    assert [(row["image"], len(row["masks"])) for row in results] == [(images[0], 1), (images[1], 18)]
    assert (results[0]["width"], results[0]["height"]) == (160, 120)
    assert set(results[0]["stages_ms"]) == {"wait", "encode", "decode", "mask", "total"}
    asked = [(images[0], OTHER_BOX, results[0]["masks"][0]), (images[1], many[17], results[1]["masks"][17])]
    for image, box, found in asked:
        alone = click(server, image=image, points=[], box=box)
        assert found["score"] == pytest.approx(alone["score"], abs=1e-4)
        assert iou(decode_wire_mask(found["mask"]), decode_wire_mask(alone["mask"])) > 0.999


def test_image_whose_boxes_can_not_be_drawn_fails_alone(server: Served) -> None:
    good, absent = {"image": server.pictures[0], "boxes": [BOX]}, {"image": ABSENT, "boxes": [BOX]}
    outside = {"image": server.pictures[1], "boxes": [[0, 0, 20, 20], [0, 0, 98, 20]]}  # it is 97 px wide
    results = boxes(server, absent, good, outside)
    assert [row.get("error", {}).get("code") for row in results] == ["absent_image", None, "outside_image"]
    assert results[2]["error"]["fields"].keys() == {"boxes[1]"}


@pytest.mark.parametrize(
    ("boxed", "named"),
    [
        (None, "boxed"),
        ([], "boxed"),
        ([{"image": "a" * 64, "boxes": [BOX]}] * 17, "boxed"),
        (["a" * 64], "boxed[0]"),
        ([{"image": "A" * 64, "boxes": [BOX]}], "boxed[0].image"),
        ([{"image": "a" * 64, "boxes": []}], "boxed[0].boxes"),
        ([{"image": "a" * 64, "boxes": [BOX] * 65}], "boxed[0].boxes"),
        ([{"image": "a" * 64, "boxes": [BOX, [1, 2, 3]]}], "boxed[0].boxes[1]"),
        ([{"image": "a" * 64, "boxes": [[9, 2, 3, 4]]}], "boxed[0].boxes[0]"),
        ([{"image": "a" * 64, "boxes": [[1, 2, "3", 4]]}], "boxed[0].boxes[0]"),
    ],
)
def test_boxes_that_can_not_be_asked_are_named(server: Served, boxed: Any, named: str) -> None:
    error = refused(server, "/v1/boxes", 400, model_version="tiny", boxed=boxed)
    assert error["fields"].keys() == {named}
    assert error["message"].startswith(f"{named} must ")
