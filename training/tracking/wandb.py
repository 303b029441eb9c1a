"""Weights & Biases: offline, into the tracking folder; online when WANDB_API_KEY is set and the server answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from toolbox.run_figures import Figures
from training.tracking.base import FINISHED, Picture, RunFacts, Started

ANSWER_WITHIN_S = 20.0


class WandbTracker:
    def __init__(self) -> None:
        import wandb

        self._wandb = wandb
        self._run: Any = None

    def start(self, facts: RunFacts) -> Started:
        facts.folder.mkdir(parents=True, exist_ok=True)
        self._run, trouble = self._begin(facts)
        # Steps of our own: a resumed run tells some again, which W&B's counter would drop.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        return self._started(trouble)

    def _begin(self, facts: RunFacts) -> tuple[Any, str]:
        """The run, and why it is offline although there is a key: a server that is away costs its view, no figure."""
        if not os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") == "offline":
            return self._init(facts, "offline"), ""
        try:
            return self._init(facts, "online"), ""
        except self._wandb.Error as error:
            return self._init(facts, "offline"), f" Its server could not be used ({_first_line(error)})."

    def _init(self, facts: RunFacts, mode: Literal["online", "offline"]) -> Any:
        settings = self._wandb.Settings(
            console="off",
            disable_git=True,
            save_code=False,
            silent=True,
            init_timeout=ANSWER_WITHIN_S,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        return self._wandb.init(
            project=facts.project,
            name=facts.name,
            id=facts.resumed_id,
            resume="allow" if facts.resumed_id else None,
            dir=str(facts.folder.resolve()),
            config={**facts.params, "lineage": facts.lineage},
            mode=mode,
            reinit="create_new",
            settings=settings,
        )

    def _started(self, trouble: str) -> Started:
        folder = self._run.settings.sync_dir
        if self._run.settings._offline:
            words = (
                f"W&B keeps this run offline in {folder}.{trouble} `wandb sync {folder}` sends it when there is a key."
            )
            return Started(words, str(folder), self._run.id)
        return Started(f"W&B shows this run at {self._run.url}.", str(self._run.url), self._run.id)

    def figures(self, figures: Figures) -> None:
        self._run.log({"step": figures.step, **figures.values})

    def picture(self, picture: Picture) -> None:
        if picture.png is not None:
            self._run.log({"step": picture.step, "samples": self._wandb.Image(str(picture.png))})
        self.file(picture.rows)

    def file(self, path: Path) -> None:
        self._run.save(str(path), base_path=str(path.parent), policy="now")

    def finish(self, how: str) -> None:
        """W&B's own finish() comes back while its service still writes the run's file; teardown() waits for that."""
        self._run.summary["ended"] = how
        self._run.finish(exit_code=0 if how == FINISHED else 1)
        self._wandb.teardown()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
