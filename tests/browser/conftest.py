"""Fixtures that every browser test shares."""

from tests.browser.desk_support import backend_url, chromium, stage

__all__ = ["backend_url", "chromium", "stage"]
