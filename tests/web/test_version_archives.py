"""What an archive of a version may not do on its way in: destroy what lies there, or pass for measured here."""

import json

import pytest

from annotator.common.errors import ConflictError, RoostError
from annotator.models import ModelVersion
from annotator.registry.models_folder import model_folder_register
from annotator.registry.packing import version_pack, version_unpack
from annotator.registry.version_facts import version_config, version_figures
from annotator.registry.version_retention import retention_forecast
from tests import factories
from tests.web.test_registry import kept_version, models, rewritten, write_weights  # noqa: F401  (a fixture)
from toolbox.weights_hash import folder_weights_hash


@pytest.fixture
def packed(barn, models, settings, tmp_path):  # noqa: F811
    version = kept_version(barn, settings, 1, 0.5)
    config = {"config": {"steps": 9}, "recipe": "pilot", "holdout": {"cgf1": 0.8}}
    ModelVersion.objects.filter(pk=version.pk).update(metrics=version.metrics | config)
    version.refresh_from_db()
    version_pack(version=version, file=tmp_path / "good.zip")
    return version


def test_folder_put_there_by_hand_is_not_destroyed(barn, packed, models, tmp_path):  # noqa: F811
    by_hand = write_weights(models / "mine", 7)
    (models / "mine" / "notes.txt").write_text("weeks of work")
    # Its manifest claims to be the archive's model: what counts is what the weights are.
    (models / "mine" / "manifest.json").write_text(json.dumps({"weights_hash": packed.weights_hash}))
    with pytest.raises(ConflictError, match="give another name with --as") as caught:
        version_unpack(project=barn.project, file=tmp_path / "good.zip", user=barn.admin, name="mine")
    assert caught.value.code == "name_taken"
    assert folder_weights_hash(models / "mine") == by_hand
    assert (models / "mine" / "notes.txt").is_file()
    assert not ModelVersion.objects.filter(name="mine").exists()
    write_weights(models / "same", 1)
    assert version_unpack(project=barn.project, file=tmp_path / "good.zip", user=barn.admin, name="same").pk


def test_two_folders_without_a_manifest_are_not_the_same(models, tmp_path):  # noqa: F811
    for folder, fill in ((models / "m", 1), (tmp_path / "trained", 2)):
        write_weights(folder, fill)
        (folder / "manifest.json").unlink()
    model_folder_register(name="m", source=tmp_path / "trained")
    assert folder_weights_hash(models / "m") == folder_weights_hash(tmp_path / "trained")


def test_figures_of_another_place_are_not_shown_as_this_project_s(barn, packed, settings, tmp_path):
    coop = factories.make_project(barn.admin, "Coop")
    taken = version_unpack(project=coop, file=tmp_path / "good.zip", user=barn.admin, name="taken")
    taken.refresh_from_db()
    assert version_figures(taken) == {}
    assert taken.metrics["brought"]["metrics"]["holdout"] == {"cgf1": 0.8}
    assert (version_config(taken), taken.metrics["recipe"]) == ({"steps": 9}, "pilot")
    here = kept_version(barn, settings, 2, 0.1)
    best = version_unpack(project=barn.project, file=tmp_path / "good.zip", user=barn.admin, name="better-elsewhere")
    told = {row.version.name: row.why for row in retention_forecast(project=barn.project, last=1).rows}
    assert told[best.name] == "it is among the last 1"
    assert version_figures(here) == {"val": {"cgf1": 0.1}}


ILL = [
    ("metrics", [1]),
    ("lineage", "barn"),
    ("decisions", {"decision": "promote"}),
    ("decisions", ["promote"]),
    ("notes", 7),
    ("metrics.config", "steps=9"),
    ("lineage.packages", ["torch"]),
    ("lineage.packages", {"torch": 2}),
]


def test_archive_with_entries_of_another_type_is_refused_before_anything_is_placed(
    barn,
    packed,
    models,  # noqa: F811
    tmp_path,
):
    before = sorted(path.name for path in models.iterdir())
    for place, value in ILL:

        def spoil(members, place=place, value=value) -> None:
            told = json.loads(members["archive.json"])
            *outer, name = place.split(".")
            (told[outer[0]] if outer else told)[name] = value
            members["archive.json"] = json.dumps(told).encode()

        rewritten(tmp_path / "good.zip", tmp_path / "bad.zip", spoil)
        with pytest.raises(RoostError, match=f"refused: {place} of its archive.json"):
            version_unpack(project=barn.project, file=tmp_path / "bad.zip", user=barn.admin, name="taken")
        assert sorted(path.name for path in models.iterdir()) == before
        assert not ModelVersion.objects.filter(name="taken").exists()
