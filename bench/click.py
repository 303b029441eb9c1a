"""What does a click cost? `python -m bench.click [--model demo|full|FOLDER] [--clients 1 8 50]`

In one run: a click on a cached embedding against encoding the image again at every click, which is what Label Studio's
own SAM example does; over HTTP with several annotators at once; and with 0, 50 and 200 masks drawn on the image already
(a click sends prompts alone, so they must not matter). Ratios are printed, figures kept in bench/results/click-*.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from bench.serving import (
    SIDE_PX,
    environment,
    model_folder,
    percentiles,
    picture,
    server,
    store_picture,
    timed_ms,
    write_result,
)
from mlbackend.model.loader import LoadOptions, load_predictor
from mlbackend.model.logits import logits_to_wire
from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from mlbackend.store.embeddings import Embedding

WIDTH = HEIGHT = SIDE_PX


def random_point(rng: random.Random) -> Point:
    return Point(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), 1)


def cached_click(predictor: Predictor, embedding: Embedding, rng: random.Random) -> None:
    """Decoder and the best mask on the wire; candidates as well, as the service answers them."""
    for candidate in predictor.click([Prompt(embedding, (random_point(rng),))])[0]:
        logits_to_wire(candidate.mask_logits_hw, height_px=HEIGHT, width_px=WIDTH)


def click_with_encode(predictor: Predictor, image_HWC: np.ndarray, rng: random.Random) -> None:
    """The same, from pixels every time."""
    pixels = predictor.preprocess(image_HWC)
    tokens = predictor.encode(pixels[None], [(WIDTH, HEIGHT)])[0]
    cached_click(predictor, predictor.click_features(tokens), rng)


def in_process(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    predictor = load_predictor(folder, LoadOptions(device=options.device))
    if options.onnx:
        from mlbackend.model.onnx_decoder import attach_onnx_decoder

        attach_onnx_decoder(predictor, Path(tempfile.mkdtemp()), threads=options.threads)
    rng = random.Random(0)
    image = picture(1, options.model)
    tokens = predictor.encode(predictor.preprocess(image)[None], [(WIDTH, HEIGHT)])[0]
    embedding = predictor.click_features(tokens)
    cached_click(predictor, embedding, rng)
    cached, encoded, decoder = [], [], []
    for number in range(options.clicks):  # interleaved, so that a busy machine is unfair to neither
        cached.append(timed_ms(cached_click, predictor, embedding, rng))
        decoder.append(timed_ms(predictor.click, [Prompt(embedding, (random_point(rng),))]))
        if number % max(1, options.clicks // options.encodes) == 0:
            encoded.append(timed_ms(click_with_encode, predictor, image, rng))
    ratio = percentiles(encoded)["p50"] / percentiles(cached)["p50"]
    print(
        f"cached click {percentiles(cached)} ms, of which decoder {percentiles(decoder)['p50']} ms; "
        f"encoding at every click {percentiles(encoded)} ms: {ratio:.0f} times as long"
    )
    return {
        "cached_click_ms": percentiles(cached),
        "decoder_ms": percentiles(decoder),
        "encode_every_click_ms": percentiles(encoded),
        "ratio": round(ratio, 1),
        "device": str(predictor.device),
        "decoder": "onnxruntime" if predictor.decoder else "torch",
    }


class Annotator:
    """One keep-alive connection that clicks again and again."""

    def __init__(self, url: str, images: list[str], seed: int) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=900)
        self.images, self.rng, self.desk = images, random.Random(seed), f"desk {uuid.uuid4()}"
        self.times_ms: list[float] = []
        self.misses = 0

    def click(self, sequence: int) -> None:
        point = random_point(self.rng)
        body = {
            "model_version": "bench",
            "image": self.images[sequence % len(self.images)],
            "desk": self.desk,
            "sequence": sequence,
            "points": [{"x": point.x, "y": point.y, "label": 1}],
        }
        start = time.perf_counter()
        self.connection.request("POST", "/v1/click", json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        self.times_ms.append((time.perf_counter() - start) * 1e3)
        if answer.status != 200:
            raise RuntimeError(content)
        self.misses += content["embedding"] == "miss"

    def work(self, clicks: int, pause_s: float) -> None:
        for sequence in range(clicks):
            self.click(sequence)
            time.sleep(self.rng.uniform(0, 2 * pause_s))


def over_http(url: str, images: list[str], clients: int, clicks: int, pause_s: float) -> dict[str, Any]:
    annotators = [Annotator(url, images, seed) for seed in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda annotator: annotator.work(clicks, pause_s), annotators))
    times = [value for annotator in annotators for value in annotator.times_ms]
    row = {
        "clients": clients,
        "pause_s": pause_s,
        "clicks": len(times),
        "ms": percentiles(times),
        "misses": sum(annotator.misses for annotator in annotators),
    }
    print(f"HTTP, {clients} clients, a click every {pause_s} s each: {row['ms']} ms")
    return row


def masks_on_the_image(url: str, image: str, counts: tuple[int, ...], clicks: int) -> list[dict[str, Any]]:
    """Clicks while the image already holds masks: every earlier answer is one, and the server keeps it."""
    annotator, rows, drawn = Annotator(url, [image], 99), [], 0
    for count in counts:
        for sequence in range(drawn, count):
            annotator.click(sequence)
        annotator.times_ms.clear()
        for sequence in range(count, count + clicks):
            annotator.click(sequence)
        drawn = count + clicks
        rows.append({"masks": count, "ms": percentiles(annotator.times_ms)})
        print(f"with {count} masks on the image: {rows[-1]['ms']} ms")
    return rows


def while_mining(url: str, var: Path, images: list[str], clicks: int, model: str) -> dict[str, Any]:
    """One annotator clicks while mining reads new images as fast as it can."""
    fresh = [store_picture(var, 1_000 + seed, model) for seed in range(64)]
    annotator, mined = Annotator(url, images, 7), 0
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=900)
    with ThreadPoolExecutor(1) as pool:
        clicking = pool.submit(annotator.work, clicks, 0.1)
        while not clicking.done() and mined < len(fresh):
            body = {"model_version": "bench", "images": fresh[mined : mined + 4], "concepts": ["chicken", "duck"]}
            connection.request("POST", "/v1/predict", json.dumps(body), {"Content-Type": "application/json"})
            connection.getresponse().read()
            mined += 4
        clicking.result()
    row = {"mined_meanwhile": mined, "ms": percentiles(annotator.times_ms)}
    print(f"while {mined} images are mined: {row['ms']} ms")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clicks", type=int, default=200)
    parser.add_argument("--encodes", type=int, default=20, help="how often the image is encoded anew")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 50])
    parser.add_argument("--pause", type=float, default=0.5, help="mean seconds between one annotator's clicks")
    parser.add_argument("--onnx", action="store_true")
    parser.add_argument("--name", help="of the result file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder, name = model_folder(options.model), options.name or f"click-{Path(options.model).name}"
    result: dict[str, Any] = {
        "environment": environment(),
        "model": options.model,
        "in_process": in_process(folder, options),
    }
    write_result(name, result)  # after every part, so that what is cut off keeps the parts before
    if options.clients:
        with tempfile.TemporaryDirectory() as place:
            var = Path(place)
            images = [store_picture(var, seed, options.model) for seed in range(4)]
            with server(
                var,
                folder,
                ROOST_TORCH_THREADS=str(options.threads),
                ROOST_DEVICE=options.device,
                ROOST_ONNX_CLICK=str(int(options.onnx)),
            ) as url:
                over_http(url, images, 1, len(images) * 2, 0.0)  # fills the cache
                result["http"] = [
                    over_http(url, images, clients, max(10, options.clicks // clients), options.pause)
                    for clients in options.clients
                ]
                result["http"] += [over_http(url, images, 8, max(10, options.clicks // 8), 0.0)]
                write_result(name, result)
                result["while_mining"] = while_mining(url, var, images, 40, options.model)
                write_result(name, result)
                result["masks_on_the_image"] = masks_on_the_image(url, images[0], (0, 50, 200), 50)
                write_result(name, result)


if __name__ == "__main__":
    main()
