"""python -m training {train,evaluate,gate} --config FILE --out DIR [key=value ...]
python -m training sweep --config FILE --out DIR [--yes] [key=value ...]
python -m training plan [--config FILE] [--card 24GB] [--out DIR] [key=value ...]
python -m training report --config FILE --out DIR [key=value ...]

`recipe=sam3_heads` among the arguments sets all that a file and the other arguments leave open (training/conf/recipe).

`plan` says in words what a training run needs on the card here, or on one of the size named, and writes DIR/plan.json;
its exit status is 2 where the run does not fit. `sweep` trains every config of a grid or a list, one after another, and
judges them against one another. `report` makes a page, plots and a gallery of the faults from an evaluation's folder;
its keys stand in training/reporting/asked.py.

Events are JSON lines on stdout, the log goes to stderr. Exit status: 0 after `done`; 2 for a config, snapshot or model
that is refused; 143 after SIGTERM (a train run has checkpointed); 1 otherwise. Contract: docs/contracts.md, "Trainer".
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolbox.processes import restart_with_jemalloc
from training.errors import Refused, TrainingError
from training.events import Events, open_events, silent
from training.launch import StopRequest, settle, watch
from training.occupancy import occupied

if TYPE_CHECKING:
    from training.config import Config
    from training.ranks import Joined

log = logging.getLogger("training")


def main() -> int:
    asked = _parser().parse_args()
    who = f"%(process)d of {os.environ['RANK']} " if _is_one_of_several() else ""
    words = f"%(asctime)s {who}%(name)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=words)
    restart_with_jemalloc()
    ranks = _join() if _is_one_of_several() else None
    stop = StopRequest()
    watch(stop)
    return _perform(asked, stop) if ranks is None else _perform_together(asked, stop, ranks)


def _is_one_of_several() -> bool:
    """As torchrun says in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def _join() -> Joined:
    """Before signals are watched for: until the processes know each other torchrun can end them."""
    from training.ranks import Joined

    return Joined()


def _perform_together(asked: argparse.Namespace, stop: StopRequest, ranks: Joined) -> int:
    ranks.line.out = Path(asked.out) if asked.out else None
    if ranks.is_first:
        status = _perform(asked, stop, ranks)
    else:
        status = _guarded(lambda: _run(asked, silent(), stop, ranks), ranks.events(silent()))
    ranks.leave(status)
    return status


def perform(arguments: list[str]) -> int:
    """A verb in this process, whose signals and parent are left alone; the exit status."""
    return _perform(_parser().parse_args(arguments), StopRequest())


def _launch(asked: argparse.Namespace, events: Events, stop: StopRequest) -> int:
    """As a job of the cluster, which writes to the folder; here its events are passed on."""
    from training.cluster import Job, command_of, run_on_cluster
    from training.config import read_config

    config = read_config(asked.verb, asked.config, asked.overrides)
    command = command_of(asked.verb, config, Path(asked.out), asked.config, asked.overrides)
    return run_on_cluster(Job(command, config.launch_requeue), config, Path(asked.out), stop, _wait_told(events))


def _wait_told(events: Events) -> Callable[[str], None]:
    return lambda words: events("warning", code="waits_for_folder", message=words)


def _perform(asked: argparse.Namespace, stop: StopRequest, ranks: Joined | None = None) -> int:
    aloud = Events([sys.stdout])
    if getattr(asked, "use_cluster", None):
        return _guarded(lambda: _launch(asked, aloud, stop), aloud)
    if asked.verb == "plan" and not asked.out:
        return _guarded(lambda: _plan(asked), aloud)
    wrap = ranks.events if ranks else _as_is
    try:
        with occupied(Path(asked.out), _wait_told(aloud)) as lock, open_events(Path(asked.out)) as own:
            events = wrap(own)
            if asked.verb == "sweep":
                return _guarded(lambda: _sweep(asked, events, stop, lock), events)
            if asked.verb == "report":
                return _guarded(lambda: _report(asked, events, stop), events)
            return _guarded(lambda: _run(asked, events, stop, ranks), events)
    except Refused as error:  # the folder is another's, and so is its list of events
        return _told(error, wrap(aloud))


def _as_is(events: Events) -> Events:
    return events


def _run(asked: argparse.Namespace, events: Events, stop: StopRequest, ranks: Joined | None = None) -> None:
    if ranks is not None:
        if asked.verb != "train":
            raise Refused("too_many_processes", f"`{asked.verb}` is one process's work: start it without torchrun.")
        ranks.meet("the run's folder")  # nobody touches what is in it before the first has it for this run
    if asked.verb == "plan":
        events("done", manifest=_plan(asked))
        return
    from training.config import read_config

    config = read_config(asked.verb, asked.config, asked.overrides)
    if asked.use_cluster is None and config.launch_on != "here":
        log.warning("this runs here: --use-cluster 1 sends it to %s", config.launch_on)
    settle(threads=config.threads, nice=config.nice)
    from training import runs
    from training.tracking.following import followed

    if ranks is not None:
        _train_together(config, Path(asked.out), events, stop, ranks)
        return
    verb: Callable[..., Path] = {"train": runs.run_train, "evaluate": runs.run_evaluate, "gate": runs.run_gate}[
        asked.verb
    ]
    with followed(config, asked.verb, Path(asked.out), events):
        manifest = verb(config, Path(asked.out), events, stop)
    events("done", manifest=str(manifest.resolve()))


def _train_together(config: Config, out: Path, events: Events, stop: StopRequest, ranks: Joined) -> None:
    """The first process alone is followed by trackers, as it alone tells and writes."""
    from training.runs import run_train
    from training.tracking.following import followed

    ranks.connect(config)
    with followed(config, "train", out, events) if ranks.is_first else nullcontext():
        manifest = run_train(config, out, events, stop, ranks)
    events("done", manifest=str(manifest.resolve()))


def _sweep(asked: argparse.Namespace, events: Events, stop: StopRequest, lock: int) -> None:
    from training.sweep.asked import read_sweep
    from training.sweep.work import run_sweep

    sweep = read_sweep(asked.config, asked.overrides, are_many_meant=asked.yes)
    events("done", manifest=str(run_sweep(sweep, Path(asked.out).resolve(), events, stop, lock)))


def _report(asked: argparse.Namespace, events: Events, stop: StopRequest) -> None:
    from training.reporting.asked import read_report
    from training.reporting.work import run_report

    events("done", manifest=run_report(read_report(asked.config, asked.overrides), Path(asked.out), events, stop))


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
        status = work()
        return status if isinstance(status, int) else 0
    except TrainingError as error:
        return _told(error, events)
    except MemoryError:
        events("error", code="out_of_memory", message="Memory ran out: lower batch_pairs or memory_mib.")
    except Exception as error:
        log.exception("failed")
        events("error", **_describe(error))
    return 1


def _told(error: TrainingError, events: Events) -> int:
    more = {"settings": error.settings} if error.settings else {}
    events("error", code=error.code, message=error.message, **more)
    return error.exit_status


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
        "report": "an evaluation as a page, as JSON, and as plots for print",
    }
    for verb, text in texts.items():
        command = verbs.add_parser(verb, help=text, description=text)
        command.add_argument("--config", help="JSON or YAML; keys as in training/conf/train.yaml")
        is_needed = verb != "plan"
        command.add_argument("--out", required=is_needed, help="folder for results; a train run resumes in it")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="override keys of the config")
        if verb in ("plan", "sweep", "report"):
            continue
        words = "1: as a job of the cluster that the config's launch_* keys name (launch=slurm); 0: here"
        command.add_argument("--use-cluster", type=int, choices=(0, 1), help=words)
    verbs.choices["sweep"].add_argument("--yes", action="store_true", help="also where it is a great many runs")
    verbs.choices["plan"].add_argument("--card", help="the memory of a card that is not here: 24GB, 22.5GiB")
    return parser


if __name__ == "__main__":
    sys.exit(main())
