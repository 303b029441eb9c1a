"""What a holdout has been through: decisions that chose by it, and training that must not have read it."""

from collections import Counter
from typing import Any

from annotator.common.errors import RoostError
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshot_reading import judging_pairs, lines_of
from annotator.models import GateDecision, Image, Snapshot


def looks_at(*, snapshot: Snapshot) -> float:
    """The decisions so far, each by the share of this snapshot's holdout pairs that it had read."""
    today = judging_pairs(snapshot_folder(snapshot))
    decisions = GateDecision.objects.filter(project=snapshot.project)
    times = Counter(decisions.values_list("snapshot", flat=True))
    others = Snapshot.objects.select_related("project").filter(pk__in=times)
    return round(sum(times[other.pk] * _share_read(today, other) for other in others), 6)


def _share_read(today: set[tuple[str, str]], other: Snapshot) -> float:
    try:
        before = judging_pairs(snapshot_folder(other))
    except RoostError:  # its files are gone: nobody can tell which pairs it had read
        return 1.0
    return len(today & before) / len(today) if today else 1.0


def check_unread(*, snapshot: Snapshot, trained_on: Snapshot | None = None) -> None:
    """RoostError where pictures of the holdout, or others of their scenes, are trained on or choose the checkpoint.

    The gate refuses it as well, but only after the training.
    """
    scene_of = _scenes(snapshot)
    read = _images(trained_on or snapshot, Image.Split.TRAIN, Image.Split.VAL)
    read_scenes = {scene_of.get(sha256, sha256) for sha256 in read}
    judging = _images(snapshot, Image.Split.HOLDOUT)
    leaks = sorted(sha256 for sha256 in judging if scene_of.get(sha256, sha256) in read_scenes)
    if leaks:
        raise RoostError(
            f"{len(leaks)} of the holdout's pictures show the scene of one in train or val (the first: "
            f"{leaks[0][:12]}…): training would read what is to judge it. The page «Splits» moves each scene wholly "
            "into one split; then start again.",
            code="holdout_was_read",
        )


def _images(snapshot: Snapshot, *splits: str) -> set[str]:
    return {line["file_name"] for line in lines_of(snapshot_folder(snapshot)) if line["split"] in splits}


def _scenes(snapshot: Snapshot) -> dict[str, Any]:
    rows = snapshot.project.images.exclude(scene="").values_list("sha256", "scene")
    return dict(rows.iterator(chunk_size=10_000))
