"""Migration 0037 on a database with rows: no stability measured the old way is held against the new limit."""

import pytest
from django.core.management import call_command

from annotator.models import Prediction, Project
from annotator.queue.candidates import candidates
from annotator.queue.mining import thresholds_of
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def test_old_default_moves_a_limit_of_one_s_own_stays_and_old_measures_are_forgotten():
    barn = factories.make_barn()
    own = factories.make_project(name="Own", stability_below=0.6)
    task = factories.make_task(barn.project)
    factories.make_prediction(factories.make_pair(barn.project), 0.9)
    try:
        call_command("migrate", "annotator", "0036", verbosity=0)
        Project.objects.filter(pk=barn.project.pk).update(stability_below=0.75)
        Prediction.objects.update(min_stability=0.01)
    finally:
        call_command("migrate", verbosity=0)
    limits = dict(Project.objects.values_list("pk", "stability_below"))
    assert limits == {barn.project.pk: 0.5, own.pk: 0.6}
    assert set(Prediction.objects.values_list("min_stability", flat=True)) == {None}
    assert Prediction.objects.get(pair=task.pair).instances, "what was found stays"
    barn.project.refresh_from_db()
    assert thresholds_of(barn.project).stability_below == 0.5
    found = candidates(project=barn.project, version=barn.project.serving_version)
    assert [one.min_stability for one in found] == [None, None]
