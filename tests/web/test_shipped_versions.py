"""A shipped version is every project's: what one of them did with it is told in no other."""

import json

from django.urls import reverse

from tests import factories
from tests.web.test_registry import models, run_command, told  # noqa: F401  (a fixture)


def test_shipped_version_tells_a_project_nothing_of_others(barn, models, signed_in, api):  # noqa: F811
    shipped = barn.project.serving_version
    coop = factories.make_project(factories.make_user("farmer"), "Coop")
    for project in (barn.project, coop):
        child = factories.make_version(f"{project.slug}-v1", project=project, parent=shipped)
        run = factories.make_training_run(project, version=child)
        factories.make_gate(run, "promote", challenger=shipped)
    told_here = api(barn.annotator).get("/api/v1/projects/barn/models/demo").json()
    assert (told_here["children"], told_here["serves"], told_here["aliases"]) == (
        ["barn-v1"],
        ["barn"],
        ["project-barn"],
    )
    (listed,) = [row for row in api(barn.annotator).get("/api/v1/projects/barn/models").json() if row["name"] == "demo"]
    assert listed == told_here
    page = signed_in(barn.annotator).get(reverse("version", args=["barn", "demo"]))
    assert "coop" not in told(page.content).lower()
    assert [gate.project for gate in page.context["decisions"]] == [barn.project]
    for_barn = json.loads(run_command("show", "demo", "--project", "barn", "--json"))
    assert for_barn["children"] == ["barn-v1"]
    assert json.loads(run_command("show", "demo", "--json"))["children"] == []
