"""The product's own REST API as a script uses it: httpx and a token."""

import time
from collections.abc import Callable
from typing import Any

import httpx


class ApiError(Exception):
    """The API refused; the text is its sentence."""


class RoostClient:
    """One person's view of one Roost. Paths are those of docs/web.md, below /api/v1/."""

    def __init__(self, url: str, token: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1/", headers={"Authorization": f"Token {token}"}, timeout=60)

    def get(self, path: str) -> Any:
        return self._answer(self.http.get(path))

    def post(self, path: str, body: dict | None = None) -> Any:
        return self._answer(self.http.post(path, json=body or {}))

    def _answer(self, response: httpx.Response) -> Any:
        if response.status_code == 204:
            return None
        if response.is_error:
            raise ApiError(f"{response.request.method} {response.request.url.path}: {_sentence(response)}")
        return response.json()

    def wait_for_job(
        self, job_id: int, on_progress: Callable[[dict], None] | None = None, limit_s: float = 1800
    ) -> dict:
        """Poll a job to its end; ApiError with its reason when it failed or took longer than `limit_s`."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            job = self.get(f"jobs/{job_id}")
            if on_progress:
                on_progress(job)
            if job["state"] == "succeeded":
                return job
            if job["state"] in {"failed", "cancelled"}:
                raise ApiError(f"the job «{job['kind']}» {job['state']}: {job['reason'] or job['message']}")
            time.sleep(0.5)
        raise ApiError(f"job {job_id} did not end within {limit_s:.0f} s")


def _sentence(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"
