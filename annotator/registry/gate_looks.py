"""What a holdout has been through: decisions that chose by it, and training that has read some of its scenes."""

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
    """RoostError where the gate would refuse the holdout once training is done, for it shows too few scenes; pictures
    that training reads, and others of their scenes, don't judge."""
    scene_of = _scenes(snapshot)
    read = {scene_of.get(picture, picture) for picture in _read(trained_on or snapshot)}
    scenes: dict[str, set[str]] = {truth: set() for truth in (Pair.Truth.PRESENT, Pair.Truth.ABSENT)}
    left_out: set[str] = set()
    for line in lines_of(snapshot_folder(snapshot)):
        if line["split"] == Image.Split.HOLDOUT and line["is_exhaustive"]:
            picture: str = line["file_name"]
            scene = scene_of.get(picture, picture)
            (left_out if scene in read else scenes[line["verdict"]]).add(scene)
    asked, (present, absent) = snapshot.project.gate_min_scenes, map(len, scenes.values())
    if min(present, absent) < asked:
        words = f" {len(left_out)} more are in train or val as well and can't judge." if left_out else ""
        raise RoostError(
            f"The holdout shows {present} scenes with the thing and {absent} without; the gate's policy asks for "
            f"{asked} of each.{words} Have more of the holdout labelled and approved (a button on the training page "
            "queues some at random), or ask for fewer in the settings.",
            code="too_few_scenes",
        )


def _read(snapshot: Snapshot) -> set[str]:
    lines = lines_of(snapshot_folder(snapshot))
    return {line["file_name"] for line in lines if line["split"] in (Image.Split.TRAIN, Image.Split.VAL)}


def _scenes(snapshot: Snapshot) -> dict[str, str]:
    rows = snapshot.project.images.exclude(scene="").values_list("sha256", "scene")
    return dict(rows.iterator(chunk_size=10_000))
