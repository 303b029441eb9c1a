"""Ranking: how long choosing a batch takes among many candidates, and what memory it needs.

    .venv/bin/python -m bench.ranking [--candidates 100000] [--dimensions 256] [--write]

Two pools: features without any likeness (the worst case of the comparison), and frames of cameras that hardly move
(the worst case of the diversity step). Peak memory is the whole process's, the candidates themselves included.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from annotator.queue.acquisition import Candidate, Thresholds, choose

RESULTS = Path(__file__).resolve().parent / "results" / "ranking.json"
CAMERAS, CONCEPTS = 40, ("chicken", "duck", "feeder")
THRESHOLDS = Thresholds(presence_low=0.4, presence_high=0.6, stability_below=0.5, audit_share=0.1, batch=200)


def pool(kind: str, count: int, dimensions: int) -> list[Candidate]:
    rng = np.random.default_rng(0)
    cameras = rng.normal(size=(CAMERAS, dimensions)).astype(np.float32)
    noise = rng.standard_normal((count, dimensions), dtype=np.float32)
    frames = noise if kind == "unlike" else cameras[np.arange(count) % CAMERAS] + 0.1 * noise
    features = frames.astype(np.float16)
    scores = rng.random((count, 4))
    return [
        Candidate(
            n,
            CONCEPTS[n % 3],
            float(scores[n, 0]),
            0.5 + scores[n, 1] / 2,
            features[n],
            scores=tuple(scores[n].tolist()),
        )
        for n in range(count)
    ]


def measure(kind: str, count: int, dimensions: int) -> dict[str, float | str]:
    candidates = pool(kind, count, dimensions)
    before = time.process_time()
    started = time.perf_counter()
    chosen = choose(candidates, THRESHOLDS, seed=1)
    took, cpu = time.perf_counter() - started, time.process_time() - before
    assert len(chosen) == THRESHOLDS.batch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"pool": kind, "seconds": round(took, 2), "cpu_seconds": round(cpu, 2), "peak_mb": round(peak / 1e6)}


def apart(kind: str, count: int, dimensions: int) -> dict[str, float | str]:
    """In a process of its own: the peak of memory is never given back."""
    command = [sys.executable, "-m", "bench.ranking", "--pool", kind]
    command += ["--candidates", str(count), "--dimensions", str(dimensions)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--pool", choices=("unlike", "cameras"))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if asked.pool:
        print(json.dumps(measure(asked.pool, asked.candidates, asked.dimensions)))
        return
    rows = [apart(kind, asked.candidates, asked.dimensions) for kind in ("unlike", "cameras")]
    for row in rows:
        print(
            f"{row['pool']:>8}: {row['seconds']:.2f} s ({row['cpu_seconds']:.2f} s of CPU), {row['peak_mb']} MB at most"
        )
    if asked.write:
        hardware = f"{os.cpu_count()} CPU cores, load average {os.getloadavg()[0]:.0f}"
        found = {"hardware": hardware, "candidates": asked.candidates, "dimensions": asked.dimensions, "rows": rows}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
