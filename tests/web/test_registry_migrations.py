"""Migrations 0029 and 0030 on a database with rows: what these say of earlier times is found and kept."""

import pytest
from django.core.management import call_command

from annotator.models import Evaluation, ModelVersion, Pair
from tests import factories
from tests.web.test_walk import answered

pytestmark = pytest.mark.django_db(transaction=True)


def through_the_migrations() -> None:
    """Back to before them, which takes their columns away, and to the newest again."""
    try:
        call_command("migrate", "annotator", "0028", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)


def test_rows_from_before_the_registry_are_named_by_what_is_known_of_them():
    barn = factories.make_barn(review_policy="all")
    plain, fixed, imported = answered(barn), answered(barn, decision="fix"), answered(barn)
    Pair.objects.filter(pk=imported.pair_id).update(truth_source="imported")
    parent = factories.make_version("barn-v1", project=barn.project, weights_hash="ab" * 32)
    child = factories.make_version("barn-v2", project=barn.project, parent=parent)
    run = factories.make_training_run(barn.project, version=child)
    factories.make_gate(run, "undecided")
    newest = factories.make_gate(run)
    places = {"project": barn.project, "snapshot": run.snapshot, "split": "holdout"}
    judged = Evaluation.objects.create(version=child, **places)
    shipped = Evaluation.objects.create(version=factories.make_version("sam3"), **places)
    elsewhere = Evaluation.objects.create(version=child, **places | {"snapshot": factories.make_snapshot(barn.project)})
    through_the_migrations()
    settled = dict(Pair.objects.values_list("pk", "settled_by"))
    assert settled == {plain.pair_id: plain.pk, fixed.pair_id: fixed.pk, imported.pair_id: None}
    assert dict(Evaluation.objects.order_by().values_list("pk", "gate")) == {
        judged.pk: newest.pk,
        shipped.pk: newest.pk,
        elsewhere.pk: None,
    }
    assert dict(ModelVersion.objects.values_list("name", "base_hash")) == {
        "demo": "",
        "sam3": "",
        "barn-v1": "",
        "barn-v2": "ab" * 32,
    }
