import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys

import pytest
from django.core.management import call_command

from annotator.operations import doctor as diagnosis
from annotator.operations.doctor import diagnose
from tests import factories
from tests.processes import ROOT

pytestmark = pytest.mark.django_db


def _findings(**options) -> dict[str, diagnosis.Finding]:
    return {finding.name: finding for finding in diagnose(**options)}


@pytest.fixture
def _backend_away(settings):
    settings.MLBACKEND_URL = "http://127.0.0.1:1"


def test_sound_installation_passes(tmp_path):
    output = io.StringIO()
    call_command("doctor", "--setup", stdout=output)
    assert "✗" not in output.getvalue()


@pytest.mark.usefixtures("_backend_away")
def test_what_does_not_run_is_told_with_what_to_do(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    findings = _findings()
    assert (findings["workers"].good, findings["ml backend"].good) == (False, False)
    assert "manage.py up" in findings["workers"].words
    assert "does not answer" in findings["ml backend"].words


@pytest.mark.usefixtures("_backend_away")
def test_exit_status_is_1_when_something_is_wrong():
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=io.StringIO())
    assert ended.value.code == 1


def test_missing_weights_are_told(settings, tmp_path):
    settings.SHIPPED_MODEL_DIR = tmp_path
    assert "is missing" in _findings(running=False)["weights"].words


def test_cut_off_weights_are_told(settings, tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 9)
    settings.SHIPPED_MODEL_DIR = tmp_path
    assert "cut off" in _findings(running=False)["weights"].words


def test_weights_that_are_not_their_card_s_are_told(settings, tmp_path):
    shutil.copytree(settings.SHIPPED_MODEL_DIR, tmp_path / "demo")
    card = json.loads((tmp_path / "demo" / "card.json").read_text())
    (tmp_path / "demo" / "card.json").write_text(json.dumps(card | {"weights_hash": "0" * 64}))
    settings.SHIPPED_MODEL_DIR = tmp_path / "demo"
    assert "weights_hash differs" in _findings(running=False)["weights"].words


@pytest.mark.usefixtures("_backend_away")
def test_served_version_whose_file_was_changed_is_told(settings, tmp_path, barn):
    barn.project.serving_version = factories.make_version("barn-v1")
    barn.project.save()
    settings.MODELS_DIR = tmp_path
    shutil.copytree(settings.SHIPPED_MODEL_DIR, tmp_path / "barn-v1")
    card = json.loads((tmp_path / "barn-v1" / "card.json").read_text())
    (tmp_path / "barn-v1" / "manifest.json").write_text(json.dumps({"weights_hash": card["weights_hash"]}))
    assert _findings()["served weights"] == diagnosis.Finding("served weights", True, "barn-v1")
    with (tmp_path / "barn-v1" / "model.safetensors").open("r+b") as file:
        file.seek(-4, io.SEEK_END)
        file.write(b"oops")
    assert "barn-v1: model.safetensors is not what manifest.json promises" in _findings()["served weights"].words


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("ROOST_POSTGRES", "postgresql://roost@127.0.0.1:1/roost", "postgresql does not answer. Is Postgres running"),
        ("ROOST_BROKER_URL", "redis://:secret@127.0.0.1:1/0", "redis://127.0.0.1:1 does not answer. Is it running"),
    ],
)
def test_service_that_is_away_is_told_in_words_and_without_its_password(setting, value, words):
    pytest.importorskip("psycopg")
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings", setting: value}
    command = [sys.executable, "manage.py", "doctor", "--setup"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stdout
    assert "secret" not in done.stdout


def test_postgres_address_that_is_none_is_refused_with_an_example():
    pytest.importorskip("psycopg")
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings", "ROOST_POSTGRES": "the big one"}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no libpq URI like postgresql://" in done.stderr


def test_wrong_package_version_is_told(settings, tmp_path):
    (tmp_path / "requirements.txt").write_text("Django==1.0  # too old\nno-such-package==3.0\n")
    settings.BASE_DIR = tmp_path
    finding = _findings(running=False)["packages"]
    assert finding.good is False
    assert "instead of 1.0" in finding.words
    assert "no-such-package none" in finding.words


def test_broker_that_is_away_is_told_within_seconds(settings):
    from annotator.celery import app

    before, app.conf.broker_url = app.conf.broker_url, "amqp://127.0.0.1:1//"
    try:
        assert _findings(running=False)["broker"].good is False
    finally:
        app.conf.broker_url = before


def test_opened_folder_that_is_misspelt_is_told(settings, tmp_path):
    settings.SOURCES = [str(tmp_path), str(tmp_path / "typo")]
    finding = _findings(running=False)["open sources"]
    assert (finding.good, finding.words.endswith("typo")) == (False, True)


def test_absent_extra_is_no_fault():
    findings = [finding for name, finding in _findings(running=False).items() if name.startswith("extra")]
    assert {finding.good for finding in findings} <= {True, None}
    assert len(findings) == len(diagnosis.EXTRAS)


def test_extras_are_packages_that_the_requirements_offer():
    offered = (ROOT / "requirements-scale.txt").read_text() + (ROOT / "requirements-extras.txt").read_text()
    names = {name.partition(" ")[2] for name in _findings(running=False) if name.startswith("extra ")}
    assert names
    assert names <= set(re.findall(r"^([a-z0-9_-]+)", offered, re.M))
