"""Training, gate, models, snapshots and audit on their pages."""

import json

import numpy as np
import pytest
from django.urls import reverse

from annotator.common.masks import decode_rle, encode_mask, wire_to_rle
from annotator.models import AuditEvent, Deployment, Job, Project
from annotator.registry.models_page import untaught_concepts
from annotator.registry.run_page import gate_report, sample_cards
from tests import factories


def metrics(cgf1: float, **more) -> dict:
    return {"cgf1": cgf1, "pmf1": 0.8, "il_mcc": cgf1 / 0.8, "il_fpr": 0.1, "f1_at_50": 0.9, **more}


REPORT = {
    "champion": metrics(0.4, by_source={"hard": {"cgf1": 0.2}}),
    "challenger": metrics(0.48, by_source={"hard": {"cgf1": 0.37}}),
    "baseline": metrics(0.4),
    "delta_cgf1": 0.08,
    "bootstrap": {"low": 0.03, "high": 0.12, "rounds": 1000, "confidence": 0.95},
    "hard_negatives": {"pairs": 10, "champion_fires": 5, "challenger_fires": 2},
    "holdout": {"pairs": 300, "positives": 160, "negatives": 140},
}


def judged_run(barn, decision: str = "promote", name: str = "barn-v1", **fields):
    version = factories.make_version(name, project=barn.project)
    run = factories.make_training_run(barn.project, version=version, **fields)
    reasons = ["CGF1 rises by 8.00 points; asked for is a rise of more than 1."]
    factories.make_gate(run, decision, reasons=reasons, report=REPORT)
    return run


def page_of(browser, run) -> str:
    return browser.get(reverse("run", args=["barn", run.number])).content.decode()


def serving() -> str:
    return Project.objects.get(slug="barn").serving_version.name


def test_run_page_says_why_the_gate_decided(barn, signed_in):
    page = page_of(signed_in(barn.annotator), judged_run(barn))
    assert "CGF1 rises by 8.00 points" in page
    assert "300 holdout pairs (160 with the thing, 140 without)" in page
    assert "between +3.0 and +12.0" in page


def test_gate_report_compares_three_models_in_points(barn):
    report = gate_report(judged_run(barn))
    cgf1 = report.rows[0]
    assert cgf1.values == [0.4, 0.48, 0.4]
    assert cgf1.delta == pytest.approx(0.08)
    assert report.groups == [("Source", [("hard", [0.2, 0.37, None])])]


def test_run_without_a_gate_shows_its_progress(barn, signed_in):
    job = factories.make_job(barn.project, Job.Kind.RETRAIN, state=Job.State.RUNNING, progress=0.5)
    page = page_of(signed_in(barn.admin), factories.make_training_run(barn.project, job=job))
    assert "data-series-url" in page
    assert "Cancel the run" in page
    assert "gate-title" not in page


def sample(rles: list, found: list[tuple[float, dict]], pair_id: int = 7) -> dict:
    instances = [{"score": score, "box": [0, 0, 1, 1], "segmentation": rle} for score, rle in found]
    shared = {"pair_id": pair_id, "image": "a" * 64, "text_input": "chicken", "width": 16, "height": 16}
    return {**shared, "presence": 0.5, "truth": rles, "instances": instances}


def test_samples_tell_found_false_and_missed_apart(barn):
    left, right = factories.box_rle(0, 0, 6, 6), factories.box_rle(8, 8, 16, 16)
    elsewhere = factories.box_rle(10, 0, 14, 4)
    samples = {
        "before": [sample([left, right], [(0.9, left), (0.6, elsewhere)])],
        "after": [sample([left, right], [(0.9, left), (0.8, right)])],
    }
    (card,) = sample_cards(factories.make_training_run(barn.project, samples=samples))
    assert [(one["hit"], one["false"], one["missed"]) for one in (card["before"], card["after"])] == [
        (1, 1, 1),
        (2, 0, 0),
    ]


def test_one_object_found_twice_is_found_once(barn):
    truth = factories.box_rle(0, 0, 8, 8)
    samples = {side: [sample([truth], [(0.9, truth), (0.7, truth)])] for side in ("before", "after")}
    (card,) = sample_cards(factories.make_training_run(barn.project, samples=samples))
    assert (card["after"]["hit"], card["after"]["false"]) == (1, 1)


def test_sample_masks_are_drawn_from_the_same_pixels(barn):
    mask = np.zeros((16, 16), dtype=bool)
    mask[3:9, 2:7] = mask[12, 12] = True
    samples = {side: [sample([encode_mask(mask)], [])] for side in ("before", "after")}
    (card,) = sample_cards(factories.make_training_run(barn.project, samples=samples))
    (missed,) = card["before"]["masks"]
    assert missed["kind"] == "missed"
    assert (decode_rle(wire_to_rle(missed["mask"], height_px=16, width_px=16)) == mask).all()


def test_retrain_form_starts_nothing_without_data_and_says_why(barn, signed_in):
    page = signed_in(barn.admin).post(reverse("retrain", args=["barn"]), {}, follow=True)
    assert "Nothing is approved yet" in page.content.decode()
    assert not barn.project.jobs.exists()


@pytest.mark.parametrize("form", [{"steps": "0"}, {"steps": "x"}, {"learning_rate": "-1"}, {"snapshot": "99"}])
@pytest.mark.parametrize("button", ["retrain", "memory-plan"])
def test_wrong_retrain_form_starts_nothing_and_keeps_what_was_typed(barn, signed_in, form, button):
    factories.make_pair(barn.project, truth="present")
    page = signed_in(barn.admin).post(reverse(button, args=["barn"]), {"text_rate": "0.125", **form})
    assert page.status_code == 400
    assert 'role="alert"' in page.content.decode()
    assert 'value="0.125"' in page.content.decode()
    assert not barn.project.jobs.exists()


def test_retrain_pins_the_chosen_snapshot_and_settings(tiny_barn, signed_in):
    counts = {split: {"pairs": 2, "positives": 1, "negatives": 1} for split in ("train", "val", "holdout")}
    pairs = [
        {"file_name": name * 64, "verdict": verdict, "split": "holdout", "is_exhaustive": 1}
        for name, verdict in (("a", "present"), ("b", "absent"))
    ]
    factories.write_pairs(factories.make_snapshot(tiny_barn.project, counts=counts), pairs)
    Project.objects.update(hour_price=1.5, currency="EUR")
    answer = signed_in(tiny_barn.admin).post(
        reverse("retrain", args=["barn"]), {"snapshot": "1", "steps": "40", "seed": "7"}
    )
    run = tiny_barn.project.training_runs.get()
    assert answer["Location"] == reverse("run", args=["barn", run.number])
    assert (run.snapshot.number, run.config) == (1, {"steps": 40, "seed": 7})
    assert (run.hour_price, run.currency) == (1.5, "EUR")
    assert run.job.state == Job.State.QUEUED


def test_promote_lets_the_version_serve(tiny_barn, signed_in):
    run = judged_run(tiny_barn, name="other")
    page = signed_in(tiny_barn.admin).post(reverse("run-promote", args=["barn", run.number]), follow=True)
    assert serving() == "other"
    assert "other serves from now on" in page.content.decode()


@pytest.mark.parametrize("decision", ["reject", "undecided"])
def test_what_the_gate_did_not_pass_needs_a_reason(tiny_barn, signed_in, decision):
    run = judged_run(tiny_barn, decision, name="other")
    browser, address = signed_in(tiny_barn.admin), reverse("run-promote", args=["barn", run.number])
    assert 'name="override_reason"' in page_of(browser, run)
    assert "give a reason" in browser.post(address, follow=True).content.decode()
    assert serving() == "tiny"
    browser.post(address, {"override_reason": "Seen on our own barn."})
    assert serving() == "other"
    assert AuditEvent.objects.get(action="version.promote").details["override_reason"] == "Seen on our own barn."


def test_dead_backend_stops_a_promotion_and_the_page_says_so(barn, no_backend, signed_in):
    run = judged_run(barn)
    page = signed_in(barn.admin).post(reverse("run-promote", args=["barn", run.number]), follow=True)
    assert "does not answer" in page.content.decode()
    assert serving() == "demo"


def test_only_admins_see_promote(barn, signed_in):
    run = judged_run(barn)
    assert reverse("run-promote", args=["barn", run.number]) in page_of(signed_in(barn.admin), run)
    assert reverse("run-promote", args=["barn", run.number]) not in page_of(signed_in(barn.reviewer), run)


def test_rollback_button_goes_back(barn, no_backend, signed_in):
    browser, address = signed_in(barn.admin), reverse("models", args=["barn"])
    assert "Roll back to" not in browser.get(address).content.decode()
    other = factories.make_version("other", project=barn.project)
    Deployment.objects.create(
        project=barn.project, version=other, previous=barn.project.serving_version, action="promote", by=barn.admin
    )
    Project.objects.update(serving_version=other)
    assert "Roll back to demo" in browser.get(address).content.decode()
    browser.post(reverse("rollback", args=["barn"]))
    assert serving() == "demo"


def test_rollback_of_the_first_version_is_refused_in_words(barn, signed_in):
    page = signed_in(barn.admin).post(reverse("rollback", args=["barn"]), follow=True)
    assert "nothing to go back to" in page.content.decode()


def test_versions_of_other_projects_are_not_listed(barn, signed_in):
    factories.make_version("theirs", project=factories.make_project(name="Other"))
    assert "theirs" not in signed_in(barn.admin).get(reverse("models", args=["barn"])).content.decode()


def test_words_that_the_model_was_never_taught_are_named(barn, signed_in, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    factories.make_concept(barn.project, "fuse")
    barn.project.serving_version = factories.make_version("barn-v9")
    barn.project.save()
    assert untaught_concepts(project=barn.project) == []
    (tmp_path / "barn-v9").mkdir()
    (tmp_path / "barn-v9" / "config.json").write_text("{}")
    (tmp_path / "barn-v9" / "manifest.json").write_text(json.dumps({"taught_words": ["Chicken"]}))
    assert untaught_concepts(project=barn.project) == ["fuse"]
    page = signed_in(barn.annotator).get(reverse("project", args=["barn"])).content.decode()
    assert "never taught fuse" in page
    assert "ROOST_BASE_MODEL" in page


def test_shipped_model_tells_its_words_in_its_card(barn, settings, tmp_path):
    settings.SHIPPED_MODEL_DIR = tmp_path
    factories.make_concept(barn.project, "fuse")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "card.json").write_text(json.dumps({"taught_words": ["chicken", "duck"]}))
    assert untaught_concepts(project=barn.project) == ["fuse"]


def test_model_without_a_list_of_words_knows_any(barn, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    barn.project.serving_version = factories.make_version("sam3")
    (tmp_path / "sam3").mkdir()
    (tmp_path / "sam3" / "config.json").write_text("{}")
    (tmp_path / "sam3" / "manifest.json").write_text("{}")
    assert untaught_concepts(project=barn.project) == []


def test_snapshot_s_counts_and_files_are_offered(barn, signed_in, settings):
    counts = {"train": {"pairs": 31, "positives": 20, "negatives": 11, "instances": 47}}
    snapshot = factories.make_snapshot(barn.project, counts=counts)
    folder = settings.SNAPSHOTS_DIR / snapshot.content_hash
    folder.mkdir(parents=True)
    (folder / "train.json").write_text('{"images": []}')
    browser = signed_in(barn.annotator)
    page = browser.get(reverse("snapshots", args=["barn"])).content.decode()
    assert snapshot.content_hash in page
    assert [f'<td class="num">{n}</td>' in page for n in (31, 20, 11, 47)] == [True] * 4
    answer = browser.get(reverse("snapshot-download", args=["barn", 1, "train.json"]))
    assert b"".join(answer.streaming_content) == b'{"images": []}'
    assert "barn-snapshot-1-train.json" in answer["Content-Disposition"]


def test_snapshot_button_starts_a_job(barn, signed_in):
    factories.make_pair(barn.project, truth="present")
    signed_in(barn.admin).post(reverse("snapshot-take", args=["barn"]))
    assert barn.project.jobs.get().kind == Job.Kind.SNAPSHOT


def test_export_button_starts_a_job_with_the_choices(barn, signed_in):
    factories.make_pair(barn.project, truth="present")
    form = {"format": "yolo", "splits": ["train", "val"], "with_images": "on"}
    signed_in(barn.reviewer).post(reverse("export", args=["barn"]), form)
    chosen = {"format": "yolo", "splits": ["train", "val"], "with_images": True, "with_retired": False}
    assert barn.project.jobs.get().params.items() >= chosen.items()


def test_wrong_export_starts_nothing(barn, signed_in):
    factories.make_pair(barn.project, truth="present")
    page = signed_in(barn.reviewer).post(reverse("export", args=["barn"]), {"format": "doc"}, follow=True)
    assert 'role="alert"' in page.content.decode()
    assert not barn.project.jobs.exists()


def test_finished_export_is_downloaded(barn, signed_in, settings, tmp_path):
    settings.EXPORTS_DIR = tmp_path
    (tmp_path / "barn.zip").write_bytes(b"PK zip")
    job = factories.make_job(barn.project, state=Job.State.SUCCEEDED, report={"file": "barn.zip"})
    answer = signed_in(barn.reviewer).get(reverse("export-download", args=["barn", job.pk]))
    assert b"".join(answer.streaming_content) == b"PK zip"


def test_export_whose_file_is_gone_says_so(barn, signed_in, settings, tmp_path):
    settings.EXPORTS_DIR = tmp_path
    job = factories.make_job(barn.project, state=Job.State.SUCCEEDED, report={"file": "barn.zip"})
    page = signed_in(barn.reviewer).get(reverse("export-download", args=["barn", job.pk]), follow=True)
    assert "export again" in page.content.decode()


def test_audit_lists_who_did_what(barn, signed_in):
    signed_in(barn.admin).post(reverse("concept-add", args=["barn"]), {"name": "goose"})
    page = signed_in(barn.admin).get(reverse("audit", args=["barn"])).content.decode()
    assert "<code>concept.add</code></td><td>goose</td>" in page


def test_audit_says_a_changed_setting_in_words(barn, signed_in):
    details = {"changed": {"one_pass": [False, True]}}
    AuditEvent.objects.create(project=barn.project, action="project.settings", subject="Barn", details=details)
    page = signed_in(barn.admin).get(reverse("audit", args=["barn"])).content.decode()
    assert "one pass from no to yes" in page


def test_annotator_who_may_be_tested_downloads_no_snapshot(barn, signed_in, settings):
    snapshot = factories.make_snapshot(barn.project)
    folder = settings.SNAPSHOTS_DIR / snapshot.content_hash
    folder.mkdir(parents=True)
    (folder / "train.json").write_text("{}")
    address = reverse("snapshot-download", args=["barn", 1, "train.json"])
    assert signed_in(barn.annotator).get(address).status_code == 200
    Project.objects.update(honeypot_share=0.1)
    assert signed_in(barn.annotator).get(address).status_code == 403
    assert address not in signed_in(barn.annotator).get(reverse("snapshots", args=["barn"])).content.decode()
    assert signed_in(barn.reviewer).get(address).status_code == 200


def test_samples_of_the_holdout_are_for_reviewers_alone(barn, signed_in):
    """An annotator may be asked for a blind second label of one of them."""
    truth = factories.box_rle()
    samples = {side: [sample([truth], [(0.9, truth)])] for side in ("before", "after")}
    run = factories.make_training_run(barn.project, samples=samples)
    address = reverse("run", args=["barn", run.number])
    assert "samples-data" in signed_in(barn.reviewer).get(address).content.decode()
    assert "samples-data" not in signed_in(barn.annotator).get(address).content.decode()
