"""Many clients at once: nobody gets another's mask, and one image is encoded once."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mlbackend.model.masks import decode_wire_mask
from tests.backend.conftest import Served
from tests.backend.support import iou, store_picture

CLIENTS, PROMPTS = 8, 200


def prompt(server: Served, number: int) -> dict[str, Any]:
    """One of many different prompts: alternating images, and every shape of prompt."""
    rng = random.Random(number)
    image = number % 2
    width, height = ((160, 120), (97, 211))[image]

    def point(label: int) -> dict[str, Any]:
        return {"x": rng.uniform(0, width), "y": rng.uniform(0, height), "label": label}

    box = [
        rng.uniform(0, width / 3),
        rng.uniform(0, height / 3),
        rng.uniform(width / 2, width),
        rng.uniform(height / 2, height),
    ]
    shapes: list[dict[str, Any]] = [
        {"points": [point(1)]},
        {"points": [point(1), point(0)]},
        {"points": [], "box": box},
        {"points": [point(0)], "box": box},
    ]
    version = "tiny" if number % 5 else "other"
    return {
        "model_version": version,
        "image": server.pictures[image],
        "desk": f"desk {number}",
        "sequence": 1,
        **shapes[number % 4 if number % 3 else 0],
    }


def ask(server: Served, body: dict[str, Any]) -> dict[str, Any]:
    return server.client.post("/v1/click", body)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    masks: list[np.ndarray] = [decode_wire_mask(answer["mask"]) for answer in (first, second)]
    return (
        first["image"] == second["image"]
        and first["model_version"] == second["model_version"]
        and masks[0].shape == masks[1].shape
        and abs(first["score"] - second["score"]) < 1e-3
        and iou(*masks) > 0.995
    )


def test_two_hundred_interleaved_prompts_on_two_images_never_mix(server: Served) -> None:
    bodies = [prompt(server, number) for number in range(PROMPTS)]
    alone = [ask(server, body) for body in bodies]
    with ThreadPoolExecutor(CLIENTS) as clients:
        together = list(clients.map(lambda body: ask(server, body), bodies))
    assert [answer["image"] for answer in together] == [body["image"] for body in bodies]
    assert [i for i in range(PROMPTS) if not same(alone[i], together[i])] == []
    assert sum(same(alone[i], alone[i + 4]) for i in range(0, PROMPTS - 4)) < PROMPTS / 20, "prompts must differ"


def counter(server: Served, line: str) -> float:
    text = server.client.get("/metrics")
    return next((float(row.split()[-1]) for row in text.splitlines() if row.startswith(line)), 0.0)


def test_concurrent_requests_for_one_image_encode_once(server: Served) -> None:
    picture = store_picture(server.var, 77)
    encodes = 'roost_stage_ms_count{stage="encode"}'
    before = counter(server, encodes)
    body = {"model_version": "tiny", "image": picture, "points": [{"x": 9, "y": 9, "label": 1}]}
    mine = {"model_version": "tiny", "images": [picture], "concepts": ["chicken"]}
    with ThreadPoolExecutor(CLIENTS) as clients:
        clicks = [clients.submit(ask, server, body) for _ in range(6)]
        mining = clients.submit(server.client.post, "/v1/predict", mine)
        masks = {click.result()["mask"]["counts"] for click in clicks}
        mining.result()
    assert len(masks) == 1
    assert counter(server, encodes) - before == 1


def test_mining_and_clicks_share_one_server(server: Served) -> None:
    pictures = [store_picture(server.var, 500 + i) for i in range(8)]
    mine = {"model_version": "tiny", "images": pictures, "concepts": ["chicken", "duck"]}
    alone = {number: ask(server, prompt(server, number)) for number in range(20)}
    with ThreadPoolExecutor(4) as clients:
        mining = clients.submit(server.client.post, "/v1/predict", mine)
        together = {number: ask(server, prompt(server, number)) for number in range(20)}
        results = mining.result()["results"]
    assert [result["image"] for result in results] == pictures
    assert all(same(alone[number], together[number]) for number in alone)


def test_newer_click_of_a_desk_overtakes_the_older(server: Served) -> None:
    """The image is new, so the first click is still waiting for its encode when the second arrives."""
    picture = store_picture(server.var, 901, width=1500, height=1100)
    body = {"model_version": "tiny", "image": picture, "desk": "annotator 7", "points": [{"x": 9, "y": 9, "label": 1}]}
    with ThreadPoolExecutor(6) as clients:
        answers = list(
            clients.map(
                lambda sequence: server.client.call("/v1/click", body | {"sequence": sequence}),
                itertools.chain(range(1, 6), [6]),
            )
        )
    by_sequence = [status for status, _, _ in answers]
    assert by_sequence[-1] == 200
    assert set(by_sequence) <= {200, 409}
    assert {answer["error"]["code"] for status, answer, _ in answers if status == 409} <= {"overtaken"}


def test_older_sequence_arriving_late_is_refused(server: Served) -> None:
    body = {
        "model_version": "tiny",
        "image": server.pictures[0],
        "desk": "annotator 8",
        "points": [{"x": 9, "y": 9, "label": 1}],
    }
    assert server.client.call("/v1/click", body | {"sequence": 5})[0] == 200
    status, answer, _ = server.client.call("/v1/click", body | {"sequence": 4})
    assert (status, answer["error"]["code"]) == (409, "overtaken")
