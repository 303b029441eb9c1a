"""A project's setting is told by its model field and has its place in one table; form, page and audit follow."""

from django.db import models
from django.urls import reverse

from annotator.common.project_settings import SETTINGS
from annotator.home.forms import SettingsForm
from annotator.models import AuditEvent, Project

# What makes a project, and is no setting of it.
NO_SETTING = {"id", "slug", "created_at", "created_by", "is_demo", "serving_version"}
CHANGES = {"mine_batch": 7, "one_pass": True, "review_policy": "sample", "gate_bootstrap": 200, "name": "Coop"}


def test_every_setting_of_the_model_has_its_place_once():
    assert len(SETTINGS) == len(set(SETTINGS))
    assert set(SETTINGS) == {field.name for field in Project._meta.concrete_fields} - NO_SETTING


def test_form_and_page_show_each_setting_with_its_field_s_words(barn, signed_in):
    form = SettingsForm(instance=barn.project)
    assert form.fields["audit_share"].label == "Share drawn at random"
    assert form.fields["audit_share"].help_text.endswith("0.1 is one in ten.")
    page = signed_in(barn.admin).get(reverse("settings", args=["barn"])).content.decode()
    for name in SETTINGS:
        assert f'name="{name}"' in page
        assert str(form[name].label) in page
        field = Project._meta.get_field(name)
        assert isinstance(field, models.BooleanField) == (form[name].widget_type == "checkbox")
        assert field.help_text or name == "name"


def test_settings_of_every_kind_are_stored_and_told_in_the_audit(barn, signed_in):
    form = SettingsForm(instance=barn.project)
    shown = {name: form[name].value() for name in SETTINGS}
    posted = {name: value for name, value in (shown | CHANGES).items() if value is not False and value is not None}
    signed_in(barn.admin).post(reverse("settings", args=["barn"]), posted)
    stored = Project.objects.filter(pk=barn.project.pk).values(*SETTINGS).get()
    assert stored == shown | CHANGES
    told = AuditEvent.objects.get(action="project.settings").details["changed"]
    assert {name: new for name, (_, new) in told.items()} == CHANGES
    page = signed_in(barn.admin).get(reverse("audit", args=["barn"])).content.decode()
    assert "mine batch from 50 to 7" in page
