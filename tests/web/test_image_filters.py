"""What each filter of the images' page lets through, for whom, and that a walk misses nothing."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotator.data import image_walk
from annotator.data.image_filter import ImageFilter, filter_parsed
from annotator.data.image_walk import Walk, images_walked
from annotator.data.images_page import Tally, images_page, sources_of, split_counts
from annotator.models import Image, Job, Pair, Prediction, Project, Task
from annotator.queue.submissions import task_submit
from annotator.review.decisions import review_decide
from tests import factories
from tests.web.test_submit import wire_instance


def found(barn, user=None, **wanted) -> list[str]:
    page = images_page(project=barn.project, wanted=ImageFilter(**wanted), user=user or barn.admin)
    assert not page.ended_early
    return [row.original_name for row in page.images]


def named(barn, name: str, concept=None, **fields) -> Pair:
    image = factories.make_image(barn.project, original_name=name)
    return factories.make_pair(barn.project, concept, image, **fields)


def answered(barn, pair, verdict="present", author=None):
    author = author or barn.annotator
    task = factories.make_task(barn.project, pair, holder=author)
    instances = [] if verdict == "absent" else [wire_instance(factories.box_rle())]
    return task_submit(
        task=task, user=author, attempt=1, client_uuid=f"{task.pk:032d}", verdict=verdict, instances=instances
    )


def test_present_with_not_every_one_drawn_is_found_by_itself(barn):
    named(barn, "all", truth="present")
    named(barn, "some", truth="present", is_exhaustive=False)
    assert found(barn, truth="partial") == ["some"]
    assert found(barn, truth="present") == ["some", "all"]


def test_imported_truth_is_told_from_peoples(barn):
    named(barn, "ours", truth="absent")
    named(barn, "theirs", truth="absent", truth_source="imported")
    assert found(barn, origin="imported") == ["theirs"]
    assert found(barn, origin="annotated") == ["ours"]


def test_task_state_and_reason_are_those_of_one_task(barn):
    both = named(barn, "band approved, fill waiting")
    factories.make_task(barn.project, both, state=Task.State.APPROVED, lane=Task.Reason.BAND)
    factories.make_task(barn.project, both, lane=Task.Reason.FILL)
    assert found(barn, state="queued", reason="fill") == ["band approved, fill waiting"]
    assert found(barn, state="queued", reason="band") == []


def test_what_is_said_of_a_pair_is_said_of_one_pair(barn):
    duck = factories.make_concept(barn.project, "duck")
    pair = named(barn, "hen there, duck not looked at", truth="present")
    factories.make_pair(barn.project, duck, pair.image)
    assert found(barn, concept=duck.pk, truth="present") == []
    assert found(barn, concept=duck.pk, truth="unseen") == ["hen there, duck not looked at"]


def test_presence_is_the_serving_models_and_never_shows_the_holdout(barn):
    for name, presence, split in (("sure", 0.9, "train"), ("unsure", 0.5, "train"), ("held out", 0.5, "holdout")):
        image = factories.make_image(barn.project, original_name=name, split=split)
        factories.make_prediction(factories.make_pair(barn.project, image=image), presence)
    other = factories.make_prediction(
        named(barn, "another model's"), 0.5, model_version=factories.make_version("other")
    )
    assert other.image_id == other.pair.image_id
    assert found(barn, presence_low=0.4, presence_high=0.6) == ["unsure"]
    assert found(barn, presence_low=0.6) == ["sure"]


def test_person_is_who_answered_last(barn):
    answered(barn, named(barn, "theirs"))
    named(barn, "nobody's")
    assert found(barn, person=barn.annotator.pk) == ["theirs"]
    assert found(barn, person=barn.reviewer.pk) == []


def test_only_reviewers_ask_who_answered_and_where_answers_differ(barn):
    pair = named(barn, "corrected")
    answer = answered(barn, pair)
    review_decide(annotation=answer, reviewer=barn.reviewer, decision="send_back", comment="The tail.")
    named(barn, "other")
    assert found(barn, barn.reviewer, disagreement="corrected") == ["corrected"]
    assert found(barn, barn.annotator, disagreement="corrected") == ["other", "corrected"]
    assert found(barn, barn.annotator, person=barn.annotator.pk) == ["other", "corrected"]


def test_two_verdicts_on_one_pair_are_a_disagreement(barn):
    pair = named(barn, "disputed")
    answer = answered(barn, pair)
    review_decide(annotation=answer, reviewer=barn.reviewer, decision="approve")
    assert found(barn, disagreement="answers") == []
    answered(barn, pair, "absent", factories.make_member(barn.project))
    assert found(barn, disagreement="answers") == ["disputed"]


def test_label_that_the_model_contradicts_is_found(barn):
    seen = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "score": 0.9, "query_score": 0.95, "stability": 0.9}
    factories.make_prediction(named(barn, "called empty", truth="absent"), 0.95, [seen])
    factories.make_prediction(named(barn, "called full", truth="present"), 0.05, [])
    factories.make_prediction(named(barn, "agreed", truth="present"), 0.95, [seen])
    assert found(barn, disagreement="suspected") == ["called full", "called empty"]


def test_name_date_and_import_are_found(barn):
    job = factories.make_job(barn.project, Job.Kind.IMPORT)
    old = factories.make_image(barn.project, original_name="Hen_1.PNG", added_by_import=job)
    Image.objects.filter(pk=old.pk).update(added_at=old.added_at - timedelta(days=40))
    named(barn, "cock", truth="absent", settled_by_import=job)
    named(barn, "duck 100%")
    assert found(barn, name="hen_1.p") == ["Hen_1.PNG"]
    assert found(barn, name="100%") == ["duck 100%"]
    assert found(barn, added_to=timezone.localdate() - timedelta(days=20)) == ["Hen_1.PNG"]
    assert found(barn, added_from=timezone.localdate() - timedelta(days=1), name="c") == ["duck 100%", "cock"]
    assert found(barn, job=job.pk) == ["cock", "Hen_1.PNG"]


def test_known_answer_passes_for_an_audit_and_its_truth_for_unseen(barn):
    pair = named(barn, "asked", truth="present")
    factories.make_task(barn.project, pair, state=Task.State.APPROVED)
    factories.make_task(barn.project, pair, lane=Task.Reason.KNOWN_ANSWER)
    assert found(barn, reason="audit") == ["asked"]
    assert found(barn, truth="unseen") == ["asked"]
    for nothing in ({"truth": "present"}, {"state": "approved"}, {"origin": "annotated"}):
        assert found(barn, **nothing) == []


@pytest.mark.parametrize(
    "wanted",
    [{"truth": "present"}, {"truth": "absent"}, {"origin": "annotated"}, {"truth": "partial"}, {"state": "approved"}],
)
def test_who_may_be_tested_finds_no_truth_by_any_filter(barn, wanted):
    Project.objects.update(honeypot_share=0.1)
    barn.project.refresh_from_db()
    for truth, is_exhaustive in (("present", False), ("absent", True)):
        pair = named(barn, truth, truth=truth, is_exhaustive=is_exhaustive)
        factories.make_task(barn.project, pair, state=Task.State.APPROVED, author=barn.reviewer)
    assert found(barn, barn.annotator, **wanted) == []
    assert found(barn, barn.reviewer, **wanted) != []
    assert found(barn, barn.annotator, truth="unseen") == ["absent", "present"]


def test_walk_in_short_stretches_misses_nothing_and_doubles_nothing(barn, monkeypatch):
    monkeypatch.setattr(image_walk, "FIRST_STRETCH", 4)
    monkeypatch.setattr(image_walk, "LONGEST_STRETCH", 4)
    wanted_ids = []
    for number in range(40):
        pair = named(barn, f"{number}", truth="present" if number % 7 == 0 or number > 35 else "absent")
        wanted_ids += [pair.image_id] if pair.truth == "present" else []
    wanted = ImageFilter(truth="present")
    batches = list(images_walked(project=barn.project, wanted=wanted, user=barn.admin, at_once=3))
    assert [pk for ids in batches for pk in ids] == sorted(wanted_ids, reverse=True)
    back = Walk(project=barn.project, wanted=wanted, user=barn.admin, newer=True)
    assert back.found(at=None, most=99).ids == sorted(wanted_ids)


def test_walk_whose_time_is_over_says_where_to_go_on(barn, monkeypatch):
    monkeypatch.setattr(image_walk, "FIRST_STRETCH", 4)
    monkeypatch.setattr(image_walk, "LONGEST_STRETCH", 4)
    first = named(barn, "needle").image_id
    for number in range(30):
        named(barn, f"hay {number}")
    walk, at, pages = Walk(project=barn.project, wanted=ImageFilter(name="needle"), user=barn.admin), None, 0
    while not (walked := walk.found(at=at, most=5, seconds=0.0)).ids:
        assert walked.ended_early
        at, pages = walked.at, pages + 1
    assert walked.ids == [first]
    assert pages > 3


def test_address_brings_back_the_filter(barn, signed_in):
    wanted = ImageFilter(
        split="val", truth="partial", presence_low=0.25, name="ö & ?", added_from=date(2026, 1, 2), concept=3, job=7
    )
    assert filter_parsed(QueryDict(wanted.address)) == wanted
    assert filter_parsed(QueryDict("split=moon&truth=x&presence_low=nan&added_to=never&person=-1")) == ImageFilter()
    page = signed_in(barn.admin).get(reverse("images", args=["barn"]) + "?" + wanted.address).content.decode()
    assert 'value="ö &amp; ?"' in page
    assert "No image fits" in page


def test_rows_of_a_pair_know_its_image_whoever_makes_them(barn):
    pair = named(barn, "hen")
    Task.objects.bulk_create([Task(project=barn.project, pair_id=pair.pk, lane="band")])
    version = barn.project.serving_version
    Prediction.objects.bulk_create([Prediction(pair_id=pair.pk, model_version=version, presence=0.5, feature=b"")])
    assert Task.objects.get().image_id == pair.image_id
    assert Prediction.objects.get().image_id == pair.image_id


def test_counts_stop_where_counting_would_take_long():
    assert [str(Tally(count)) for count in (0, 10_000, 10_001)] == ["0", "10,000", "more than 10,000"]


def test_splits_are_counted_and_sources_listed_once(barn):
    for source in ("b", "a", "b", ""):
        factories.make_image(barn.project, source=source)
    assert {split: tally.count for split, _, tally in split_counts(project=barn.project)}["train"] == 4
    assert sources_of(project=barn.project) == ["", "a", "b"]


def test_filters_read_no_table_as_a_whole(barn):
    """EXPLAIN of every query of a page: each table is searched by an index or by its key, never scanned."""
    named(barn, "hen", truth="present")
    wanted = ImageFilter(truth="present", state="queued", reason="band", split="train", person=1, presence_low=0.5)
    with CaptureQueriesContext(connection) as queries:
        images_page(project=barn.project, wanted=wanted, user=barn.admin)
    with connection.cursor() as cursor:
        for query in queries:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            plans = [row[3] for row in cursor.fetchall()]
            assert not [plan for plan in plans if plan.startswith("SCAN annotator")], (query["sql"], plans)
