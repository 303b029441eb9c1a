"""How many hours of a person does a CGF1 cost? The queue against random order, and against clicking elsewhere.

    .venv/bin/python -m bench.annotator_hours --folder DIR [--worlds feed balanced] [--seeds 0 1 2 3 4] [--write]

Arms: `elsewhere` (random order, SAM clicks that encode the picture each time, no proposals, no queue), `random` (random
order at Roost's desk), `queue` (Roost's), `doubt` (the queue by the distance to 0.5 instead of gain per second),
`band`, `borderline`, `nearest` (one rule of the queue alone), `all` (every frame: the ceiling). Same oracle, trainer,
gate and promotion for all; what a person costs stands in bench/person.py, the worlds in bench/feed.py. --shuffled is
the negative control: answers lie at other frames, and nothing may be gained.

Resumable: a round that is finished is not done again, and seeds are finished one after the other. --only-report with
fewer --rounds tells the first rounds of stories that go on. --write keeps
bench/results/annotator_hours.json and .svg and puts the table into docs/training.md.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.annotator_hours_report import report
from bench.annotator_hours_story import ARMS, ELSEWHERE, QUEUE, RANDOM, STORY_OF, Plan, Story
from bench.feed import Sizes, world_of

WORLDS = ("feed", "balanced")


def run(folder: Path, world: str, arms: list[str], plan: Plan, sizes: Sizes) -> None:
    """One seed's stories in one world, those that are not finished."""
    home = folder / f"{world}-{plan.seed}"
    drawn, tokens = world_of(world, home, plan.seed, sizes), {}
    for arm in dict.fromkeys(STORY_OF.get(arm, arm) for arm in arms):
        story = Story(home / (f"{arm}-shuffled" if plan.is_shuffled else arm), drawn, arm, plan, tokens)
        story.go_on(lambda row: print(world, told(row), flush=True))


def told(row: dict[str, Any]) -> str:
    trained = " ".join(f"{name} {100 * one['cgf1']:.1f}" for name, one in row["trained"].items())
    before = " ".join(f"{name} {100 * one['cgf1']:.1f}" for name, one in row["before"].items())
    labels = f"{len(row['places'])} labels ({row['positives']} positive, {row['tail']} tail, {row['scenes']} scenes)"
    words = f"seed {row['seed']} {row['arm']} round {row['round']}: {labels}, CGF1 {before} -> {trained}"
    return f"{words}, {row['decision']} ({row['wall_seconds']:.0f} s, load {row['load']})"


def sizes_of(asked: argparse.Namespace) -> Sizes:
    return Sizes(**{one.name: getattr(asked, one.name) for one in fields(Sizes)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the stories; what is finished there is kept")
    parser.add_argument("--worlds", nargs="+", default=["feed"], choices=WORLDS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--arms", nargs="+", default=[QUEUE, RANDOM, ELSEWHERE], choices=ARMS)
    parser.add_argument("--budget", type=int, default=30, help="labels a round")
    for one in fields(Sizes):
        parser.add_argument(f"--{one.name}", type=int, default=one.default, help="Sizes in bench/feed.py")
    parser.add_argument("--shuffled", action="store_true", help="the negative control")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="key=value", help="of the trainer")
    parser.add_argument("--only-report", action="store_true", help="run nothing: tell what is finished")
    parser.add_argument("--write", action="store_true", help="keep figures, plot and docs table")
    asked = parser.parse_args()
    folder, sizes = asked.folder.resolve(), sizes_of(asked)
    for seed in [] if asked.only_report else asked.seeds:
        for world in asked.worlds:
            plan = Plan(seed, asked.rounds, asked.budget, asked.shuffled, tuple(asked.settings))
            run(folder, world, asked.arms, plan, sizes)
    report(folder, rounds=asked.rounds, write=asked.write)


if __name__ == "__main__":
    main()
