"""Fixtures for every test of the web side."""

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests import factories


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a Label Studio comes last: `.ci/run` installs it while everything else is tested."""
    items.sort(key=lambda item: item.get_closest_marker("label_studio") is not None)


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix():
    """Side by side every worker has a folder, hence a database, of its own (tests/settings.py): it keeps its name."""


@pytest.fixture
def barn(db) -> factories.Barn:
    """A project with the concept "chicken", an annotator, a reviewer and an admin."""
    return factories.make_barn()


@pytest.fixture
def signed_in():
    """A browser-like client for a user: `signed_in(barn.admin).get("/")`."""

    def sign_in(user) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def api():
    """An API client for a user, with CSRF off; `api(None)` is signed out."""

    def sign_in(user) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_login(user)
        return client

    return sign_in


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """One running Roost with a small demo project for all tests that only look, or work on rows of their own."""
    from tests.stack import running_stack

    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
