"""python -m training {train,evaluate,gate} --config FILE --out DIR [key=value ...]
python -m training sweep --config FILE --out DIR [--yes] [key=value ...]
python -m training plan [--config FILE] [--card 24GB] [--out DIR] [key=value ...]

`recipe=sam3_heads` among the arguments sets all that a file and the other arguments leave open (training/conf/recipe).

`plan` says in words what a training run needs on the card here, or on one of the size named, and writes DIR/plan.json;
its exit status is 2 where the run does not fit. `sweep` trains every config of a grid or a list, one after another, and
judges them against one another.

Events are JSON lines on stdout, the log goes to stderr. Exit status: 0 after `done`; 2 for a config, snapshot or model
that is refused; 143 after SIGTERM (a train run has checkpointed); 1 otherwise. Contract: docs/contracts.md, "Trainer".
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolbox.processes import restart_with_jemalloc
from training.errors import Refused, TrainingError
from training.events import Events, open_events
from training.launch import StopRequest, settle, watch

log = logging.getLogger("training")


def main() -> int:
    asked = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    restart_with_jemalloc()
    stop = StopRequest()
    watch(stop)
    return _perform(asked, stop)


def perform(arguments: list[str]) -> int:
    """A verb in this process, whose signals and parent are left alone; the exit status."""
    return _perform(_parser().parse_args(arguments), StopRequest())


def _perform(asked: argparse.Namespace, stop: StopRequest) -> int:
    if asked.verb == "plan" and not asked.out:
        return _guarded(lambda: _plan(asked), Events([sys.stdout]))
    with open_events(Path(asked.out)) as events:
        return _guarded(lambda: _run(asked, events, stop), events)


def _run(asked: argparse.Namespace, events: Events, stop: StopRequest) -> None:
    if asked.verb == "plan":
        events("done", manifest=_plan(asked))
        return
    if asked.verb == "sweep":
        events("done", manifest=str(_sweep(asked, events, stop).resolve()))
        return
    from training.config import read_config

    config = read_config(asked.verb, asked.config, asked.overrides)
    settle(threads=config.threads, nice=config.nice)
    from training import runs
    from training.tracking.following import followed

    verb: Callable[..., Path] = {"train": runs.run_train, "evaluate": runs.run_evaluate, "gate": runs.run_gate}[
        asked.verb
    ]
    with followed(config, asked.verb, Path(asked.out), events):
        manifest = verb(config, Path(asked.out), events, stop)
    events("done", manifest=str(manifest.resolve()))


def _sweep(asked: argparse.Namespace, events: Events, stop: StopRequest) -> Path:
    from training.sweep.asked import read_sweep
    from training.sweep.work import run_sweep

    sweep = read_sweep(asked.config, asked.overrides, are_many_meant=asked.yes)
    return run_sweep(sweep, Path(asked.out).resolve(), events, stop)


def _plan(asked: argparse.Namespace) -> dict[str, Any]:
    from training.config import read_config

    config = read_config("plan", asked.config, asked.overrides)
    settle(threads=config.threads, nice=config.nice)
    from training import plan, runs

    made = runs.run_plan(config, asked.card, Path(asked.out) if asked.out else None)
    if config.base_model is None:
        print("For SAM 3 at its own size; base_model=FOLDER plans for another model.")
    print(plan.as_words(made))
    if made.fits is False:
        raise Refused("too_little_memory", made.sentence, settings=made.change)
    return made.plain()


def _guarded(work: Callable[[], Any], events: Events) -> int:
    """How the work ended, as an event and an exit status; a traceback goes to the log, a sentence to the event."""
    try:
        work()
        return 0
    except TrainingError as error:
        more = {"settings": error.settings} if error.settings else {}
        events("error", code=error.code, message=error.message, **more)
        return error.exit_status
    except MemoryError:
        events("error", code="out_of_memory", message="Memory ran out: lower batch_pairs or memory_mib.")
    except Exception as error:
        log.exception("failed")
        events("error", **_describe(error))
    return 1


def _describe(error: Exception) -> dict[str, Any]:
    if isinstance(error, OSError) and error.errno == 28:
        return {"code": "disk_full", "message": "The disk is full: free some space and run the same command again."}
    return {"code": "failed", "message": f"{type(error).__name__}: {error}. The log has the details."}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    texts = {
        "train": "retrain the heads on a snapshot's train split",
        "evaluate": "judge a model on a split with CGF1",
        "gate": "may the challenger replace the champion?",
        "sweep": "train every config of a grid or a list and judge them against one another",
        "plan": "what a training run needs of a card's memory, and what to change where it does not fit",
    }
    for verb, text in texts.items():
        command = verbs.add_parser(verb, help=text, description=text)
        command.add_argument("--config", help="JSON or YAML; keys as in training/conf/train.yaml")
        is_needed = verb != "plan"
        command.add_argument("--out", required=is_needed, help="folder for results; a train run resumes in it")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="override keys of the config")
    verbs.choices["sweep"].add_argument("--yes", action="store_true", help="also where it is a great many runs")
    verbs.choices["plan"].add_argument("--card", help="the memory of a card that is not here: 24GB, 22.5GiB")
    return parser


if __name__ == "__main__":
    sys.exit(main())
