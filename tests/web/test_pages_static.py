"""Vendored files are what they say, templates obey the content policy, images are served only to members."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from django.views.defaults import server_error
from PIL import Image as Pixels

from tests import factories

ROOT = Path(django_settings.BASE_DIR)
VENDORED = sorted((ROOT / "static" / "vendor").glob("*/VENDOR.json"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.*"))


@pytest.mark.parametrize("card", VENDORED, ids=lambda card: card.parent.name)
def test_vendored_file_has_the_recorded_hash_and_a_licence(card):
    facts = json.loads(card.read_text())
    (script,) = card.parent.glob("*.js")
    assert hashlib.sha256(script.read_bytes()).hexdigest() == facts["sha256"]
    assert card.parent.name == f"{facts['name']}-{facts['version']}"
    assert (card.parent / "LICENSE").stat().st_size > 100


def test_both_libraries_are_vendored():
    assert [card.parent.name for card in VENDORED] == ["chart.js-4.6.1", "htmx-2.0.11"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_template_needs_no_inline_code_and_no_other_site(template):
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text, re.IGNORECASE)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text, re.IGNORECASE)
    assert not re.search(r"(src|href)=[\"']https?:", text)


def test_static_files_named_by_templates_exist():
    named = {name for path in TEMPLATES for name in re.findall(r"{% static '([^']+)' %}", path.read_text())}
    assert named
    assert [name for name in sorted(named) if not (ROOT / "static" / name).is_file()] == []


def media(barn, image, **query):
    return reverse("media", args=[barn.project.slug, image.sha256]), query


def test_original_comes_byte_for_byte_and_for_long(barn, signed_in):
    image = factories.make_image(barn.project)
    path, _ = media(barn, image)
    answer = signed_in(barn.annotator).get(path)
    assert hashlib.sha256(b"".join(answer.streaming_content)).hexdigest() == image.sha256
    assert answer["Content-Type"] == "image/png"
    assert "immutable" in answer["Cache-Control"]
    assert "private" in answer["Cache-Control"]


def test_same_original_again_costs_no_bytes(barn, signed_in):
    path, _ = media(barn, factories.make_image(barn.project))
    browser = signed_in(barn.annotator)
    tag = browser.get(path)["ETag"]
    assert browser.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_preview_is_no_longer_than_asked_for(barn, signed_in, tmp_path):
    path, query = media(barn, factories.make_image(barn.project, width=900, height=300), preview=320)
    answer = signed_in(barn.annotator).get(path, query)
    (tmp_path / "preview").write_bytes(b"".join(answer.streaming_content))
    with Pixels.open(tmp_path / "preview") as preview:
        assert (preview.size, preview.format) == ((320, 107), "WEBP")


def test_preview_of_a_small_image_is_not_blown_up(barn, signed_in, tmp_path):
    path, query = media(barn, factories.make_image(barn.project, width=40, height=20), preview=2048)
    (tmp_path / "preview").write_bytes(b"".join(signed_in(barn.annotator).get(path, query).streaming_content))
    with Pixels.open(tmp_path / "preview") as preview:
        assert preview.size == (40, 20)


def test_any_size_asked_for_is_one_of_three_on_disk(barn, signed_in, settings, tmp_path):
    image = factories.make_image(barn.project)
    for side in (1, 17, 320, 321, 5000, 99999):
        path, query = media(barn, image, preview=side)
        assert signed_in(barn.annotator).get(path, query).status_code == 200
    made = {path.parent.parent.name for path in (settings.VAR_DIR / "previews").rglob(f"{image.sha256}.webp")}
    assert made == {"320", "1024", "2048"}


@pytest.mark.parametrize("side", ["0", "-1", "x", "1e3", "²", "9999999"])
def test_preview_size_that_is_none_is_refused(barn, signed_in, side):
    path, query = media(barn, factories.make_image(barn.project), preview=side)
    answer = signed_in(barn.annotator).get(path, query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_image_is_for_members_only(barn, signed_in, client):
    path, _ = media(barn, factories.make_image(barn.project))
    assert signed_in(barn.outsider).get(path).status_code == 404
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("name", ["0" * 64, "..", "secret_key", "%2e%2e"])
def test_nothing_but_the_project_s_images_is_served(barn, signed_in, name):
    factories.make_image(barn.project)
    assert signed_in(barn.admin).get(f"/media/{barn.project.slug}/{name}").status_code == 404


def test_image_of_another_project_is_not_served_through_one_s_own(barn, signed_in):
    other = factories.make_image(factories.make_project(name="Other"))
    assert signed_in(barn.admin).get(reverse("media", args=["barn", other.sha256])).status_code == 404


def test_status_dot_tells_that_the_backend_is_away(barn, signed_in, no_backend):
    page = signed_in(barn.annotator).get(reverse("backend-status")).content.decode()
    assert "status-away" in page
    assert "every 2s" in page


def test_status_dot_tells_that_the_model_is_ready(barn, signed_in, backend):
    page = signed_in(barn.annotator).get(reverse("backend-status")).content.decode()
    assert "Model ready" in page
    assert "every 20s" in page


def test_status_dot_of_a_logged_out_page_stops_asking(client, db):
    answer = client.get(reverse("backend-status"))
    assert (answer.status_code, "hx-trigger" in answer.content.decode()) == (286, False)


def test_unknown_address_has_a_page(client, db):
    answer = client.get("/no/such/page/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_stale_form_is_told_what_happened(barn):
    browser = Client(enforce_csrf_checks=True)
    answer = browser.post(reverse("login"), {"username": "annotator", "password": "a long password"})
    assert answer.status_code == 403
    assert "This page was too old" in answer.content.decode()


def test_broken_page_says_so_without_a_database(rf):
    answer = server_error(rf.get("/"))
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.content.decode()


def test_site_administration_looks_but_does_not_touch(barn, signed_in):
    chief = factories.make_user("chief", is_staff=True, is_superuser=True)
    browser = signed_in(chief)
    factories.make_task(barn.project)
    assert browser.get(reverse("admin:annotator_task_changelist")).status_code == 200
    assert browser.get(reverse("admin:annotator_task_add")).status_code == 403
    assert browser.post(reverse("admin:annotator_project_delete", args=[barn.project.pk])).status_code == 403


def test_site_administration_is_closed_to_project_admins(barn, signed_in):
    assert signed_in(barn.admin).get(reverse("admin:index")).status_code == 302


TOKENS = dict(
    re.findall(
        r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}, #[0-9a-f]{6})\)", (ROOT / "static/css/tokens.css").read_text()
    )
)
TEXT_ON = [(text, ground) for text in ("ink", "ink-soft", "accent") for ground in ("ground", "surface", "surface-sunk")]
TEXT_ON += [("accent-ink", "accent"), ("accent-ink", "accent-strong"), ("accent-strong", "accent-wash")]
TEXT_ON += [(kind, ground) for kind in ("good", "warn", "bad") for ground in ("surface", "ground", f"{kind}-wash")]
TEXT_ON += [("ink", f"{kind}-wash") for kind in ("good", "warn", "bad", "accent")]


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("text", "ground"), TEXT_ON)
def test_text_stands_out_enough_in_both_modes(text, ground):
    for mode in (0, 1):
        light, dark = sorted((luminance(TOKENS[name].split(", ")[mode]) for name in (text, ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
