"""Versions in MLflow's registry, with the real package on a SQLite file; and nothing of it in anybody's way."""

import logging

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotator.models import Deployment, ModelVersion
from annotator.registry.mirror import registry_mirror
from tests import factories

mlflow = pytest.importorskip("mlflow.tracking", reason="requirements-extras.txt: mlflow-skinny, sqlalchemy, alembic")
pytest.importorskip("sqlalchemy")


@pytest.fixture
def version(barn) -> ModelVersion:
    metrics = {"val": {"val": {"cgf1": 0.5}}}
    version = factories.make_version("barn-v1", project=barn.project, metrics=metrics, notes="by night")
    factories.make_training_run(barn.project, version=version)
    return version


@pytest.fixture
def uri(settings, tmp_path) -> str:
    settings.MLFLOW_REGISTRY, settings.MLFLOW_URI = True, f"sqlite:///{tmp_path / 'mlflow.db'}"
    return settings.MLFLOW_URI


def test_version_is_mirrored_once_and_follows_what_changes(barn, version, uri):
    registry_mirror()
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    (row,) = client.search_model_versions("name = 'barn'")
    assert (row.tags["roost.version"], row.tags["weights_hash"], row.description) == ("barn-v1", "0" * 64, "by night")
    assert (row.tags["val.cgf1"], row.tags["roost.stage"]) == ("0.500000", "candidate")
    barn.project.serving_version = version
    barn.project.save()
    ModelVersion.objects.filter(pk=version.pk).update(stage="production")
    registry_mirror()
    registry_mirror()
    (row,) = client.search_model_versions("name = 'barn'")
    assert row.tags["roost.stage"] == "production"
    assert client.get_model_version_by_alias("barn", "champion").version == row.version


def test_looking_asks_as_often_for_many_versions_as_for_few(barn, version, uri, django_assert_num_queries):
    registry_mirror()
    with CaptureQueriesContext(connection) as few:
        registry_mirror()
    for number in (2, 3, 4):
        more = factories.make_version(f"barn-v{number}", project=barn.project, parent=version)
        factories.make_training_run(barn.project, version=more)
    registry_mirror()
    with django_assert_num_queries(len(few)):
        registry_mirror()


def test_tracker_that_fails_stops_nothing_and_is_tried_again(barn, version, settings, tmp_path, uri, caplog):
    settings.MLFLOW_URI = f"sqlite:///{tmp_path / 'no' / 'such' / 'folder'}/x/mlflow.db\0"
    with caplog.at_level(logging.WARNING):
        registry_mirror()
    assert "the next look tries again" in caplog.text
    version.refresh_from_db()
    assert version.mirrored == ""
    assert Deployment.objects.count() == 1


def test_off_by_default(barn, version, settings):
    assert settings.MLFLOW_REGISTRY is False
    registry_mirror()
    version.refresh_from_db()
    assert version.mirrored == ""
