"""Keys of a trainer's config that say where a run is started: by themselves, since the table of all keys is long."""

from __future__ import annotations

from typing import Any

from toolbox.setting_kinds import choice, flag, number, path

ON: Any = choice(
    "here",
    "where --use-cluster 1 sends the run: slurm; local and debug try the same out in a process here; here: nowhere",
    *("here", "slurm", "local", "debug"),
    changes_result=False,
    heading="launch (launch=slurm and --use-cluster 1)",
)
PARTITION: Any = path(None, "of the cluster; null: its default, and so for account and qos")
ACCOUNT: Any = path(None, "who pays")
QOS: Any = path(None, "quality of service")
MINUTES: Any = number(240, "the job's time; it checkpoints two minutes before that", 5, 1_000_000, changes_result=False)
GPUS: Any = number(1, "of the job, each a process of a train run; 0: on CPUs", 0, 64, changes_result=False)
REQUEUE: Any = flag(
    True,
    "queued again, from the checkpoint, when its time is over or it makes room for another job",
    changes_result=False,
)
WAIT_MINUTES: Any = number(
    30.0,
    "several processes: so long they wait for one of them that does not come",
    0.01,
    10_000,
    changes_result=False,
)
