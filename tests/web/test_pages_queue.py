"""The queue's page: order, reasons, filters, the histogram, and a steady number of queries."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.models import Job, Prediction, Task
from annotator.queue.queue_page import PAGE, QueueFilter, parse_cursor, presence_histogram, queue_page
from tests import factories


def names(page) -> list[str]:
    return [task.pair.image.original_name for task in page.tasks]


def task(barn, name: str, **fields) -> Task:
    pair = factories.make_pair(barn.project, image=factories.make_image(barn.project, original_name=name))
    return factories.make_task(barn.project, pair, **fields)


def test_tasks_come_in_the_order_in_which_they_are_claimed(barn):
    task(barn, "low", priority=1.0)
    task(barn, "high", priority=9.0)
    task(barn, "skipped", priority=99.0, skips=1)
    task(barn, "later high", priority=9.0)
    assert names(queue_page(project=barn.project, wanted=QueueFilter())) == ["high", "later high", "low", "skipped"]


def test_pages_hold_every_task_once(barn):
    image = factories.make_image(barn.project)
    concepts = [factories.make_concept(barn.project, f"thing {n}") for n in range(2 * PAGE + 3)]
    pairs = [factories.make_pair(barn.project, concept, image) for concept in concepts]
    rows = [Task(project=barn.project, pair=p, lane="band", priority=n % 3, skips=n % 2) for n, p in enumerate(pairs)]
    Task.objects.bulk_create(rows)
    seen, after = [], None
    for _ in range(3):
        page = queue_page(project=barn.project, wanted=QueueFilter(after=after))
        seen += [row.pk for row in page.tasks]
        after = parse_cursor(page.next_cursor)
    assert len(seen) == len(set(seen)) == 2 * PAGE + 3
    assert after is None


@pytest.mark.parametrize("cursor", ["", "x", "1_2", "1_two_3", "1_2_3_4"])
def test_garbled_cursor_is_the_first_page(barn, signed_in, cursor):
    task(barn, "only")
    page = signed_in(barn.annotator).get(reverse("queue", args=["barn"]), {"after": cursor})
    assert b"only" in page.content


def test_filters_narrow_the_list(barn):
    task(barn, "band", lane="band")
    task(barn, "audit", lane="audit")
    held = task(barn, "held", holder=barn.annotator)
    assert names(queue_page(project=barn.project, wanted=QueueFilter(reason="audit"))) == ["audit"]
    assert names(queue_page(project=barn.project, wanted=QueueFilter(state="claimed"))) == ["held"]
    assert names(queue_page(project=barn.project, wanted=QueueFilter(concept=held.pair.concept_id + 1))) == []


def test_page_shows_reason_presence_and_holder(barn, signed_in):
    row = task(barn, "seen", holder=barn.annotator, reasons=[{"kind": "band", "value": 0.52, "words": "It wavers."}])
    row.pair.predictions.update(presence=0.52)
    page = signed_in(barn.annotator).get(reverse("queue", args=["barn"]), {"state": "claimed"}).content.decode()
    assert "It wavers." in page
    assert '<td class="num">0.52</td>' in page
    assert "annotator" in page


def test_presence_is_the_proposing_version_s_not_another_s(barn):
    row = task(barn, "two models")
    row.pair.predictions.update(presence=0.4)
    factories.make_prediction(row.pair, presence=0.9, model_version=factories.make_version("other"))
    (shown,) = queue_page(project=barn.project, wanted=QueueFilter()).tasks
    assert shown.presence == 0.4


def test_histogram_counts_unseen_pairs_of_the_serving_version(barn):
    for presence in (0.0, 0.049, 0.05, 0.4, 0.6, 1.0):
        factories.make_prediction(factories.make_pair(barn.project), presence=presence)
    factories.make_prediction(factories.make_pair(barn.project, truth="absent"), presence=0.5)
    other = factories.make_version("other")
    factories.make_prediction(factories.make_pair(barn.project), presence=0.5, model_version=other)
    histogram = presence_histogram(project=barn.project)
    assert {place: n for place, n in enumerate(histogram.counts) if n} == {0: 1, 4: 1, 5: 1, 40: 1, 60: 1, 99: 1}
    bars = [(low, n) for low, _, n in histogram.rows if n]
    assert bars == [(0.0, 2), (0.05, 1), (0.4, 1), (0.6, 1), (0.95, 1)]
    assert (histogram.in_band, histogram.total) == (2, 6)


def shown(barn, **wanted) -> set[str]:
    return set(names(queue_page(project=barn.project, wanted=QueueFilter(**wanted))))


def test_person_filter_finds_what_they_hold_answered_or_get_next(barn):
    task(barn, "kept", assignee=barn.annotator)
    task(barn, "free")
    task(barn, "held", holder=barn.annotator)
    factories.make_annotation(task(barn, "answered"), barn.annotator)
    who = barn.annotator.pk
    assert shown(barn, person=who) == {"kept"}
    assert shown(barn, person=who, state="claimed") == {"held"}
    assert shown(barn, person=who, state="submitted") == {"answered"}
    assert shown(barn, person=barn.reviewer.pk) == set()


def test_presence_filter_reads_the_score_of_the_model_that_proposes(barn):
    for name, presence in (("low", 0.2), ("edge", 0.4), ("high", 0.9)):
        row = task(barn, name, predicted=False)
        factories.make_prediction(row.pair, presence)
        factories.make_prediction(row.pair, 0.3, model_version=factories.make_version("older"))
    task(barn, "unscored", predicted=False)
    assert shown(barn, presence_low=0.4) == {"edge", "high"}
    assert shown(barn, presence_high=0.4) == {"low", "edge"}
    assert shown(barn, presence_low=0.3, presence_high=0.5) == {"edge"}


def test_filters_of_the_address_reach_the_page_and_bad_ones_are_no_filter(barn, signed_in):
    row = task(barn, "one", assignee=barn.annotator)
    factories.make_concept(barn.project, "duck")
    address = reverse("queue", args=["barn"])
    browser = signed_in(barn.reviewer)
    asked = {"person": barn.annotator.pk, "presence_low": "0.45", "presence_high": "0.55", "concept": barn.chicken.pk}
    assert browser.get(address, asked).context["found"].tasks == [row]
    assert browser.get(address, asked | {"presence_low": "0.51"}).context["found"].tasks == []
    for bad in ({"presence_low": "x"}, {"presence_high": "nan"}, {"presence_low": "2"}, {"person": "-1"}):
        assert browser.get(address, bad).context["found"].tasks == [row]


def test_pages_of_a_filtered_queue_keep_the_filter(barn, signed_in):
    image = factories.make_image(barn.project)
    concepts = [factories.make_concept(barn.project, f"thing {n}") for n in range(PAGE + 1)]
    pairs = [factories.make_pair(barn.project, concept, image) for concept in concepts]
    Task.objects.bulk_create(Task(project=barn.project, pair=pair, lane="band", assignee=barn.admin) for pair in pairs)
    page = signed_in(barn.admin).get(reverse("queue", args=["barn"]), {"person": barn.admin.pk})
    link = re.search(r'href="(\?[^"]*after=[^"]*)"', page.content.decode())[1].replace("&amp;", "&")
    second = signed_in(barn.admin).get(reverse("queue", args=["barn"]) + link)
    assert len(second.context["found"].tasks) == 1
    assert second.context["wanted"].person == barn.admin.pk


def test_challenger_is_offered_to_mining_only_where_there_is_one(barn, signed_in):
    address, admin = reverse("queue", args=["barn"]), signed_in(barn.admin)
    assert 'name="challenger"' not in admin.get(address).content.decode()
    factories.make_version("barn-v2", project=barn.project)
    page = admin.get(address).content.decode()
    assert 'name="challenger"' in page
    assert "Ask barn-v2 as well" in page
    assert 'name="challenger"' not in signed_in(barn.annotator).get(address).content.decode()
    factories.make_pair(barn.project)
    admin.post(reverse("mine", args=["barn"]), {"challenger": "on", "settled": "on"})
    params = barn.project.jobs.get().params
    assert (params["challenger"], params["settled"]) == ("barn-v2", True)


def test_histogram_of_another_project_stays_there(barn):
    other = factories.make_project(name="Other")
    factories.make_concept(other)
    factories.make_prediction(factories.make_pair(other), presence=0.5)
    assert presence_histogram(project=barn.project).total == 0


def test_queries_do_not_grow_with_the_queue(barn, signed_in):
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            signed_in(barn.admin).get(reverse("queue", args=["barn"]))
        return len(queries)

    task(barn, "first", holder=None)
    few = count()
    for number in range(12):
        task(barn, f"more {number}")
    assert count() == few


def test_masks_are_not_read_for_the_list(barn, signed_in):
    task(barn, "only")
    with CaptureQueriesContext(connection) as queries:
        signed_in(barn.admin).get(reverse("queue", args=["barn"]))
    wide = [query["sql"] for query in queries if '"instances"' in query["sql"]]
    assert wide == []
    assert Prediction.objects.count() == 1


def test_mine_button_starts_one_job(barn, signed_in):
    factories.make_pair(barn.project)
    browser = signed_in(barn.admin)
    for _ in range(2):
        assert browser.post(reverse("mine", args=["barn"]))["Location"] == reverse("queue", args=["barn"])
    assert barn.project.jobs.filter(kind=Job.Kind.MINE).count() == 1


def test_mine_with_nothing_to_mine_says_so(barn, signed_in):
    page = signed_in(barn.admin).post(reverse("mine", args=["barn"]), follow=True).content.decode()
    assert "There is nothing to mine" in page
    assert not barn.project.jobs.exists()


def test_empty_queue_says_what_to_do(barn, signed_in):
    address = reverse("queue", args=["barn"])
    assert "Press <strong>Mine now</strong>" in signed_in(barn.admin).get(address).content.decode()
    assert "An admin mines for more" in signed_in(barn.annotator).get(address).content.decode()


def test_band_is_kept_from_the_queue(barn, signed_in):
    signed_in(barn.admin).post(reverse("band-set", args=["barn"]), {"presence_low": "0.3", "presence_high": "0.7"})
    barn.project.refresh_from_db()
    assert (barn.project.presence_low, barn.project.presence_high) == (0.3, 0.7)


@pytest.mark.parametrize("band", [("0.7", "0.3"), ("0.5", "0.5"), ("-1", "0.5"), ("x", "0.5"), ("nan", "0.5")])
def test_band_that_is_none_changes_nothing_and_says_so(barn, signed_in, band):
    form = dict(zip(("presence_low", "presence_high"), band, strict=True))
    page = signed_in(barn.admin).post(reverse("band-set", args=["barn"]), form, follow=True)
    barn.project.refresh_from_db()
    assert (barn.project.presence_low, barn.project.presence_high) == (0.4, 0.6)
    assert 'role="alert"' in page.content.decode()


def test_report_of_mining_names_reasons_and_challenger_in_words(barn, signed_in):
    report = {"scored": 7, "challenger_scored": 6, "queued": {"band": 4, "honeypot": 1, "bygone": 2}}
    job = factories.make_job(barn.project, Job.Kind.MINE, state=Job.State.SUCCEEDED, report=report)
    page = signed_in(barn.annotator).get(reverse("job", args=["barn", job.pk])).content.decode()
    for words in ("scored by the challenger", "presence in the band", "known answer", "bygone"):
        assert words in page
