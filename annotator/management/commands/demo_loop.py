"""Go round the loop without a browser, an oracle in the annotator's place: `manage.py demo_loop --rounds 2`."""

import json
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotator.operations.demo import FIRST_SEED
from annotator.operations.loop.client import ApiError, RoostClient
from annotator.operations.loop.rounds import Loop, Truth
from annotator.operations.loop.stack import Stack, StackError, private_stack

# More than a demo project draws, so that two seeds share no scene.
SCENES_A_SEED = 10_000


class Command(BaseCommand):
    help = "Goes round the loop on a private copy of the product (own ports, database and folder) and prints figures."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=1)
        parser.add_argument("--budget", type=int, default=60, help="pairs labelled a round")
        parser.add_argument("--seed", type=int, default=0, help="of the drawn world and of training")
        parser.add_argument("--steps", type=int, help="training steps, else the default")
        parser.add_argument("--json", action="store_true", help="figures as one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rounds"] < 1 or options["budget"] < 1:
            raise CommandError("--rounds and --budget must be at least 1.")
        # As Ctrl-C does, so that the private copy is stopped and removed.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            rounds = self._rounds(options)
        except (StackError, ApiError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"seed": options["seed"], "rounds": rounds}, indent=2))

    def _rounds(self, options: dict) -> list[dict]:
        first_scene = FIRST_SEED + SCENES_A_SEED * options["seed"]
        with private_stack(demo_arguments=["--seed", str(first_scene)]) as stack:
            loop = _loop(stack, self._say)
            config = {"seed": options["seed"]} | ({"steps": options["steps"]} if options["steps"] else {})
            figures = []
            for number in range(1, options["rounds"] + 1):
                self._say(f"round {number} of {options['rounds']}")
                figures.append(loop.round(number=number, budget=options["budget"], config=config))
                self._tell(figures[-1], quiet=options["json"])
            return figures

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _tell(self, row: dict, *, quiet: bool) -> None:
        if quiet:
            return
        write = self.stdout.write
        write(
            f"round {row['round']}: mined {row['mined']}, queued {row['queued']}, labelled {row['labelled']} "
            f"({row['positives']} positive) in {row['annotator_seconds']:.0f} s of a person's time"
        )
        for name in ("before", "challenger"):
            write(
                f"  {name:>10}: {_parts(row[name])}"
                + "".join(f" | {source}: {_parts(part)}" for source, part in sorted(row[name]["by_source"].items()))
            )
        write(f"  {row['decision']}: {' '.join(row['reasons'])}")


def _parts(metrics: dict) -> str:
    return f"CGF1 {100 * metrics['cgf1']:.1f} (pmF1 {100 * metrics['pmf1']:.1f}, IL_MCC {metrics['il_mcc']:.2f})"


def _loop(stack: Stack, say: Any) -> Loop:
    clients = {name: RoostClient(stack.url, stack.token(name)) for name in ("annotator", "reviewer", "admin")}
    return Loop(slug="barn", truth=read_truth(stack.var), say=say, **clients)


def read_truth(var: Path) -> Truth:
    """What the drawing knows of the demo's unlabelled scenes."""
    rows = json.loads((var / "demo_truth.json").read_text())
    return {
        (sha256, concept): instances for sha256, row in rows.items() for concept, instances in row["instances"].items()
    }
