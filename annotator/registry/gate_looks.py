"""What a holdout has been through: who chose a model by it, and training that has read some of its scenes."""

from collections import Counter

from annotator.common.errors import RoostError
from annotator.data.snapshot_folders import snapshot_folder
from annotator.data.snapshot_reading import judging_pairs, lines_of
from annotator.models import Evaluation, GateDecision, Image, ModelVersion, Pair, Project, Snapshot


def looks_at(*, snapshot: Snapshot, challenger: ModelVersion | None = None) -> float:
    """How often this snapshot's holdout pairs have been read by whoever chooses a model, each time by their share.

    A decision counts once, whoever was the challenger. So does each version that was evaluated by itself on the
    holdout: who has seen twenty such figures asks the gate about the best of twenty. The same version on the same pairs
    tells nothing new and counts once, by its decision where there is one; nor does the version to be judged count on
    the very pairs that judge it now, or the one that serves: it is no candidate.
    """
    today = judging_pairs(snapshot_folder(snapshot))
    decided, seen = _decisions(snapshot.project), _evaluations(snapshot.project, challenger)
    pks = {snapshot_id for snapshot_id, _ in (*decided, *seen)}
    others = Snapshot.objects.select_related("project").in_bulk(pks)
    pairs = {pk: _pairs(other) for pk, other in others.items()}
    looks = sum(_share_read(today, pairs[pk]) * times for (pk, _), times in decided.items())
    known = {(version, pairs[pk]) for pk, version in decided} | {(challenger.pk if challenger else 0, frozenset(today))}
    fresh = {(version, pairs[pk]) for pk, version in seen} - known
    return round(looks + sum(_share_read(today, before) for _, before in fresh), 6)


def _decisions(project: Project) -> Counter[tuple[int, int]]:
    """{(snapshot, challenger): how often it was decided there}."""
    return Counter(GateDecision.objects.filter(project=project).values_list("snapshot", "challenger"))


def _evaluations(project: Project, challenger: ModelVersion | None) -> set[tuple[int, int]]:
    """(snapshot, version) of what was asked for by itself on the holdout."""
    serving = Project.objects.values_list("serving_version", flat=True).get(pk=project.pk)
    rows = Evaluation.objects.filter(project=project, split=Image.Split.HOLDOUT, gate=None, job__isnull=False)
    return set(rows.exclude(version=serving).values_list("snapshot", "version"))


def _pairs(snapshot: Snapshot) -> frozenset[tuple[str, str]] | None:
    """None: its files are gone, nobody can tell which pairs were read."""
    try:
        return frozenset(judging_pairs(snapshot_folder(snapshot)))
    except RoostError:
        return None


def _share_read(today: set[tuple[str, str]], before: frozenset[tuple[str, str]] | None) -> float:
    if before is None or not today:
        return 1.0
    return len(today & before) / len(today)


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
