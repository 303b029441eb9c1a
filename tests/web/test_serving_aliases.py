"""Label Studio follows a promotion: the alias of a project is read by the real ML backend's own table."""

import json

import pytest
from django.conf import settings

from annotator.registry.aliases import serving_alias
from annotator.registry.promotion import version_promote, version_rollback
from mlbackend.serving.aliases import Aliases
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
WHY = "a test of the alias"


def table() -> Aliases:
    return Aliases(settings.VAR_DIR / "aliases.json", "demo")


@pytest.fixture
def promoted(tiny_barn):
    """Served by `other`; a rollback leads to `demo`, with which every project starts."""
    (settings.VAR_DIR / "aliases.json").unlink(missing_ok=True)
    other = factories.make_version("other", project=tiny_barn.project)
    version_promote(project=tiny_barn.project, version=other, user=tiny_barn.admin, override_reason=WHY)
    yield tiny_barn
    (settings.VAR_DIR / "aliases.json").unlink()


def test_alias_of_a_project_follows_promotion_and_rollback(promoted):
    aliases, alias = table(), serving_alias(project=promoted.project)
    assert aliases.resolve(alias) == "other"
    version_rollback(project=promoted.project, user=promoted.admin)
    assert aliases.resolve(alias) == "demo"


def test_aliases_that_a_person_wrote_stay(promoted):
    path = settings.VAR_DIR / "aliases.json"
    path.write_text(json.dumps({"champion": "v7"}))
    version_rollback(project=promoted.project, user=promoted.admin)
    assert (table().resolve("champion"), table().resolve(serving_alias(project=promoted.project))) == ("v7", "demo")


def test_file_that_is_not_to_be_understood_is_left_alone_and_promotes_all_the_same(promoted, caplog):
    path = settings.VAR_DIR / "aliases.json"
    path.write_text("{half")
    version_rollback(project=promoted.project, user=promoted.admin)
    promoted.project.refresh_from_db()
    assert promoted.project.serving_version.name == "demo"
    assert path.read_text() == "{half"
    assert "was not written" in caplog.text
