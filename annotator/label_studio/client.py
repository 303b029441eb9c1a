"""The one door to a Label Studio: its API through the SDK, its images by HTTP. Every failure is a LabelStudioError.

Address and token come from the settings and go nowhere else: the token is sent to ROOST_LS_URL alone. What comes back
is another machine's word: shapes are checked here, contents by whoever uses them.
"""

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import httpx
from django.conf import settings

from annotator.common.checked_http import ForbiddenAddress, Network, TooMuch, checked_client
from annotator.common.errors import RoostError
from toolbox.studio_images import REDIRECTS, AddressRefused, AddressRules, Target, Token, redirect_hint

PAGE_TASKS = 50
ANSWER_BYTES = 512 * 1024**2  # a task travels with every mask that was ever drawn on it
DETAIL_LENGTH = 300
MASK_CONTROLS = ("brushlabels", "polygonlabels")
NOT_SET = "Label Studio is not set up here: start Roost with ROOST_LS_URL and ROOST_LS_TOKEN (docs/label-studio.md)."
REFUSED = {
    "no_base": NOT_SET,
    "invalid": "its address is not valid",
    "not_plain": "only plain http and https addresses are fetched; let Label Studio presign or proxy it",
    "unlisted": "“{host}” is neither Label Studio's host nor among ROOST_LS_HOSTS",
    "downgrade": "it leads from https to http at “{host}”",
    "log_in": "Label Studio asks for a log-in; is ROOST_LS_TOKEN a token of it?",
}


class LabelStudioError(RoostError):
    """Label Studio is away or refuses; to be tried again."""

    code = "label_studio"
    http_status = 502


class LabelStudioUnknown(LabelStudioError):
    """There is no such thing in Label Studio, or this token may not see it."""

    code = "label_studio_unknown"


class LabelStudioBusy(LabelStudioError):
    """Away, overloaded or broken for now: the same question may be answered in a while."""


class LabelStudioImageError(RoostError):
    """A task's image can't be had; asking again at once is of no use."""

    code = "label_studio_image"


@dataclass(frozen=True)
class StudioProject:
    """`labels`: what its brush and polygon tools draw; `image_key`: the field of a task's data with the image."""

    number: int
    title: str
    made_at: datetime
    task_count: int
    image_key: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class StudioTask:
    """`annotations` are as Label Studio sent them, submitted and skipped ones; drafts are not among them."""

    number: int
    data: dict[str, Any]
    annotations: tuple[dict[str, Any], ...]


def is_set_up() -> bool:
    return bool(settings.LABEL_STUDIO_URL and settings.LABEL_STUDIO_TOKEN)


class LabelStudioClient:
    """One client serves one request or job."""

    def __init__(self) -> None:
        if not is_set_up():
            raise LabelStudioError(NOT_SET, code="label_studio_not_set_up", http_status=400)
        networks = _networks()
        self._http = checked_client(networks=networks, max_bytes=settings.LABEL_STUDIO_IMAGE_BYTES)
        self.sdk = asked(lambda: _sdk(checked_client(networks=networks, max_bytes=ANSWER_BYTES)))
        self._emails: dict[int, str] | None = None
        self._addresses = AddressRules(settings.LABEL_STUDIO_URL, settings.LABEL_STUDIO_HOSTS)
        self._token = Token(settings.LABEL_STUDIO_TOKEN, self._exchanged)

    def project(self, number: int) -> StudioProject:
        """LabelStudioUnknown when there is none; a RoostError says what its labelling interface lacks."""
        row = asked(lambda: self.sdk.projects.get(number))
        return project_read(row.dict())

    def task(self, number: int, *, project: int) -> StudioTask | None:
        """None when it is gone, or another project's."""
        try:
            row = asked(lambda: self.sdk.tasks.get(str(number))).dict()
        except LabelStudioUnknown:
            return None
        return _task(row) if row.get("project") == project else None

    def tasks_after(self, number: int, *, project: int) -> list[StudioTask]:
        """The next tasks by number, at most PAGE_TASKS; empty at the end."""
        query = query_after(number)
        page = asked(
            lambda: self.sdk.tasks.list(project=project, query=query, page=1, page_size=PAGE_TASKS, fields="all")
        )
        tasks = [_task(row.dict()) for row in page.items or ()]
        numbers = [task.number for task in tasks]
        if numbers != sorted(set(numbers)) or any(one <= number for one in numbers):
            raise LabelStudioError("Label Studio listed its tasks in another order than asked for.")
        return tasks

    def email(self, person: Any) -> str:
        """Of an annotation's `completed_by`, a number or a person; "" when it can't be told."""
        if isinstance(person, dict):
            return str(person.get("email") or "")
        if self._emails is None:
            rows = asked(self.sdk.users.list)
            self._emails = {row.id: str(row.email or "") for row in rows}
        return self._emails.get(person, "")

    def image(self, address: str) -> BytesIO:
        """The bytes behind a task's image; LabelStudioImageError with the reason.

        One redirect is followed, as Label Studio presigns the storage it leads to: where to is judged like any address.
        """
        target = self._target(address)
        answer = self._got(target)
        if answer.status_code in REDIRECTS and (location := answer.headers.get("Location")):
            target = self._redirected(target, location, answer.status_code)
            answer = self._got(target)
        if answer.status_code != 200:
            raise _image_refused(f"its server answered {answer.status_code}{redirect_hint(answer.status_code)}")
        return BytesIO(answer.content)

    def _redirected(self, target: Target, location: str, status: int) -> Target:
        try:
            return self._addresses.redirected(target, location)
        except AddressRefused as error:
            why = REFUSED[error.fault].format(host=error.host)
            raise _image_refused(f"its server answered {status}, a redirect that is not followed: {why}") from None

    def _got(self, target: Target) -> httpx.Response:
        headers = self._token.headers(target)
        try:
            return self._http.get(target.url, headers=headers)
        except (TooMuch, ForbiddenAddress) as error:
            raise _image_refused(f"{error}") from error
        except httpx.HTTPError as error:
            if target.is_studio:
                raise _away(error) from error
            raise _image_refused(f"its server can't be read ({type(error).__name__})") from error

    def _target(self, address: str) -> Target:
        try:
            return self._addresses.target(address)
        except AddressRefused as error:
            raise _image_refused(REFUSED[error.fault].format(host=error.host)) from None

    def _exchanged(self, token: str) -> str:
        return asked(lambda: self.sdk.tokens.refresh(refresh=token)).access


def query_after(number: int) -> str:
    """Of a listing: tasks by number, from the one after this on."""
    later = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": number}
    return json.dumps({"filters": {"conjunction": "and", "items": [later]}, "ordering": ["tasks:id"]})


def _sdk(client: httpx.Client) -> Any:
    """The SDK's generated part alone: its extensions would load pandas and OpenCV."""
    from label_studio_sdk.base_client import LabelStudioBase

    url, token = settings.LABEL_STUDIO_URL, settings.LABEL_STUDIO_TOKEN
    return LabelStudioBase(base_url=url, api_key=token, httpx_client=client, max_retries=1)


def asked(call: Callable[[], Any]) -> Any:
    """The SDK's failures as sentences."""
    from label_studio_sdk.core.api_error import ApiError

    try:
        return call()
    except ApiError as error:
        raise _refusal(error) from error
    except ForbiddenAddress as error:
        words = "ROOST_LS_URL leads to an address of a private network; name that network in ROOST_LS_NETWORKS."
        raise LabelStudioError(words) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _away(error) from error
    except (ValueError, TypeError, AttributeError) as error:  # the SDK builds its rows without looking at them
        raise LabelStudioError("ROOST_LS_URL answers, but not as a Label Studio does: is the address right?") from error


def _refusal(error: Any) -> LabelStudioError:
    """Of the SDK's ApiError; what it holds besides the status is another machine's word, and shown cut."""
    status = error.status_code
    if status == 404:
        return LabelStudioUnknown("Label Studio has no such project or task, or ROOST_LS_TOKEN may not see it.")
    if status in (401, 403):
        return LabelStudioError(f"Label Studio does not accept ROOST_LS_TOKEN ({status}): set a token that is valid.")
    if status == 429 or (status or 0) >= 500:
        wait = _seconds_asked(error.headers or {})
        return LabelStudioBusy(f"Label Studio answered {status}. It will be asked again.", retry_after_seconds=wait)
    if status in (400, 413, 422):
        return LabelStudioError(f"Label Studio refuses this ({status}): {_detail(error.body)}.", http_status=400)
    return LabelStudioError(f"Label Studio answered {status}{redirect_hint(status)}. It will be asked again.")


def _seconds_asked(headers: Mapping[str, str]) -> int | None:
    told = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return int(told) if told.isascii() and told.isdecimal() and len(told) < 6 else None


def _detail(body: Any) -> str:
    """Label Studio says what is wrong under `validation_errors`, or in `detail` alone."""
    told = (body.get("validation_errors") or body.get("detail")) if isinstance(body, dict) else None
    words = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False) if told else "it does not say why"
    return words.rstrip(". ")[:DETAIL_LENGTH]


def _away(error: Exception) -> LabelStudioError:
    words = f"Label Studio can't be reached ({type(error).__name__}): does it run, and is ROOST_LS_URL right?"
    return LabelStudioBusy(words, http_status=503)


def _image_refused(reason: str) -> LabelStudioImageError:
    return LabelStudioImageError(f"Its image can't be fetched: {reason}.")


def _networks() -> list[Network]:
    try:
        return [ipaddress.ip_network(text) for text in settings.LABEL_STUDIO_NETWORKS]
    except ValueError as error:
        raise LabelStudioError(f"ROOST_LS_NETWORKS: {error}.") from error


def project_read(row: dict[str, Any]) -> StudioProject:
    """Label Studio parses its own labelling interface; here is looked for what can be pulled."""
    controls = row.get("parsed_label_config")
    drawing = [one for one in _controls(controls) if str(one.get("type")).lower() in MASK_CONTROLS]
    keys = {key for one in drawing for key in _image_keys(one)}
    labels = [label for one in drawing for label in one.get("labels") or () if isinstance(label, str)]
    if not labels or not keys:
        words = "Its labelling interface has no BrushLabels or PolygonLabels on an image: there would be no masks."
        raise RoostError(words, code="label_studio_no_masks")
    if len(keys) > 1:
        raise RoostError("Its tasks have more than one image; Roost reads one a task.", code="label_studio_images")
    number, made_at = row.get("id"), row.get("created_at")
    if type(number) is not int or not isinstance(made_at, datetime):
        raise LabelStudioError("Label Studio's answer names no project.")
    title = str(row.get("title") or "")[:200]
    told = row.get("task_number")
    tasks = told if type(told) is int else 0
    return StudioProject(number, title, made_at, tasks, keys.pop(), tuple(dict.fromkeys(labels)))


def _controls(value: Any) -> Iterator[dict[str, Any]]:
    yield from (one for one in (value.values() if isinstance(value, dict) else ()) if isinstance(one, dict))


def _image_keys(control: dict[str, Any]) -> list[str]:
    inputs = [one for one in control.get("inputs") or () if isinstance(one, dict) and one.get("type") == "Image"]
    return [one["value"] for one in inputs if isinstance(one.get("value"), str)]


def _task(row: dict[str, Any]) -> StudioTask:
    number, data, annotations = row.get("id"), row.get("data"), row.get("annotations") or []
    if type(number) is not int or not isinstance(data, dict) or not isinstance(annotations, list):
        raise LabelStudioError("Label Studio's answer is no task.")
    return StudioTask(number, data, tuple(one for one in annotations if isinstance(one, dict)))
