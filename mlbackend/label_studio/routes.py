"""Routes under /ls/<model alias>/, as Label Studio 1.23 calls them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlbackend.errors import ApiError, bad_request, unknown_version
from mlbackend.label_studio.spool import TRAINING_EVENTS, read_aside
from mlbackend.server import wire
from mlbackend.server.http import get_core, json_behind, read_body, unless_gone
from mlbackend.serving.requests import VERSION

if TYPE_CHECKING:
    from mlbackend.serving.core import Core

MAX_BODY_BYTES = 64 * 1024 * 1024  # a task travels with every mask that was ever drawn on it
LARGE_EVENT_BYTES = 1024 * 1024
MODEL_CLASS = "Sam3"
_aside = ThreadPoolExecutor(1, "large-events")


def label_studio_routes() -> list[Route]:
    post = ["POST"]
    return [
        Route("/ls/{alias}", health),
        Route("/ls/{alias}/", health),
        Route("/ls/{alias}/health", health),
        Route("/ls/{alias}/setup", setup, methods=post),
        Route("/ls/{alias}/predict", predict, methods=post),
        Route("/ls/{alias}/webhook", webhook, methods=post),
        Route("/ls/{alias}/train", train, methods=post),
        Route("/ls/{alias}/versions", versions),
        Route("/ls/{alias}/validate", validate, methods=post),
    ]


async def health(request: Request) -> Response:
    return JSONResponse({"status": "UP", "model_class": MODEL_CLASS})


async def setup(request: Request) -> Response:
    """Instant, also while weights load: Label Studio gives up after three seconds. The body is not used or kept.

    A word that is no version is refused here, where Label Studio still shows its user what was wrong.
    """
    await read_body(request, MAX_BODY_BYTES)
    version = _version(request)
    core: Core | None = request.app.state.core
    if core is not None and version not in core.registry.names():
        raise unknown_version(version, core.registry.names())
    return JSONResponse({"model_version": version})


async def validate(request: Request) -> Response:
    await read_body(request, MAX_BODY_BYTES)
    return JSONResponse({})


async def versions(request: Request) -> Response:
    core: Core | None = request.app.state.core
    return JSONResponse({"versions": core.registry.names() if core is not None else [_version(request)]})


async def predict(request: Request) -> Response:
    body = wire.parse_json(await read_body(request, MAX_BODY_BYTES))
    core = get_core(request)
    version = _version(request)
    predictor = await core.registry.get(version)
    work = request.app.state.label_studio.predict(core.engine, predictor, version, body)
    return await json_behind(await unless_gone(request, work))


async def webhook(request: Request) -> Response:
    body = await read_body(request, MAX_BODY_BYTES)
    if len(body) <= LARGE_EVENT_BYTES:
        return await _spool(request, wire.parse_json(body))
    return await _spool(request, await asyncio.get_running_loop().run_in_executor(_aside, read_aside, body))


async def train(request: Request) -> Response:
    """The call of Label Studios without the webhook flag; their export of annotations is not read."""
    await read_body(request, 4 * MAX_BODY_BYTES)
    return await _spool(request, {"action": "START_TRAINING"})


async def _spool(request: Request, event: dict[str, Any]) -> Response:
    """Annotation events may come without a token, which Label Studio's own webhooks can't send; training may not."""
    if not isinstance(event.get("action"), str):
        raise bad_request("action must be the name of an event.", "action")
    authenticated = request.scope.get("roost.authenticated", True)
    if event.get("action") in TRAINING_EVENTS and not authenticated:
        raise ApiError(401, "unauthorised", "START_TRAINING needs the token of ROOST_MLBACKEND_TOKEN.")
    event_id = request.app.state.spool.put(_alias(request), event, authenticated=authenticated)
    request.app.state.metrics.count("roost_label_studio_events_total", kept=str(event_id is not None).lower())
    return JSONResponse({"job": event_id} if event_id else {"status": "ignored"})


def _alias(request: Request) -> str:
    alias = request.path_params["alias"]
    if not VERSION.fullmatch(alias):
        raise ApiError(404, "unknown_version", "A model alias holds a-z 0-9 . _ - alone.")
    return alias


def _version(request: Request) -> str:
    return request.app.state.aliases.resolve(_alias(request))
