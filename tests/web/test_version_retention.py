"""Removed weights: what a stop left goes with the next sweep, what came back stays; and what looking costs."""

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotator.jobs.kinds import SWEEPS
from annotator.models import ModelVersion
from annotator.registry.reproduction import _keep
from annotator.registry.run_files import run_folder
from annotator.registry.version_facts import versions_shown
from annotator.registry.version_keeping import version_check
from annotator.registry.version_retention import _remove, removed_weights_sweep, retention_forecast
from tests import factories
from tests.web.test_registry import kept_version, models, write_weights  # noqa: F401  (a fixture)


def test_files_that_a_stop_left_go_with_the_next_sweep(barn, models, settings):  # noqa: F811
    gone, stays = kept_version(barn, settings, 1), kept_version(barn, settings, 2)
    ModelVersion.objects.filter(pk=gone.pk).update(weights_removed_at=timezone.now())
    assert removed_weights_sweep() == 1
    assert not (models / "barn-v1" / "model.safetensors").exists()
    assert not (run_folder(gone.training_run) / "model" / "model.safetensors").exists()
    assert (models / "barn-v1" / "config.json").is_file()
    assert version_check(version=stays).is_sound
    assert removed_weights_sweep() == 0
    assert removed_weights_sweep in [getattr(turns, "_work", None) for turns in SWEEPS]


def test_weights_that_came_back_are_not_removed_and_bring_the_version_back(barn, models, settings, tmp_path):  # noqa: F811
    version = kept_version(barn, settings, 1)
    ModelVersion.objects.filter(pk=version.pk).update(weights_removed_at=timezone.now(), archived_at=timezone.now())
    removed_weights_sweep()
    write_weights(tmp_path / "again", 1)
    _keep(version, tmp_path / "again")
    assert _remove(version) is False
    version.refresh_from_db()
    assert (version.weights_removed_at, version.archived_at) == (None, None)
    assert version_check(version=version).is_sound


def test_forecast_asks_as_often_for_many_versions_as_for_few_and_reads_no_plots(barn, models, settings):  # noqa: F811
    for number in (1, 2, 3):
        kept_version(barn, settings, number)
    with CaptureQueriesContext(connection) as few:
        retention_forecast(project=barn.project, last=1)
    for number in range(4, 8):
        kept_version(barn, settings, number)
    with CaptureQueriesContext(connection) as many:
        assert len(retention_forecast(project=barn.project, last=1).goes) == 6
    assert len(many) == len(few)
    assert not any('"series"' in row["sql"] or '"samples"' in row["sql"] for row in many)


def test_models_page_looks_at_the_disk_for_admins_only_and_reads_no_plots(barn, models, settings, signed_in):  # noqa: F811
    for number in (1, 2):
        factories.make_gate(kept_version(barn, settings, number).training_run, "reject")
    address = reverse("models", args=["barn"])
    shown = signed_in(barn.annotator).get(address)
    assert (shown.context["forecast"], b'id="disk"' in shown.content) == (None, False)
    shown = signed_in(barn.admin).get(address)
    assert (len(shown.context["forecast"].rows), b'id="disk"' in shown.content) == (2, True)
    asked = str(versions_shown(project=barn.project).query)
    assert not [name for name in ("series", "samples", "report") if f'"{name}"' in asked]
