"""The commands, called as `manage.py` calls them; jobs run in this process (--here) or on a real worker."""

import io
import zipfile

import pytest
from django.core.management import CommandError, call_command

from annotator.common.api.authentication import TokenAuthentication
from annotator.models import ApiToken, Image, Job, Pair
from tests import factories
from tests.processes import celery_worker

pytestmark = pytest.mark.django_db(transaction=True)


def _call(*arguments: str) -> str:
    output = io.StringIO()
    call_command(*arguments, stdout=output, stderr=output)
    return output.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.png").write_bytes(factories.image_bytes())
    return tmp_path


def test_import_images_here_imports_and_says_how_many(barn, folder):
    assert "images_added: 1" in _call("import_images", "barn", str(folder), "--here", "--split", "test")
    assert Image.objects.get().split == "test"


def test_import_on_a_worker_is_followed_to_its_end(barn, folder):
    with celery_worker("one", app="annotator.celery"):
        assert "images_added: 1" in _call("import_images", "barn", str(folder))


def test_import_of_nothing_fails_with_the_reason(barn, tmp_path):
    with pytest.raises(CommandError, match="There is no image in"):
        _call("import_coco", "barn", str(tmp_path), "--here")


def test_no_wait_leaves_the_job_in_the_queue(barn, folder):
    _call("import_images", "barn", str(folder), "--no-wait")
    assert Job.objects.get().state == "queued"


def test_export_copies_the_zip_where_it_is_wanted(barn, tmp_path):
    factories.make_pair(barn.project, truth="present")
    _call("export", "barn", "--here", "--format", "saco", "--out", str(tmp_path / "out.zip"))
    assert "train.json" in zipfile.ZipFile(tmp_path / "out.zip").namelist()


def test_snapshot_command_freezes_what_is_approved(barn):
    factories.make_pair(barn.project, truth="absent")
    assert "snapshot: 1" in _call("snapshot", "barn", "--here")


def test_refusal_of_a_service_is_the_commands_error(barn):
    with pytest.raises(CommandError, match=r"Nothing is approved"):
        _call("snapshot", "barn", "--here")


def test_unknown_project_is_told_with_those_there_are(barn):
    with pytest.raises(CommandError, match=r"no project 'bran'. There are: barn"):
        _call("mine", "bran")


def test_unknown_user_is_told(barn, folder):
    with pytest.raises(CommandError, match="no user 'nobody'"):
        _call("import_images", "barn", str(folder), "--user", "nobody")


def test_job_is_in_the_name_of_the_user_asked_for(barn, folder):
    _call("import_images", "barn", str(folder), "--no-wait", "--user", "reviewer")
    assert Job.objects.get().created_by == barn.reviewer


def test_token_signs_its_user_in(barn, rf):
    token = _call("token", "annotator", "--quiet").strip()
    request = rf.get("/", headers={"Authorization": f"Token {token}"})
    assert TokenAuthentication().authenticate(request)[0] == barn.annotator
    assert token not in str(ApiToken.objects.values())


def test_no_token_for_the_deactivated(barn):
    barn.annotator.is_active = False
    barn.annotator.save()
    with pytest.raises(CommandError, match="no active user"):
        _call("token", "annotator")


def test_promote_wants_a_version_that_exists(barn):
    with pytest.raises(CommandError, match="no version 'barn-v9'"):
        _call("promote", "barn", "barn-v9")


def test_rollback_without_a_promotion_is_refused(barn):
    with pytest.raises(CommandError, match="nothing to go back to"):
        _call("rollback", "barn")


def test_retrain_refuses_a_setting_that_is_none(barn):
    factories.make_pair(barn.project, truth=Pair.Truth.ABSENT)
    with pytest.raises(CommandError, match="colour"):
        _call("retrain", "barn", "--here", "--set", "colour=red")


def test_sweep_counts_what_it_rang(barn):
    assert "rang again for 0 jobs" in _call("sweep_jobs")
