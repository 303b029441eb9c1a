"""Fixtures for every test of the web side."""

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests import factories


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
