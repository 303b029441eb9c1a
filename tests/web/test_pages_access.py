"""Who sees which page: the table is the policy, the list of pages is the URL list."""

import pytest
from django.test import Client
from django.urls import reverse

from annotator.data.import_look import samples_folder
from annotator.data.import_report import problems_path
from annotator.models import AuditEvent, BulkAction, Concept, Evaluation, Feed, Job, Membership, Project, Task
from annotator.page_urls import PROJECT, urlpatterns
from annotator.registry.run_files import run_folder
from tests import factories
from tests.made_reports import reported

# name -> (least role, methods that are answered)
GET, POST, BOTH = ("get",), ("post",), ("get", "post")
POLICY = {
    "project": ("annotator", GET),
    "images": ("annotator", BOTH),  # posting is the admins'
    "import-go": ("admin", POST),
    "import-undo": ("admin", POST),
    "import-boxes": ("admin", POST),
    "import-problems-download": ("admin", GET),
    "import-sample-download": ("admin", GET),
    "images-act": ("reviewer", POST),
    "changes": ("reviewer", GET),
    "change-undo": ("reviewer", POST),
    "trash": ("admin", BOTH),
    "image": ("annotator", GET),
    "feeds": ("annotator", BOTH),  # posting is the admins'
    "feed-switch": ("admin", POST),
    "splits": ("annotator", GET),
    "scenes-find": ("admin", POST),
    "splits-mend": ("admin", POST),
    "splits-reassign": ("admin", POST),
    "hard-negatives": ("admin", POST),
    "queue": ("annotator", GET),
    "queue-histogram": ("annotator", GET),
    "queue-checks": ("annotator", GET),
    "suspects-queue": ("admin", POST),
    "incomplete-queue": ("admin", POST),
    "band-set": ("admin", POST),
    "frames": ("annotator", BOTH),
    "frames-link": ("annotator", GET),
    "mine": ("admin", POST),
    "desk": ("annotator", GET),
    "desk-task": ("annotator", GET),
    "reviews": ("reviewer", GET),
    "reviews-certain": ("reviewer", BOTH),
    "certain-button": ("reviewer", GET),
    "holdout-queue": ("admin", POST),
    "second-labels": ("admin", POST),
    "review": ("reviewer", GET),  # or its author
    "snapshots": ("annotator", GET),
    "snapshot-take": ("admin", POST),
    "snapshot-download": ("annotator", GET),
    "snapshot": ("annotator", BOTH),  # posting is the admins'
    "snapshot-publish": ("admin", POST),
    "snapshot-difference": ("annotator", GET),
    "export": ("reviewer", POST),
    "export-download": ("reviewer", GET),
    "training": ("annotator", GET),
    "retrain": ("admin", POST),
    "memory-plan": ("admin", POST),
    "run": ("annotator", GET),
    "run-series": ("annotator", GET),
    "run-views": ("annotator", GET),
    "run-samples": ("annotator", GET),
    "run-download": ("admin", GET),
    "run-compare": ("annotator", GET),
    "run-gate": ("admin", POST),
    "run-promote": ("admin", POST),
    "run-go-on": ("admin", POST),
    "models": ("annotator", GET),
    "version-compare": ("annotator", GET),
    "evaluations": ("annotator", BOTH),  # posting is the admins'
    "evaluation": ("annotator", GET),
    "evaluation-report": ("annotator", GET),  # pictures and files are the reviewers\'
    "evaluation-report-download": ("reviewer", GET),
    "gates": ("annotator", BOTH),  # posting is the admins'
    "gate": ("annotator", GET),
    "gate-promote": ("admin", POST),
    "version": ("annotator", BOTH),  # posting is the admins'
    "version-archive": ("admin", POST),
    "version-check": ("admin", POST),
    "versions-retain": ("admin", POST),
    "predictions": ("annotator", BOTH),  # posting is the admins'
    "prediction-download": ("annotator", GET),
    "rollback": ("admin", POST),
    "jobs": ("annotator", GET),
    "job": ("annotator", GET),
    "job-log": ("admin", GET),
    "job-cancel": ("admin", POST),
    "people": ("reviewer", BOTH),  # posting is the admins'
    "member-change": ("admin", POST),
    "people-figures": ("reviewer", GET),
    "account-switch": ("admin", POST),
    "invitation-create": ("admin", POST),
    "invitation-revoke": ("admin", POST),
    "lease-release": ("reviewer", POST),
    "task-reassign": ("reviewer", POST),
    "settings": ("admin", BOTH),
    "concept-add": ("admin", POST),
    "concept": ("admin", BOTH),
    "concept-rename": ("admin", POST),
    "concept-merge": ("admin", POST),
    "concept-retire": ("admin", POST),
    "concept-restore": ("admin", POST),
    "label-studio": ("admin", BOTH),
    "label-studio-pull": ("admin", POST),
    "label-studio-push": ("admin", POST),
    "label-studio-unlink": ("admin", POST),
    "audit": ("admin", GET),
    "curve": ("annotator", GET),
    "loop-fragment": ("annotator", GET),
}
RANK = ["annotator", "reviewer", "admin"]
NAMES = [pattern.name for pattern in PROJECT]
PAGES = [name for name in NAMES if "get" in POLICY.get(name, ("", ()))[1]]
ACTIONS = [name for name in NAMES if "post" in POLICY.get(name, ("", ()))[1]]


@pytest.fixture
def ids(barn, settings) -> dict[str, object]:
    """One row for each kind of id, none of it the annotator's own."""
    task = factories.make_task(barn.project, holder=barn.admin)
    done = factories.make_annotation(factories.make_task(barn.project), barn.admin)
    run = factories.make_training_run(barn.project)
    folder = settings.SNAPSHOTS_DIR / run.snapshot.content_hash
    folder.mkdir(parents=True)
    (folder / "train.json").write_text("{}")
    (folder / "pairs.jsonl").write_text("")
    run_folder(run).mkdir(parents=True, exist_ok=True)
    (run_folder(run) / "config.yaml").write_text("steps: 2")
    (run_folder(run) / "views.png").write_bytes(b"\x89PNG")
    done_job = {"state": Job.State.SUCCEEDED, "report": {"file": "barn.zip"}}
    export = factories.make_job(barn.project, **done_job)
    predicted = factories.make_job(barn.project, kind=Job.Kind.PREDICT, **done_job)
    settings.EXPORTS_DIR.mkdir(parents=True, exist_ok=True)
    (settings.EXPORTS_DIR / "barn.zip").write_bytes(b"PK")
    imported = factories.make_job(barn.project, kind=Job.Kind.IMPORT, state=Job.State.SUCCEEDED)
    for path in (problems_path(imported), samples_folder(imported) / "1.webp"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    run.version = factories.make_version("barn-v6", project=barn.project)
    run.save(update_fields=["version"])
    gate = factories.make_gate(run, "reject", report={"bootstrap": {}, "holdout": {}, "hard_negatives": {}})
    evaluation = Evaluation.objects.create(
        project=barn.project, version=gate.champion, snapshot=run.snapshot, split="test", folder="evaluations/barn/1"
    )
    reported(evaluation)
    return {
        "slug": barn.project.slug,
        "task_id": task.pk,
        "annotation_id": done.pk,
        "job_id": run.job_id,
        "export_id": export.pk,
        "import_id": imported.pk,
        "predicted_id": predicted.pk,
        "number": run.number,
        "version_name": factories.make_version("barn-v7", project=barn.project).name,
        "other": run.snapshot.number,
        "user_id": barn.annotator.pk,
        "concept_id": barn.chicken.pk,
        "sha256": task.pair.image.sha256,
        "invitation_id": factories.make_invitation(barn.project, barn.admin).pk,
        "change_id": BulkAction.objects.create(project=barn.project, user=barn.admin, kind="queue", done=1).pk,
        "name": "train.json",
        "file": "config.yaml",
        "gate_id": gate.pk,
        "evaluation_id": evaluation.pk,
        "feed_id": Feed.objects.create(project=barn.project, source="posted").pk,
    }


def address(name: str, ids: dict) -> str:
    # Most numbers are a run's; a snapshot's is 1 as well.
    wanted = next(pattern for pattern in PROJECT if pattern.name == name).pattern.converters
    if name.startswith("import-"):
        ids = ids | {"job_id": ids["import_id"]}
    if name == "evaluation-report-download":
        ids = ids | {"file": "report.json"}
    return reverse(name, kwargs={"slug": ids["slug"], **{key: ids[key] for key in wanted}})


def rows() -> tuple:
    """What actions could change."""
    return (
        list(Project.objects.values_list()),
        list(Concept.objects.values_list()),
        list(Membership.objects.values_list()),
        list(Task.objects.values_list("pk", "state", "holder")),
        Job.objects.count(),
        AuditEvent.objects.count(),
    )


def test_every_page_is_in_the_policy():
    assert set(NAMES) == set(POLICY)


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_for_the_least_role_that_may(barn, ids, signed_in, name):
    user = getattr(barn, POLICY[name][0])
    if name == "export-download":
        ids = ids | {"job_id": ids["export_id"]}
    if name == "prediction-download":
        ids = ids | {"job_id": ids["predicted_id"]}
    assert signed_in(user).get(address(name, ids)).status_code == 200


@pytest.mark.parametrize("name", [name for name in PAGES if POLICY[name][0] != "annotator"])
def test_page_is_403_for_lower_roles(barn, ids, signed_in, name):
    for role in RANK[: RANK.index(POLICY[name][0])]:
        assert signed_in(getattr(barn, role)).get(address(name, ids)).status_code == 403


@pytest.mark.parametrize("name", NAMES)
def test_outsider_finds_nothing(barn, ids, signed_in, name):
    for method in POLICY[name][1]:
        assert getattr(signed_in(barn.outsider), method)(address(name, ids)).status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_signed_out_is_led_to_the_log_in_and_changes_nothing(barn, ids, client, name):
    before = rows()
    for method in POLICY[name][1]:
        answer = getattr(client, method)(address(name, ids))
        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("login"))
    assert rows() == before


@pytest.mark.parametrize("name", NAMES)
def test_wrong_method_is_405(barn, ids, signed_in, name):
    for method in {"get", "post", "put", "delete"} - set(POLICY[name][1]):
        assert getattr(signed_in(barn.admin), method)(address(name, ids)).status_code == 405


@pytest.mark.parametrize("name", ACTIONS)
def test_action_is_403_for_lower_roles_and_changes_nothing(barn, ids, signed_in, name):
    least = "admin" if name in ("images", "people", "predictions", "feeds", "evaluations", "gates") else POLICY[name][0]
    before = rows()
    for role in RANK[: RANK.index(least)]:
        assert signed_in(getattr(barn, role)).post(address(name, ids)).status_code == 403
    assert rows() == before


@pytest.mark.parametrize("name", ACTIONS)
def test_action_without_csrf_token_is_refused(barn, ids, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(barn.admin)
    before = rows()
    assert client.post(address(name, ids)).status_code == 403
    assert rows() == before


DOWNLOADS = ["snapshot-download", "export-download", "prediction-download"]


@pytest.mark.parametrize(
    "name", ["job", "review", "run", "run-series", "run-views", "run-samples", "evaluation", "gate", *DOWNLOADS]
)
def test_page_of_an_unknown_row_is_404(barn, ids, signed_in, name):
    unknown = {key: 987654 for key in ids} | {"slug": barn.project.slug, "name": "train.json"}
    assert signed_in(barn.admin).get(address(name, unknown)).status_code == 404


def test_only_a_snapshot_s_own_files_are_served(barn, ids, signed_in):
    assert signed_in(barn.admin).get(address("snapshot-download", {**ids, "name": "secret_key"})).status_code == 404


def test_rows_of_another_project_are_unknown_in_this_one(barn, ids, signed_in):
    other = factories.make_project(barn.admin, "Other")
    here = {**ids, "slug": other.slug}
    for name in ("job", "run", "review", "evaluation", "gate", *DOWNLOADS):
        assert signed_in(barn.admin).get(address(name, here)).status_code == 404
    actions = (
        "job-cancel",
        "lease-release",
        "task-reassign",
        "concept",
        "concept-merge",
        "run-gate",
        "run-promote",
        "gate-promote",
        "member-change",
    )
    for name in actions:
        assert signed_in(barn.admin).post(address(name, here)).status_code == 404


def test_annotation_of_own_opens_for_its_author(barn, signed_in):
    done = factories.make_annotation(factories.make_task(barn.project), barn.annotator)
    page = signed_in(barn.annotator).get(reverse("review", args=[barn.project.slug, done.pk]))
    assert page.status_code == 200


def test_poll_of_a_page_left_open_after_log_out_reads_the_page_anew(barn, client):
    answer = client.get(reverse("loop-fragment", args=[barn.project.slug]), headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Refresh"]) == (401, "true")


def test_tabs_show_what_the_role_may(barn, signed_in):
    page = signed_in(barn.annotator).get(reverse("project", args=[barn.project.slug])).content.decode()
    assert reverse("desk", args=[barn.project.slug]) in page
    for name in ("settings", "audit", "people", "reviews"):
        assert reverse(name, args=[barn.project.slug]) not in page


def test_every_page_forbids_foreign_and_inline_code(barn, signed_in):
    page = signed_in(barn.admin).get(reverse("project", args=[barn.project.slug]))
    policy = page["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_public_pages_are_few():
    """Besides the project's pages only these exist; a new one has to be thought about here."""
    public = {"home", "login", "logout", "password", "tokens", "token-revoke", "project-new", "keys", "healthz", "join"}
    named = {pattern.name for pattern in urlpatterns if getattr(pattern, "name", None)}
    assert named == public | {"backend-status", "job-fragment"}
