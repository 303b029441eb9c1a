"""What is written to a Label Studio: projects, pictures, tasks and what is said of them. Failures as in client.py.

Nothing here asks twice by itself. Whether a call whose answer was lost did its work is for the caller to look up: a
second try would make a second task.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from .client import LabelStudioClient, LabelStudioError, StudioProject, asked, project_read, query_after

ONCE: Any = {"max_retries": 0}
PAGE_ROWS = 1000


@dataclass(frozen=True)
class StudioRow:
    """A task without what was said of it: how many annotations and predictions it has."""

    number: int
    sha256: str
    annotations: int
    predictions: int


@dataclass(frozen=True)
class Interface:
    """A labelling interface: `config` as it is written, `controls` as Label Studio parsed it."""

    project: StudioProject
    config: str
    controls: Mapping[str, Mapping[str, Any]]


class WritingClient(LabelStudioClient):
    """One serves one request or job."""

    def project_make(self, *, title: str, config: str) -> StudioProject:
        row = asked(lambda: self.sdk.projects.create(title=title, label_config=config, request_options=ONCE))
        return project_read(row.dict())

    def interface(self, number: int) -> Interface:
        row = asked(lambda: self.sdk.projects.get(number)).dict()
        controls = row.get("parsed_label_config")
        return Interface(project_read(row), str(row.get("label_config") or ""), dict(controls or {}))

    def config_write(self, number: int, config: str) -> None:
        asked(lambda: self.sdk.projects.update(number, label_config=config, request_options=ONCE))

    def rows_after(self, number: int, *, project: int) -> list[StudioRow]:
        """The next tasks by number, at most PAGE_ROWS; empty at the end."""
        query = query_after(number)
        page = asked(
            lambda: self.sdk.tasks.list(project=project, query=query, page=1, page_size=PAGE_ROWS, fields="task_only")
        )
        rows = [_row(one.dict()) for one in page.items or ()]
        if any(one.number <= number for one in rows):
            raise LabelStudioError("Label Studio listed its tasks in another order than asked for.")
        return rows

    def uploads(self, project: int) -> dict[str, str]:
        """{what a file was called when it was uploaded: its address}, of all that this token uploaded."""
        found = asked(lambda: self.sdk.files.list(project, all_=True))
        return {_called(str(one.file)): self._address(str(one.file)) for one in found if one.file}

    def upload(self, project: int, files: Mapping[str, tuple[bytes, str]]) -> dict[str, str]:
        """`files`: {name: (bytes, media type)}, in one request; {name: address}."""
        parts = {f"file{place}": (name, *file) for place, (name, file) in enumerate(files.items())}
        path, query = f"api/projects/{project}/import", {"commit_to_project": "false"}
        answer = asked(lambda: self._posted(path, query, parts))
        ids = answer.get("file_upload_ids") if isinstance(answer, dict) else None
        if not isinstance(ids, list) or len(ids) != len(files):
            raise LabelStudioError("Label Studio took pictures in, but does not say which.")
        found = asked(lambda: self.sdk.files.list(project, ids=json.dumps(ids)))
        named = {_called(str(one.file)): self._address(str(one.file)) for one in found if one.file}
        if missing := set(files) - set(named):
            raise LabelStudioError(f"Label Studio took {len(missing)} pictures in, but does not say where they lie.")
        return named

    def _posted(self, path: str, query: dict[str, str], parts: Mapping[str, Any]) -> Any:
        """The SDK has no call for files, only the door through which its calls go."""
        from label_studio_sdk.core.api_error import ApiError

        door = self.sdk._client_wrapper.httpx_client
        answer = door.request(path, method="POST", params=query, files=parts, request_options=ONCE)
        if not answer.is_success:
            raise ApiError(status_code=answer.status_code, headers=dict(answer.headers), body=_json(answer.text))
        return answer.json()

    def tasks_add(self, project: int, tasks: Sequence[dict[str, Any]]) -> None:
        asked(lambda: self.sdk.projects.import_tasks(project, request=tasks, request_options=ONCE))

    def data_write(self, task: int, data: dict[str, Any]) -> None:
        asked(lambda: self.sdk.tasks.update(str(task), data=data, request_options=ONCE))

    def annotation_add(self, task: int, result: list[dict[str, Any]]) -> None:
        asked(lambda: self.sdk.annotations.create(task, result=result, request_options=ONCE))

    def annotation_write(self, annotation: int, result: list[dict[str, Any]]) -> None:
        asked(lambda: self.sdk.annotations.update(annotation, result=result, request_options=ONCE))

    def prediction_add(self, task: int, result: list[dict[str, Any]], *, version: str) -> None:
        asked(
            lambda: self.sdk.predictions.create(task=task, result=result, model_version=version, request_options=ONCE)
        )

    def prediction_write(self, prediction: int, result: list[dict[str, Any]]) -> None:
        asked(lambda: self.sdk.predictions.update(prediction, result=result, request_options=ONCE))

    def predictions(self, task: int) -> list[dict[str, Any]]:
        return [one.dict() for one in asked(lambda: self.sdk.predictions.list(task=task))]

    def _address(self, file: str) -> str:
        """As Label Studio writes it into tasks itself, below the path at which it lies."""
        return f"{urlsplit(settings.LABEL_STUDIO_URL).path.rstrip('/')}/data/{file}"


def _row(row: dict[str, Any]) -> StudioRow:
    number, data = row.get("id"), row.get("data")
    if type(number) is not int or not isinstance(data, dict):
        raise LabelStudioError("Label Studio's answer is no task.")
    said = [row.get(name) for name in ("total_annotations", "total_predictions")]
    annotations, predictions = (one if type(one) is int else 0 for one in said)
    return StudioRow(number, str(data.get("sha256") or ""), annotations, predictions)


def _called(file: str) -> str:
    """Label Studio puts eight signs and a hyphen before an upload's name."""
    return file.rsplit("/", 1)[-1].partition("-")[2]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
