"""The HTTP surface: routes, access and the error shape. See docs/contracts.md."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import importlib
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlbackend.errors import ApiError, bad_request
from mlbackend.label_studio.fetch import Fetcher
from mlbackend.label_studio.routes import health, label_studio_routes
from mlbackend.label_studio.service import LabelStudioService
from mlbackend.label_studio.spool import Spool
from mlbackend.server import wire
from mlbackend.server.http import get_core, json_behind, read_body, unless_gone
from mlbackend.serving.aliases import Aliases
from mlbackend.serving.metrics import Metrics
from mlbackend.serving.requests import VERSION
from mlbackend.settings import Settings

log = logging.getLogger(__name__)
OPEN_PATHS = re.compile(r"(/ls/[^/]+)?/health|/ls/[^/]+/webhook")


def build_app(settings: Settings) -> Starlette:
    settings.check_exposure()
    app = Starlette(
        routes=_routes(),
        lifespan=_lifespan,
        exception_handlers={ApiError: _on_api_error, HTTPException: _on_http_error, Exception: _on_crash},
    )
    app.state.settings = settings
    if settings.token:
        app.add_middleware(TokenRequired, token=settings.token)
    return app


def _routes() -> list[Route | Mount]:
    return [
        Route("/", health),
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", show_metrics),
        Route("/v1/versions", versions),
        Route("/v1/versions/{version}/load", load_version, methods=["POST"]),
        Route("/v1/predict", predict, methods=["POST"]),
        Route("/v1/click", click, methods=["POST"]),
        Route("/v1/mask", mask, methods=["POST"]),
        Route("/v1/boxes", boxes, methods=["POST"]),
        Route("/v1/warm", warm, methods=["POST"]),
        *label_studio_routes(),
    ]


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """Serve at once; torch and the weights come behind, on a thread."""
    settings: Settings = app.state.settings
    app.state.metrics = Metrics()
    app.state.aliases = Aliases(settings.var / "aliases.json", settings.default_model)
    app.state.spool = Spool(settings.spool_dir, settings.ls_spool_files)
    app.state.label_studio = LabelStudioService(
        Fetcher(settings.fetch_rules()), concepts=settings.concepts, score_threshold=settings.ls_threshold
    )
    app.state.core, app.state.boot_failure = None, None
    boot = asyncio.create_task(_boot(app))
    try:
        yield
    finally:
        boot.cancel()
        app.state.label_studio.close()
        if app.state.core is not None:
            app.state.core.close()


async def _boot(app: Starlette) -> None:
    try:
        await asyncio.get_running_loop().run_in_executor(None, importlib.import_module, "mlbackend.serving.core")
        from mlbackend.serving.core import Core

        app.state.core = Core(app.state.settings, app.state.metrics)
        app.state.core.registry.start()
    except Exception as error:
        log.exception("the model side did not start")
        app.state.boot_failure = f"{type(error).__name__}: {error}"


async def ready(request: Request) -> Response:
    try:
        registry = get_core(request).registry
    except ApiError as error:
        return JSONResponse({"state": error.code, "reason": error.message}, status_code=503)
    state, reason = registry.state()
    if state != "ready":
        return JSONResponse({"state": state, "reason": reason}, status_code=503)
    return JSONResponse(
        {"state": state, "default_version": request.app.state.settings.default_model, "versions": registry.names()}
    )


async def show_metrics(request: Request) -> Response:
    return PlainTextResponse(request.app.state.metrics.render(), media_type="text/plain; version=0.0.4")


async def versions(request: Request) -> Response:
    registry = get_core(request).registry
    return JSONResponse({"versions": [registry.row(name) for name in registry.names()]})


async def load_version(request: Request) -> Response:
    version = request.path_params["version"]
    if not VERSION.fullmatch(version):
        raise bad_request("A version's name holds a-z 0-9 . _ - alone.", "version")
    return JSONResponse(await get_core(request).registry.load(version))


async def _json_body(request: Request) -> dict[str, Any]:
    """NaN comes through as a number here, so that the field that can't take it is named."""
    return wire.parse_json(await read_body(request), constant=float)


async def predict(request: Request) -> Response:
    concepts = request.app.state.settings.concepts
    parsed = wire.parse_predict(await _json_body(request), default_concepts=concepts)
    core = get_core(request)
    predictor = await core.registry.get(parsed.model_version)
    return await json_behind(await unless_gone(request, core.engine.predict(predictor, parsed)))


async def click(request: Request) -> Response:
    parsed = wire.parse_click(await _json_body(request))
    core = get_core(request)
    return JSONResponse(await core.engine.click(await core.registry.get(parsed.model_version), parsed))


async def mask(request: Request) -> Response:
    parsed = wire.parse_mask(await _json_body(request))
    return JSONResponse(await get_core(request).engine.cut(parsed))


async def boxes(request: Request) -> Response:
    parsed = wire.parse_boxes(await _json_body(request))
    core = get_core(request)
    predictor = await core.registry.get(parsed.model_version)
    return await json_behind(await unless_gone(request, core.engine.boxes(predictor, parsed)))


async def warm(request: Request) -> Response:
    parsed = wire.parse_warm(await _json_body(request))
    core = get_core(request)
    predictor = await core.registry.get(parsed.model_version)
    return JSONResponse({"queued": await core.engine.warm(predictor, parsed.images)}, status_code=202)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    request.app.state.metrics.count("roost_errors_total", code=error.code)
    if request.url.path.startswith("/ls/"):  # Label Studio shows its user the status alone
        log.warning("%s refused: %s", request.url.path, error.message.replace("\n", " "))
    return JSONResponse({"error": error.body()}, status_code=error.status, headers=headers)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return JSONResponse(
        {"error": {"code": code, "message": f"{request.method} {request.url.path}: {error.detail}."}},
        status_code=error.status_code,
        headers=error.headers,
    )


async def _on_crash(request: Request, error: Exception) -> Response:
    log.exception("unexpected error", exc_info=error)
    return JSONResponse(
        {"error": {"code": "internal", "message": "Unexpected error in the ML backend; see its log."}}, status_code=500
    )


class TokenRequired:
    """Bearer token, or the password of Basic (all that Label Studio can send).

    Health checks stay open, and so does Label Studio's webhook, which can send no token: its handler is told by
    scope["roost.authenticated"], and takes nothing but ids from it.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["roost.authenticated"] = self._allowed(scope)
        if not scope["roost.authenticated"] and not OPEN_PATHS.fullmatch(scope["path"]):
            response = JSONResponse(
                {"error": {"code": "unauthorised", "message": "Send the token of ROOST_MLBACKEND_TOKEN."}},
                status_code=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, credentials = header.partition(b" ")
        if scheme.lower() == b"basic":
            try:
                credentials = base64.b64decode(credentials, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(credentials.strip(), self._token)
