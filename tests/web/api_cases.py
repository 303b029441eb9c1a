"""The calls of every operation of the API, each for real: test_api_contract.py holds the answers against the document.

A case makes at least one call that succeeds and, but for the lists that anybody may read, one that is refused. The
modules write theirs into the book as they are imported.
"""

from tests.web import api_cases_data, api_cases_loop, api_cases_registry, api_cases_tasks
from tests.web.api_case_book import CASES

__all__ = ["CASES", "api_cases_data", "api_cases_loop", "api_cases_registry", "api_cases_tasks"]
