"""The one error type of this service's boundary, and the one JSON shape it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Refuse a request: status and code for the program, message for the person (what is wrong and what to do)."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = dict(fields or {})
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """The `error` member: `{"error": body()}` is the whole answer."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.fields:
            error["fields"] = self.fields
        return error


def bad_request(message: str, field: str | None = None) -> ApiError:
    return ApiError(400, "bad_request", message, fields={field: message} if field else None)


def unknown_version(version: str, known: list[str]) -> ApiError:
    message = f"There is no model version '{version}' here; there are: {', '.join(known) or 'none'}."
    return ApiError(404, "unknown_version", message, fields={"model_version": version})


def absent_image(sha256: str) -> ApiError:
    return ApiError(
        404, "absent_image", f"Image {sha256} is not in the image store; import it first.", fields={"image": sha256}
    )


def unreadable_image(sha256: str, reason: str) -> ApiError:
    return ApiError(422, "unreadable_image", f"Image {sha256} cannot be decoded: {reason}.", fields={"image": sha256})


def store_away(sha256: str, reason: str) -> ApiError:
    message = f"Image {sha256} is not on this machine and its bucket does not give it ({reason}); try again later."
    return ApiError(503, "store_away", message, fields={"image": sha256}, retry_after_s=10)


def overloaded(what: str, retry_after_s: float) -> ApiError:
    return ApiError(
        429,
        "overloaded",
        f"Too many {what} are waiting; try again in {max(1, round(retry_after_s))} s.",
        retry_after_s=retry_after_s,
    )


def overtaken() -> ApiError:
    return ApiError(409, "overtaken", "A newer click from the same desk took this one's place.")
