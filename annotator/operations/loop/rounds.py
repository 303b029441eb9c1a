"""Goes round the loop through the public API, the oracle in the person's place, and keeps the figures of each round."""

import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from annotator.common.masks import decode_rle, encode_mask, rle_to_wire, wire_to_rle

from .client import RoostClient
from .oracle import CLICK_SECONDS, Drawn, Point, settle_object

Truth = dict[tuple[str, str], list[dict]]  # (image SHA-256, concept) -> COCO RLE of every instance, none for a negative
Say = Callable[[str], None]


class Loop:
    """One project seen by its three people."""

    def __init__(
        self, *, slug: str, annotator: RoostClient, reviewer: RoostClient, admin: RoostClient, truth: Truth, say: Say
    ) -> None:
        self.project = f"projects/{slug}"
        self.annotator, self.reviewer, self.admin = annotator, reviewer, admin
        self.truth, self.say = truth, say

    def round(self, *, number: int, budget: int, config: dict) -> dict[str, Any]:
        """Mine, label `budget` pairs, approve, retrain, judge, promote what passed. Fractions; times in seconds."""
        started = time.monotonic()
        mined = self._mine()
        labelled = self.label(budget)
        self.approve()
        judged = self._retrain(config)
        return {"round": number, **mined, **labelled, **judged, "wall_seconds": round(time.monotonic() - started, 1)}

    def _mine(self) -> dict[str, Any]:
        job = self._finish(self.admin.post(f"{self.project}/mine"))
        return {"mined": job["report"]["scored"], "queued": job["report"]["queued"]}

    def _finish(self, job: dict) -> dict:
        told: set[str] = set()

        def tell(row: dict) -> None:
            """One line for each phase: a message without its numbers."""
            phase = re.sub(r"\d+", "", row["message"])
            if phase and phase not in told:
                told.add(phase)
                self.say(f"  {row['kind']}: {row['message']}")

        return self.admin.wait_for_job(job["id"], tell)

    def label(self, budget: int) -> dict[str, Any]:
        """Settle `budget` pairs in the queue's order and tell what that would have cost a person."""
        origins: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        seconds, positives, labelled = 0.0, 0, 0
        while labelled < budget and (task := self._claim()):
            drawn = self._settle(task)
            self._submit(task, drawn)
            labelled += 1
            positives += bool(drawn)
            seconds += sum(one.seconds for one in drawn) + CLICK_SECONDS
            origins.update(one.origin for one in drawn)
            reasons[task["lane"]] += 1
        self.say(f"  labelled {labelled} pairs in {seconds:.0f} simulated seconds")
        return {
            "labelled": labelled,
            "positives": positives,
            "annotator_seconds": seconds,
            "masks_by_origin": dict(origins),
            "labelled_by_lane": dict(reasons),
        }

    def _claim(self) -> dict | None:
        """The next task; an empty queue is filled once more, since a batch may be smaller than the budget."""
        claim = f"{self.project}/claim"
        if task := self.annotator.post(claim, {"after": None}):
            return task
        self._finish(self.admin.post(f"{self.project}/mine"))
        return self.annotator.post(claim, {"after": None})

    def _settle(self, task: dict) -> list[Drawn]:
        key = task["image"]["sha256"], task["concept"]["name"]
        return [settle_object(decode_rle(rle), self._clicker(task)) for rle in self.truth[key]]

    def _clicker(self, task: dict) -> Callable[[Sequence[Point]], np.ndarray]:
        """A click model over the API: all points so far, and the mask of the click before as a prompt."""
        size = {"height_px": task["image"]["height"], "width_px": task["image"]["width"]}
        earlier: dict[str, str | None] = {"id": None}

        def click(points: Sequence[Point]) -> np.ndarray:
            body = {"points": [asdict(point) for point in points], "box": None, "earlier_mask_id": earlier["id"]}
            answer = self.annotator.post(f"tasks/{task['id']}/click", body | {"sequence": time.time_ns() // 1_000_000})
            earlier["id"] = answer["mask_id"]
            return decode_rle(wire_to_rle(answer["mask"], **size))

        return click

    def _submit(self, task: dict, drawn: list[Drawn]) -> None:
        instances = [
            {
                "mask": rle_to_wire(encode_mask(one.mask_HW)),
                "origin": one.origin,
                "prompts": [asdict(point) for point in one.points],
                "model_version": task["serving_version"] if one.origin == "click" else None,
                "score": None,
                "edited": False,
            }
            for one in drawn
        ]
        self.annotator.post(
            f"tasks/{task['id']}/submit",
            {
                "attempt": task["attempt"],
                "client_uuid": str(uuid.uuid4()),
                "verdict": "present" if drawn else "absent",
                "instances": instances,
                "rejected_proposals": [],
                "active_seconds": sum(one.seconds for one in drawn) + CLICK_SECONDS,
            },
        )

    def approve(self) -> None:
        for waiting in self.reviewer.get(f"{self.project}/reviews/"):
            self.reviewer.post(
                f"annotations/{waiting['id']}/review", {"decision": "approve", "comment": "", "pin": None}
            )

    def _retrain(self, config: dict) -> dict[str, Any]:
        job = self._finish(self.admin.post(f"{self.project}/retrain", {"config": config}))
        report = job["report"]
        promoted = report["gate"]["decision"] == "promote"
        if promoted:
            self.admin.post(f"{self.project}/promote", {"version": report["version"]})
        before, challenger = report["gate"]["champion"], report["gate"]["challenger"]
        return {
            "version": report["version"],
            "decision": report["gate"]["decision"],
            "reasons": report["gate"]["reasons"],
            "before": before,
            "challenger": challenger,
            "after": challenger if promoted else before,
        }
