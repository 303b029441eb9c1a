"""The registry: a version's page, search, archive, notes, retention, its commands, and archives out and in."""

import json
import shutil
import zipfile
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotator.common.errors import ConflictError, RoostError
from annotator.models import AuditEvent, Deployment, Job, ModelVersion
from annotator.registry.model_weights import model_folder
from annotator.registry.packing import version_pack, version_unpack
from annotator.registry.promotion import version_promote
from annotator.registry.run_files import run_folder
from annotator.registry.version_keeping import version_archive, version_check
from annotator.registry.version_retention import Forecast, retention_apply, retention_forecast
from tests import factories
from toolbox.weights_hash import weights_hash

API = "/api/v1/projects/barn/models"


def write_weights(folder, fill: int = 1) -> str:
    """One float32 tensor of four numbers, written by hand as the format's page says; its hash, also by hand."""
    import hashlib
    import struct

    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    content = struct.pack("<4f", *[float(fill)] * 4)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + content)
    found = hashlib.sha256(b"w torch.float32 (4,)\n" + content).hexdigest()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text('{"words": []}')
    (folder / "manifest.json").write_text(json.dumps({"weights_hash": found}))
    return found


def kept_version(barn, settings, number: int, cgf1: float | None = None, **fields) -> ModelVersion:
    """Trained here: weights among the models and, by a link, in the run's folder; its snapshot and base are here."""
    folder = settings.MODELS_DIR / f"barn-v{number}"
    found = write_weights(folder, number)
    metrics = {"val": {"val": {"cgf1": cgf1}}} if cgf1 is not None else {}
    version = ModelVersion.objects.create(
        name=f"barn-v{number}", project=barn.project, weights_hash=found, metrics=metrics, **fields
    )
    snapshot = factories.make_snapshot(barn.project)
    factories.write_pairs(snapshot)
    run = factories.make_training_run(barn.project, version=version, snapshot=snapshot)
    kept = run_folder(run) / "model"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "model.safetensors").unlink(missing_ok=True)
    (kept / "model.safetensors").hardlink_to(folder / "model.safetensors")
    return version


@pytest.fixture
def models(barn, settings, tmp_path):
    settings.MODELS_DIR, settings.RUNS_DIR = tmp_path / "models", tmp_path / "runs"
    write_weights(settings.MODELS_DIR / "demo", 99)
    settings.SHIPPED_MODEL_DIR = tmp_path / "nowhere"
    return settings.MODELS_DIR


def told(text: bytes) -> str:
    return " ".join(text.decode().split())


def run_command(*words: str) -> str:
    out = StringIO()
    call_command("models", *words, stdout=out)
    return out.getvalue()


def test_version_page_tells_where_it_comes_from(barn, models, settings, signed_in):
    version = kept_version(barn, settings, 1, 0.5, parent=barn.project.serving_version, base_hash="ab" * 32)
    version.code_revision, version.packages = "c0ffee" * 6 + "abcd", {"torch": "2.13.0"}
    version.save()
    child = factories.make_version("barn-v9", project=barn.project, parent=version)
    page = told(signed_in(barn.annotator).get(reverse("version", args=["barn", "barn-v1"])).content)
    for words in ("ab" * 32, version.weights_hash, "c0ffee" * 6 + "abcd", "torch 2.13.0", child.name, "50.0"):
        assert words in page
    assert reverse("version", args=["barn", "demo"]) in page


def test_shipped_version_and_one_without_anything_have_pages(barn, models, signed_in):
    browser = signed_in(barn.annotator)
    assert "project-barn" in told(browser.get(reverse("version", args=["barn", "demo"])).content)
    other = factories.make_project(barn.admin, "Coop")
    factories.make_version("coop-v1", project=other)
    assert browser.get(reverse("version", args=["barn", "coop-v1"])).status_code == 404
    assert browser.get(reverse("version", args=["barn", "no-such"])).status_code == 404


def test_models_page_finds_by_words_and_stage_and_folds_archived_ones_away(barn, models, settings, signed_in):
    one, two = kept_version(barn, settings, 1), kept_version(barn, settings, 2)
    ModelVersion.objects.filter(pk=one.pk).update(notes="night camera", stage="staging")
    version_archive(project=barn.project, version=two, user=barn.admin, archived=True)
    browser, address = signed_in(barn.annotator), reverse("models", args=["barn"])
    whole = told(browser.get(address).content)
    listed, _, folded = whole.partition("<summary>Archived (1)</summary>")
    versions = listed[listed.index('id="versions-title"') :]
    assert "barn-v1" in versions
    assert "barn-v2" not in versions
    assert "barn-v2" in folded
    for query, found in (({"search": "NIGHT"}, True), ({"search": "day"}, False), ({"stage": "production"}, False)):
        page = browser.get(address, query).context
        assert (one in page["versions"]) is found


def test_notes_are_the_admins_to_write_and_audited(barn, models, settings, signed_in):
    kept_version(barn, settings, 1)
    address = reverse("version", args=["barn", "barn-v1"])
    assert signed_in(barn.annotator).post(address, {"notes": "mine"}).status_code == 403
    signed_in(barn.admin).post(address, {"notes": " for the night camera "})
    assert ModelVersion.objects.get(name="barn-v1").notes == "for the night camera"
    assert AuditEvent.objects.get(action="version.note").actor == barn.admin


def test_serving_and_shipped_versions_are_not_folded_away(barn, models, settings):
    version = kept_version(barn, settings, 1)
    barn.project.serving_version = version
    barn.project.save()
    with pytest.raises(ConflictError, match="barn-v1 serves"):
        version_archive(project=barn.project, version=version, user=barn.admin, archived=True)
    shipped = ModelVersion.objects.get(name="demo")
    with pytest.raises(RoostError, match="no version of this project"):
        version_archive(project=barn.project, version=shipped, user=barn.admin, archived=True)


def test_changed_weights_are_told(barn, models, settings):
    version = kept_version(barn, settings, 1)
    assert version_check(version=version).is_sound
    path = models / "barn-v1" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    found = version_check(version=version)
    assert not found.is_sound
    assert version.weights_hash in found.words
    path.write_bytes(bytes(content[:-4]))
    with pytest.raises(RoostError, match="cut off"):
        version_check(version=version)


def test_api_patches_notes_and_archive_and_refuses_annotators(barn, models, settings, api):
    kept_version(barn, settings, 1, 0.5)
    admin = api(barn.admin)
    changed = admin.patch(f"{API}/barn-v1", {"notes": "x", "archived": True}, format="json").json()
    assert (changed["notes"], changed["archived_at"] is not None) == ("x", True)
    assert changed["figures"] == {"val": {"cgf1": 0.5}}
    assert [row["name"] for row in admin.get(API).json()] == ["demo"]
    assert [row["name"] for row in admin.get(API, {"archived": "true"}).json()] == ["barn-v1"]
    assert api(barn.annotator).patch(f"{API}/barn-v1", {"notes": "y"}, format="json").status_code == 403
    assert api(barn.outsider).get(f"{API}/barn-v1").status_code == 404


def test_list_asks_as_often_for_many_versions_as_for_few(barn, models, settings, api, django_assert_num_queries):
    client = api(barn.annotator)
    kept_version(barn, settings, 1)
    with CaptureQueriesContext(connection) as few:
        client.get(API)
    for number in range(2, 7):
        kept_version(barn, settings, number)
    with django_assert_num_queries(len(few)):
        assert len(client.get(API).json()) == 7


@pytest.fixture
def shelf(barn, models, settings) -> dict[int, ModelVersion]:
    """Seven versions: 2 is the best, 3 once served, 4 has an alias, 5 is a base, 6 and 7 are the newest."""
    scores = {1: 0.1, 2: 0.9, 3: 0.1, 4: 0.1, 5: 0.1, 6: 0.1, 7: 0.1}
    shelf = {number: kept_version(barn, settings, number, cgf1) for number, cgf1 in scores.items()}
    Deployment.objects.create(project=barn.project, version=shelf[3], action="promote", by=barn.admin)
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    (settings.VAR_DIR / "aliases.json").write_text(json.dumps({"champion": "barn-v4"}))
    ModelVersion.objects.filter(pk=shelf[7].pk).update(parent=shelf[5])
    yield shelf
    (settings.VAR_DIR / "aliases.json").unlink()


def test_forecast_keeps_the_best_the_last_what_served_bases_and_aliases(barn, shelf):
    forecast = retention_forecast(project=barn.project, last=2)
    assert [row.version.name for row in forecast.goes] == ["barn-v1"]
    assert {row.version.name: row.why for row in forecast.stays} == {
        "barn-v2": "it is the best",
        "barn-v3": "it has served",
        "barn-v4": "an alias stands for it",
        "barn-v5": "others were trained from it",
        "barn-v6": "it is among the last 2",
        "barn-v7": "it is among the last 2",
    }
    size = (model_folder(shelf[1]) / "model.safetensors").stat().st_size
    assert forecast.freed_bytes == size  # of two names of one file, its bytes once
    assert forecast.days_left is not None


def test_nothing_goes_while_nobody_can_read_which_versions_have_aliases(barn, shelf, settings):
    (settings.VAR_DIR / "aliases.json").write_text("{half")
    forecast = retention_forecast(project=barn.project, last=2)
    assert forecast.goes == []
    assert "aliases.json can't be read" in {row.version.name: row.why for row in forecast.rows}["barn-v1"]


def test_alias_that_a_person_wrote_is_told_of_its_version_alone(barn, shelf, api):
    told_of = {row["name"]: row["aliases"] for row in api(barn.annotator).get(API).json()}
    assert (told_of["barn-v4"], told_of["barn-v1"], told_of["demo"]) == (["champion"], [], ["project-barn"])


def test_looking_removes_nothing(barn, shelf, settings, signed_in):
    signed_in(barn.admin).get(reverse("models", args=["barn"]), {"last": 1})
    run_command("retain", "barn", "--last", "1")
    assert all((model_folder(one) / "model.safetensors").is_file() for one in shelf.values())


def test_retention_takes_weights_and_leaves_row_config_and_figures(barn, shelf, settings):
    retention_apply(project=barn.project, user=barn.admin, last=2, expected=["barn-v1"])
    gone = ModelVersion.objects.get(name="barn-v1")
    folder = settings.MODELS_DIR / "barn-v1"
    assert (gone.weights_removed_at is not None, gone.archived_at is not None) == (True, True)
    assert not (folder / "model.safetensors").exists()
    assert not (run_folder(gone.training_run) / "model" / "model.safetensors").exists()
    assert (folder / "config.json").is_file()
    assert (folder / "manifest.json").is_file()
    assert gone.metrics["val"]["val"]["cgf1"] == 0.1
    assert AuditEvent.objects.get(action="version.remove_weights").subject == "barn-v1"
    with pytest.raises(RoostError, match="reproduce"):
        model_folder(gone)
    with pytest.raises(ConflictError, match="were removed"):
        version_promote(project=barn.project, version=gone, user=barn.admin, override_reason="I want it.")


def test_retention_is_refused_when_others_would_go_than_were_shown(barn, shelf):
    with pytest.raises(ConflictError, match="Other versions would go"):
        retention_apply(project=barn.project, user=barn.admin, last=2, expected=["barn-v1", "barn-v2"])
    assert (model_folder(shelf[1]) / "model.safetensors").is_file()


def test_retention_waits_for_a_gate_that_reads_the_weights(barn, shelf):
    factories.make_job(barn.project, Job.Kind.GATE, state=Job.State.RUNNING)
    with pytest.raises(ConflictError, match="under way"):
        retention_apply(project=barn.project, user=barn.admin, last=2, expected=["barn-v1"])


def test_version_that_can_not_be_made_again_stays(barn, shelf, settings):
    run = shelf[1].training_run
    shutil.rmtree(settings.SNAPSHOTS_DIR / "barn" / run.snapshot.content_hash)
    forecast = retention_forecast(project=barn.project, last=2)
    assert forecast.goes == []
    assert f"snapshot {run.snapshot.number} is gone" in {row.version.name: row.why for row in forecast.rows}["barn-v1"]


@pytest.mark.parametrize(
    ("days", "words"),
    [(None, ""), (0, "less than a day"), (1, "about 1 day"), (45, "about 45 days"), (4000, "more than ten years")],
)
def test_how_long_the_disk_lasts_is_told_in_words(days, words):
    assert Forecast([], 3, 0, days).lasts == words


def test_pace_of_the_last_month_says_when_the_disk_is_full(barn, shelf):
    ModelVersion.objects.update(created_at=timezone.now() - timedelta(days=40))
    assert retention_forecast(project=barn.project).days_left is None


def test_commands_list_show_compare_archive_and_note(barn, models, settings):
    kept_version(barn, settings, 1, 0.5)
    two = kept_version(barn, settings, 2, 0.7)
    ModelVersion.objects.filter(pk=two.pk).update(metrics=two.metrics | {"config": {"steps": 9}})
    assert [row["name"] for row in json.loads(run_command("list", "barn", "--json"))] == ["barn-v2", "barn-v1", "demo"]
    assert "barn-v2" in run_command("list", "barn")
    assert json.loads(run_command("show", "barn-v1", "--json"))["figures"] == {"val": {"cgf1": 0.5}}
    compared = json.loads(run_command("compare", "barn-v1", "barn-v2", "--json"))
    assert compared["figures"] == {"val.cgf1": [0.5, 0.7]}
    assert compared["settings"] == {"steps": [None, 9]}
    run_command("archive", "barn-v1")
    run_command("note", "barn-v2", "good")
    assert ModelVersion.objects.get(name="barn-v1").archived_at is not None
    assert ModelVersion.objects.get(name="barn-v2").notes == "good"
    run_command("archive", "barn-v1", "--undo")
    assert ModelVersion.objects.get(name="barn-v1").archived_at is None
    with pytest.raises(CommandError, match="no version 'barn-v8'"):
        run_command("show", "barn-v8")


def test_archive_goes_out_and_comes_in_with_all_it_tells(barn, models, settings, tmp_path):
    version = kept_version(barn, settings, 1, 0.5, code_revision="abc", packages={"torch": "2"}, notes="kept")
    factories.make_gate(version.training_run, "promote", reasons=["CGF1 rises."])
    file = tmp_path / "barn-v1.zip"
    assert version_pack(version=version, file=file).weights_hash == version.weights_hash
    coop = factories.make_project(barn.admin, "Coop")
    taken = version_unpack(project=coop, file=file, user=barn.admin, name="coop-from-barn")
    assert (taken.project, taken.stage, taken.notes) == (coop, "candidate", "kept")
    assert (taken.weights_hash, taken.code_revision) == (version.weights_hash, "abc")
    assert taken.metrics["brought"]["decisions"][0]["reasons"] == ["CGF1 rises."]
    assert weights_hash(model_folder(taken) / "model.safetensors") == version.weights_hash
    assert (model_folder(taken) / "tokenizer.json").read_text() == '{"words": []}'


def test_decision_of_another_place_promotes_nothing_here(barn, models, settings, tmp_path):
    version = kept_version(barn, settings, 1)
    factories.make_gate(version.training_run, "promote")
    version_pack(version=version, file=tmp_path / "a.zip")
    taken = version_unpack(project=barn.project, file=tmp_path / "a.zip", user=barn.admin, name="again")
    with pytest.raises(ConflictError, match="has not been through the gate"):
        version_promote(project=barn.project, version=taken, user=barn.admin)


def rewritten(source, target, change) -> None:
    """The archive with `change(members)` applied to {name: bytes}."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def escape(members) -> None:
    members["../../evil.py"] = b"print()"


def damage(members) -> None:
    members["model/model.safetensors"] = members["model/model.safetensors"][:-1] + b"\x00"


def drop(members) -> None:
    del members["model/tokenizer.json"]


def smuggle(members) -> None:
    members["model/extra.bin"] = b"x"


def lie(members) -> None:
    """Another model whose files fit their list: only the weights' hash tells."""
    told = json.loads(members["archive.json"])
    told["weights_hash"] = "0" * 64
    members["archive.json"] = json.dumps(told).encode()


def wander(members) -> None:
    told = json.loads(members["archive.json"])
    told["files"]["elsewhere/x"] = told["files"].pop("model/tokenizer.json")
    members["elsewhere/x"] = members.pop("model/tokenizer.json")
    members["archive.json"] = json.dumps(told).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (escape, "leads out of the zip"),
        (damage, "model/model.safetensors is not what the archive promises"),
        (drop, "model/tokenizer.json is listed and not there"),
        (smuggle, "model/extra.bin is not listed"),
        (lie, "which is not the promised one"),
        (wander, "elsewhere/x is no name"),
    ],
)
def test_archive_that_is_not_what_it_says_is_refused_by_name_and_nothing_is_left(
    barn, models, settings, tmp_path, change, words
):
    version_pack(version=kept_version(barn, settings, 1), file=tmp_path / "good.zip")
    rewritten(tmp_path / "good.zip", tmp_path / "bad.zip", change)
    before = sorted(path.name for path in models.iterdir())
    with pytest.raises(RoostError, match=words):
        version_unpack(project=barn.project, file=tmp_path / "bad.zip", user=barn.admin, name="taken")
    assert sorted(path.name for path in models.iterdir()) == before
    assert not ModelVersion.objects.filter(name="taken").exists()
    assert not (tmp_path.parent / "evil.py").exists()


def test_name_that_is_taken_is_refused_and_removed_weights_come_back(barn, models, settings, shelf, tmp_path):
    version_pack(version=shelf[1], file=tmp_path / "one.zip")
    with pytest.raises(ConflictError, match="barn-v1 already, with the same weights"):
        version_unpack(project=barn.project, file=tmp_path / "one.zip", user=barn.admin)
    retention_apply(project=barn.project, user=barn.admin, last=2, expected=["barn-v1"])
    version = version_unpack(project=barn.project, file=tmp_path / "one.zip", user=barn.admin)
    version.refresh_from_db()
    assert (version.pk, version.weights_removed_at, version.archived_at) == (shelf[1].pk, None, None)
    assert version_check(version=version).is_sound


def test_weights_that_are_not_its_own_are_not_packed(barn, models, settings, tmp_path):
    version = kept_version(barn, settings, 1)
    write_weights(models / "barn-v1", 5)
    with pytest.raises(RoostError, match="is not packed"):
        version_pack(version=version, file=tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
