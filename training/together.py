"""What a run's processes have to agree on before they learn: that they are of one run, and where it goes on."""

from __future__ import annotations

from training.checkpoints import Checkpoint, CheckpointFolder
from training.errors import Refused, TrainingError
from training.ranks import Ranks


def check_alike(ranks: Ranks, fingerprint: str) -> None:
    """Refused where they differ: several machines may have several snapshots and models under one path."""
    if ranks.meet("the beginning", fingerprint) != fingerprint:
        raise Refused(
            "unlike_processes",
            f"Process {ranks.rank} has another config, snapshot or base model than process 0: give all the same.",
        )


def newest_checkpoint(ranks: Ranks, folder: CheckpointFolder) -> Checkpoint | None:
    """That which the first process finds, for all."""
    found = folder.newest() if ranks.is_first else None
    name = ranks.meet("the checkpoint to go on from", found.path.stem if found else None)
    if name is None or ranks.is_first:
        return found
    found = folder.named(name)
    if found is None:
        raise TrainingError(
            "lost_checkpoint",
            f"Process {ranks.rank} cannot read {name} in {folder.folder}: all of a run's processes need the same "
            "--out.",
        )
    return found
