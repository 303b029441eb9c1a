"""One run's page while it runs and after: what the trainer told, what it cost, its files and its log."""

import time
from contextlib import suppress

from django.urls import reverse

from annotator.jobs.services import JobContext
from annotator.models import Job, Project
from annotator.registry.run_costs import project_cost
from annotator.registry.run_log import RunLog
from annotator.registry.run_page import series_for_plots
from tests import factories
from tests.web.test_pages_training import page_of

AT = "2026-01-01T00:00:{:02}+00:00"


def test_series_follow_a_running_job_and_say_when_it_ended(barn, signed_in):
    series = {"loss": [{"step": 1, "total": 6.5}], "validation": [{"step": 1, "cgf1": 0.31}], "phase": "train"}
    job = factories.make_job(barn.project, Job.Kind.RETRAIN, state=Job.State.RUNNING)
    run = factories.make_training_run(barn.project, job=job, series=series)
    address = reverse("run-series", args=["barn", run.number])
    answer = signed_in(barn.annotator).get(address).json()
    assert answer["series"] == {**{k: series[k] for k in ("loss", "validation")}, "gpu": []}
    assert (answer["phase"], answer["ended"]) == ("train", False)
    Job.objects.filter(pk=job.pk).update(state=Job.State.FAILED)
    assert signed_in(barn.annotator).get(address).json()["ended"] is True


def test_gpu_and_trackers_are_on_the_run_s_page_and_folders_are_the_admins_to_know(barn, signed_in):
    run = factories.make_training_run(barn.project)
    gpu = {"memory_used_mib": 9120, "memory_total_mib": 24564, "utilisation_percent": 93, "temperature_c": 61}
    told = {"event": "tracker", "at": AT.format(1)}
    with RunLog(run, JobContext(run.job), verb="train") as log:
        log.take({"event": "gpu", "at": AT.format(0), **gpu})
        for state, message in (
            ("on", "MLflow keeps this run at https://mlflow.example."),
            ("failed", "MLflow failed."),
        ):
            log.take({**told, "tracker": "mlflow", "state": state, "message": message})
        log.take({**told, "tracker": "wandb", "state": "on", "message": "W&B.", "place": "https://w.example/1"})
    page, others = page_of(signed_in(barn.admin), run), page_of(signed_in(barn.annotator), run)
    assert "9120 of 24564 MiB in use, 93 % busy" in page
    assert "MLflow failed." in page
    assert "MLflow keeps" not in page
    assert 'href="https://w.example/1"' in page
    assert "9120 of 24564" in others
    assert "w.example" not in others


def test_run_tells_how_fast_it_learns_and_how_long_its_part_still_takes(barn, signed_in):
    job = factories.make_job(barn.project, Job.Kind.RETRAIN, state=Job.State.RUNNING)
    run = factories.make_training_run(barn.project, job=job, config={"batch_pairs": 8})
    with RunLog(run, JobContext(job), verb="train") as log:
        for step, second in ((5, 10), (10, 14)):
            log.take({"event": "loss", "at": AT.format(second), "step": step, "total": 1.0, "learning_rate": 2e-4})
        log.take({"event": "progress", "at": AT.format(14), "phase": "train", "step": 10, "of": 60, "eta_s": 200.0})
    page = page_of(signed_in(barn.annotator), run)
    assert "10 images a second" in page  # 5 steps of 8 in 4 seconds
    assert "0.0002" in page
    assert "about 3 min 20 s of this part" in page
    facts = signed_in(barn.annotator).get(reverse("run-series", args=["barn", run.number])).json()["facts"]
    assert facts["speed"] == "10 images a second"


def test_run_costs_the_trainer_s_hours_at_the_price_that_it_began_with(barn, signed_in):
    run = factories.make_training_run(barn.project, trainer_seconds=5400, hour_price=1.3, currency="EUR")
    Project.objects.update(hour_price=9)
    assert "1.95 EUR, at 1.3 EUR an hour" in page_of(signed_in(barn.annotator), run)  # an hour and a half
    free = factories.make_training_run(barn.project, trainer_seconds=60)
    assert "no price was set when it began" in page_of(signed_in(barn.annotator), free)


def test_project_s_cost_is_the_sum_over_its_runs_by_currency(barn, signed_in):
    for seconds, price, currency in ((3600, 2, "EUR"), (1800, 3, "EUR"), (7200, 1, "USD"), (600, 0, "EUR")):
        factories.make_training_run(barn.project, trainer_seconds=seconds, hour_price=price, currency=currency)
    factories.make_training_run(factories.make_project(name="Other"), trainer_seconds=3600, hour_price=50)
    cost = project_cost(project=barn.project)
    assert (cost.seconds, cost.amounts, cost.unpriced_seconds) == (13200, [("EUR", 3.5), ("USD", 2.0)], 600)
    page = " ".join(signed_in(barn.annotator).get(reverse("training", args=["barn"])).content.decode().split())
    assert "worked 3 h 40 min, 3.50 EUR, 2.00 USD; 10 min of it without a price." in page


def test_trainer_s_time_is_counted_over_all_attempts(barn):
    run = factories.make_training_run(barn.project, trainer_seconds=100)
    for verb in ("train", "gate"):
        with RunLog(run, JobContext(run.job), verb=verb):
            time.sleep(0.1)
    run.refresh_from_db()
    assert 100.2 <= run.trainer_seconds < 130


def test_run_s_files_are_offered_to_admins_and_nothing_else_of_the_folder(barn, signed_in, settings, tmp_path):
    settings.RUNS_DIR = tmp_path
    run = factories.make_training_run(barn.project)
    folder = tmp_path / f"barn-{run.number}"
    for name, content in (("config.yaml", b"steps: 9"), ("model/model.safetensors", b"w" * 2048), ("secret", b"")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    browser, address = signed_in(barn.admin), reverse("run", args=["barn", run.number])
    page = browser.get(address).content.decode()
    assert f"{address}files/config.yaml" in page
    assert "2.0\xa0KB" in page
    assert "files/log.txt" not in page
    answer = browser.get(f"{address}files/config.yaml")
    assert b"".join(answer.streaming_content) == b"steps: 9"
    assert f"barn-run-{run.number}-config.yaml" in answer["Content-Disposition"]
    assert b"".join(browser.get(f"{address}files/model.safetensors").streaming_content) == b"w" * 2048
    assert [browser.get(f"{address}files/{name}").status_code for name in ("secret", "log.txt", "..")] == [404] * 3
    assert "files/" not in signed_in(barn.reviewer).get(address).content.decode()


def test_run_s_page_shows_the_log_to_admins(barn, signed_in):
    run = factories.make_training_run(barn.project)
    log = reverse("job-log", args=["barn", run.job_id])
    assert f'hx-get="{log}"' in page_of(signed_in(barn.admin), run)
    assert log not in page_of(signed_in(barn.reviewer), run)


def test_log_of_a_run_that_fails_is_kept(barn):
    run = factories.make_training_run(barn.project)
    log = RunLog(run, JobContext(run.job), verb="train")
    with suppress(OSError), log:
        log.take({"event": "gpu", "at": AT.format(0), "temperature_c": 61})
        log.take({"event": "loss", "at": AT.format(1), "step": 5, "total": 1.0})
        raise OSError("the trainer is gone")
    run.refresh_from_db()
    assert [point["total"] for point in run.series["loss"]] == [1.0]


def test_gpu_s_figures_are_plotted_by_the_minute_and_memory_as_a_share(barn):
    points = [
        {"at": "2026-01-01T00:59:30+00:00", "memory_used_mib": 6144, "memory_total_mib": 24576, "temperature_c": 61},
        {"at": "2026-01-01T01:01:00+00:00", "memory_used_mib": 12288, "memory_total_mib": 24576},
    ]
    rows = series_for_plots(factories.make_training_run(barn.project, series={"gpu": points}))["gpu"]
    assert [(row["minute"], row["memory"], row["temperature"]) for row in rows] == [(0, 25.0, 61), (1.5, 50.0, None)]


def test_gpu_s_figures_of_a_long_run_are_thinned_and_the_newest_stays(barn):
    run = factories.make_training_run(barn.project)
    with RunLog(run, JobContext(run.job), verb="train") as log:
        for number in range(2000):
            log.take({"event": "gpu", "at": AT.format(0), "temperature_c": number})
    kept = [point["temperature_c"] for point in run.series["gpu"]]
    assert len(kept) <= 800
    assert kept[-1] == 1999
    assert kept == sorted(kept)


def test_long_series_are_thinned_but_keep_their_ends(barn):
    points = [{"step": step, "total": 1.0} for step in range(5001)]
    run = factories.make_training_run(barn.project, series={"loss": points})
    kept = series_for_plots(run)["loss"]
    assert len(kept) <= 401
    assert (kept[0]["step"], kept[-1]["step"]) == (0, 5000)
