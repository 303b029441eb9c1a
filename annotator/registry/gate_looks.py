"""What a holdout has been through: decisions that chose by it, and training that must not have read it."""

from collections import Counter

from annotator.common.errors import RoostError
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshot_reading import judging_pairs, lines_of
from annotator.models import GateDecision, Image, Pair, Snapshot


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


def check_holdout(*, snapshot: Snapshot, trained_on: Snapshot | None = None) -> None:
    """RoostError where the gate would refuse the holdout once training is done: it shows too few scenes, or pictures
    of it, or others of their scenes, are trained on or choose the checkpoint."""
    scene_of = _scenes(snapshot)
    _check_scenes(snapshot, scene_of)
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


def _check_scenes(snapshot: Snapshot, scene_of: dict[str, str]) -> None:
    scenes: dict[str, set[str]] = {truth: set() for truth in (Pair.Truth.PRESENT, Pair.Truth.ABSENT)}
    for line in lines_of(snapshot_folder(snapshot)):
        if line["split"] == Image.Split.HOLDOUT and line["is_exhaustive"]:
            picture: str = line["file_name"]
            scenes[line["verdict"]].add(scene_of.get(picture, picture))
    asked, (present, absent) = snapshot.project.gate_min_scenes, map(len, scenes.values())
    if min(present, absent) < asked:
        raise RoostError(
            f"The holdout shows {present} scenes with the thing and {absent} without; the gate's policy asks for "
            f"{asked} of each. Have more of the holdout labelled and approved (a button on the training page queues "
            "some at random), or ask for fewer in the settings.",
            code="too_few_scenes",
        )


def _images(snapshot: Snapshot, *splits: str) -> set[str]:
    return {line["file_name"] for line in lines_of(snapshot_folder(snapshot)) if line["split"] in splits}


def _scenes(snapshot: Snapshot) -> dict[str, str]:
    rows = snapshot.project.images.exclude(scene="").values_list("sha256", "scene")
    return dict(rows.iterator(chunk_size=10_000))
