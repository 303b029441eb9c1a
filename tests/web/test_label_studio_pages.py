"""Linking, pulling and unlinking: by page and by command, with Label Studio there, away and refusing."""

import pytest
from django.core.management import CommandError, call_command
from django.core.serializers import serialize
from django.urls import reverse

from annotator.jobs.runner import job_run
from annotator.models import AuditEvent, Job, LabelStudioLink
from annotator.operations import doctor as diagnosis
from tests import factories
from tests.web.label_studio_fixtures import blob, picture
from tests.web.label_studio_stand_in import CONTROLS, TOKEN, brush

pytestmark = pytest.mark.django_db
PAGE = reverse("label-studio", args=["barn"])


def form(barn, number: int, **fields) -> dict:
    return {"number": number, "author": barn.annotator.pk} | fields


def test_admin_links_a_project_and_sees_which_labels_are_which_concepts(barn, studio, signed_in):
    number = studio.add_project()
    answer = signed_in(barn.admin).post(PAGE, form(barn, number, exhaustive="on"), follow=True)
    link = LabelStudioLink.objects.get()
    assert (link.project, link.number, link.author, link.exhaustive) == (barn.project, number, barn.annotator, True)
    assert (link.image_key, link.labels) == ("image", ["Chicken", "Duck"])
    card = answer.context["card"]
    assert [(label, concept.name) for label, concept in card.mapped] == [("Chicken", "chicken")]
    assert card.unmapped == ["Duck"]
    assert AuditEvent.objects.filter(action="label_studio.link", actor=barn.admin).count() == 1


@pytest.mark.parametrize(
    ("controls", "sentence"),
    [
        ({"points": CONTROLS["points"]}, "no BrushLabels or PolygonLabels"),
        ({"brush": {**CONTROLS["brush"], "inputs": [{"type": "Text", "value": "text"}]}}, "no BrushLabels or Polygon"),
        (
            {"a": CONTROLS["brush"], "b": {**CONTROLS["brush"], "inputs": [{"type": "Image", "value": "other"}]}},
            "more than one image",
        ),
    ],
    ids=["keypoints", "text", "two images"],
)
def test_project_without_masks_to_pull_is_refused(barn, studio, signed_in, controls, sentence):
    answer = signed_in(barn.admin).post(PAGE, form(barn, studio.add_project(controls)))
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert not LabelStudioLink.objects.exists()


def test_project_that_label_studio_does_not_have_is_refused(barn, studio, signed_in):
    answer = signed_in(barn.admin).post(PAGE, form(barn, 987654))
    assert "has no project 987654" in answer.content.decode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"LABEL_STUDIO_URL": "http://127.0.0.1:1"}, "be reached (ConnectError)"),
        ({"LABEL_STUDIO_TOKEN": "wrong"}, "does not accept ROOST_LS_TOKEN"),
        ({"LABEL_STUDIO_TOKEN": ""}, "not set up here"),
        ({"LABEL_STUDIO_NETWORKS": []}, "ROOST_LS_NETWORKS"),
        ({"LABEL_STUDIO_NETWORKS": ["nonsense"]}, "ROOST_LS_NETWORKS: "),
    ],
    ids=["away", "token", "not set", "private", "networks"],
)
def test_label_studio_that_can_t_be_asked_is_told_in_a_sentence(barn, studio, settings, signed_in, change, sentence):
    number = studio.add_project()
    for name, value in change.items():
        setattr(settings, name, value)
    page = signed_in(barn.admin).post(PAGE, form(barn, number)).content.decode().replace("&#x27;", "'")
    assert sentence in page
    assert TOKEN not in page
    assert not LabelStudioLink.objects.exists()


def test_server_that_is_no_label_studio_is_told_from_one(barn, studio, signed_in):
    number = studio.add_project()
    studio.projects[number] = "not a project"
    page = signed_in(barn.admin).post(PAGE, form(barn, number)).content.decode()
    assert "not as a Label Studio does" in page


def test_answers_can_be_booked_on_members_alone(barn, studio, signed_in):
    number = studio.add_project()
    answer = signed_in(barn.admin).post(PAGE, form(barn, number, author=barn.outsider.pk))
    assert answer.status_code == 400
    with pytest.raises(CommandError, match="only be booked on a member"):
        call_command("label_studio", "barn", link=number, author="outsider")
    assert not LabelStudioLink.objects.exists()


def test_one_label_studio_project_goes_to_one_project_here(barn, link, signed_in):
    other = factories.make_project(barn.admin, "Other")
    address = reverse("label-studio", args=[other.slug])
    answer = signed_in(barn.admin).post(address, {"number": link.number, "author": barn.admin.pk})
    assert "is linked to another one here" in answer.content.decode()
    assert LabelStudioLink.objects.get() == link


def test_neither_address_nor_token_is_on_the_page_or_in_the_database(barn, link, studio, signed_in):
    page = signed_in(barn.admin).get(PAGE).content.decode()
    rows = serialize("json", [*LabelStudioLink.objects.all(), *AuditEvent.objects.all()])
    for secret in (TOKEN, studio.url):
        assert secret not in page + rows


def test_pull_by_page_is_a_job_whose_page_tells_what_came(barn, link, studio, signed_in):
    task = studio.add_task(link.number, picture(70))
    studio.annotate(task, [brush(blob()), brush(blob(x=6), "Duck")])
    answer = signed_in(barn.admin).post(reverse("label-studio-pull", args=["barn"]))
    job = Job.objects.get()
    assert answer.url == reverse("job", args=["barn", job.pk])
    job_run(job_id=job.pk)
    page = signed_in(barn.admin).get(answer.url).content.decode()
    assert "new answers" in page
    assert "<strong>Duck</strong> (1 mask)" in page


def test_second_pull_is_refused_while_one_is_under_way(barn, link, signed_in):
    client = signed_in(barn.admin)
    client.post(reverse("label-studio-pull", args=["barn"]))
    answer = client.post(reverse("label-studio-pull", args=["barn"]), follow=True)
    assert "already has a job" in answer.content.decode()
    assert Job.objects.count() == 1


def test_removed_link_leaves_the_answers(barn, link, studio, signed_in):
    task = studio.add_task(link.number, picture(71))
    studio.annotate(task, [brush(blob())])
    call_command("label_studio", "barn", pull=True, here=True)
    signed_in(barn.admin).post(reverse("label-studio-unlink", args=["barn"]))
    assert not LabelStudioLink.objects.exists()
    assert barn.project.tasks.filter(state="submitted").count() == 1


def test_project_made_anew_under_the_same_number_is_not_pulled(barn, link, studio):
    studio.projects[link.number]["created_at"] = "2026-05-05T00:00:00Z"
    with pytest.raises(CommandError, match="is not the one that was linked"):
        call_command("label_studio", "barn", pull=True, here=True)


def test_command_links_pulls_and_unlinks(barn, studio, capsys):
    number = studio.add_project()
    task = studio.add_task(number, picture(72))
    studio.annotate(task, [brush(blob())])
    call_command("label_studio", "barn", link=number)
    assert "Duck: no concept or synonym" in capsys.readouterr().out
    call_command("label_studio", "barn", pull=True, here=True)
    assert "added: 1" in capsys.readouterr().out
    call_command("label_studio", "barn", unlink=True)
    with pytest.raises(CommandError, match="not linked"):
        call_command("label_studio", "barn", pull=True)


def test_doctor_asks_label_studio_for_what_is_linked(barn, link, settings):
    def told() -> diagnosis.Finding:
        return next(finding for finding in diagnosis.diagnose() if finding.name == "label studio")

    settings.MLBACKEND_URL = "http://127.0.0.1:1"
    assert (told().good, told().words) == (True, "answers, linked: Barn")
    settings.LABEL_STUDIO_TOKEN = ""
    assert (told().good, "ROOST_LS_TOKEN" in told().words) == (False, True)
