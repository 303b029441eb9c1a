"""What every HTTP handler needs: the body within a limit, and the model side once it is there."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from mlbackend.errors import ApiError

if TYPE_CHECKING:
    from mlbackend.serving.core import Core

T = TypeVar("T")
MAX_BODY_BYTES = 1024 * 1024


async def read_body(request: Request, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body, counted as it arrives: a lying or absent Content-Length makes no difference."""
    chunks, total = [], 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > most_bytes:
            raise ApiError(413, "bad_request", f"The body is larger than {most_bytes} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's value; when the client hangs up first, the work is cancelled. The request's body must be read."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "client_gone", "The client closed the connection before the answer was ready.")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def json_behind(content: Any) -> Response:
    """A large answer, turned into JSON on a thread, so that clicks need not wait for it."""
    render = functools.partial(json.dumps, content, allow_nan=False)
    text = await asyncio.get_running_loop().run_in_executor(None, render)
    return Response(text, media_type="application/json")


def get_core(request: Request) -> Core:
    """ApiError 503 `loading` while torch is being imported, `failed` if that went wrong."""
    core: Core | None = request.app.state.core
    if core is not None:
        return core
    if request.app.state.boot_failure:
        raise ApiError(503, "failed", f"The model side did not start: {request.app.state.boot_failure}")
    raise ApiError(503, "loading", "The ML backend is starting; try again in a few seconds.", retry_after_s=2)
