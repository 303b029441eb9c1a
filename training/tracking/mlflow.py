"""MLflow: a server's address, or a SQLite file in the tracking folder. mlflow-skinny with sqlalchemy and alembic do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from toolbox.run_figures import Figures
from training.tracking.base import FAILED, FINISHED, STOPPED, Picture, RunFacts, Started

STATUS = {FINISHED: "FINISHED", STOPPED: "KILLED", FAILED: "FAILED"}
LONGEST_PARAM = 500
# A server that is not there is told within half a minute instead of MLflow's quarter of an hour; what is set, stays.
IMPATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowTracker:
    def __init__(self) -> None:
        for name, value in IMPATIENCE.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        self._new_client = MlflowClient
        self._client: Any = None
        self._run = ""

    def start(self, facts: RunFacts) -> Started:
        uri = facts.mlflow_uri or _local_uri(facts.folder)
        self._client = self._new_client(tracking_uri=uri)
        self._run = self._go_on(facts.resumed_id) or self._begin(facts)
        return Started(f"MLflow keeps this run at {uri}, experiment {facts.project}.", uri, self._run)

    def _go_on(self, run: str | None) -> str | None:
        """A run that was stopped goes on under its old id, unless somebody has deleted it."""
        if run is None:
            return None
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(run, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run

    def _begin(self, facts: RunFacts) -> str:
        from mlflow.entities import Param, RunTag

        run = self._client.create_run(self._experiment(facts), run_name=facts.name).info.run_id
        params = [Param(name, value[:LONGEST_PARAM]) for name, value in facts.params.items()]
        tags = [RunTag(name, value) for name, value in facts.lineage.items()]
        self._client.log_batch(run, params=params, tags=tags)
        return str(run)

    def _experiment(self, facts: RunFacts) -> str:
        found = self._client.get_experiment_by_name(facts.project)
        if found is not None:
            return str(found.experiment_id)
        place = None if facts.mlflow_uri else (facts.folder / "mlflow-artifacts" / facts.project).resolve().as_uri()
        return str(self._client.create_experiment(facts.project, artifact_location=place))

    def figures(self, figures: Figures) -> None:
        from mlflow.entities import Metric

        at_ms = int(1000 * figures.at_s)
        metrics = [Metric(name, value, at_ms, figures.step) for name, value in figures.values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def picture(self, picture: Picture) -> None:
        for path in (picture.rows, picture.png):
            if path is not None:
                self._client.log_artifact(self._run, str(path), "samples")

    def file(self, path: Path) -> None:
        self._client.log_artifact(self._run, str(path))

    def finish(self, how: str) -> None:
        self._client.set_terminated(self._run, STATUS[how])


def _local_uri(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(folder / 'mlflow.db').resolve()}"
