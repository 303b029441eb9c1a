"""Why a task is queued has its words in one place: pages have them from there, and send them to the desk's script."""

import json
import re
from pathlib import Path

import pytest
from django.urls import reverse

from annotator.models import Task
from annotator.queue.queue_page import reason_counts
from annotator.queue.selectors import reason_words, reasons_shown
from tests import factories

SCRIPTS = Path(__file__).resolve().parents[2] / "static" / "annotator" / "js"


def test_desk_is_sent_every_lane_but_the_known_answers(barn, signed_in):
    page = signed_in(barn.annotator).get(reverse("desk", args=["barn"])).content.decode()
    found = re.search(r'<script id="reason-words" type="application/json">(.*?)</script>', page)
    assert found is not None
    sent = json.loads(found.group(1))
    assert set(sent) == set(Task.Reason.values) - {"honeypot"}
    assert (sent["borderline"], sent["companion"]) == ("Borderline mask", "Same image, in one pass")


@pytest.mark.parametrize("lane", sorted(Task.Reason.values))
def test_desk_queue_page_and_history_use_the_same_words(barn, lane):
    task = factories.make_task(barn.project, lane=lane)
    shown = "audit" if lane == "honeypot" else lane
    counted = {key: words for key, words, count in reason_counts(project=barn.project) if count}
    assert counted == {shown: reason_words(task)} == {shown: reasons_shown()[shown]}


def test_no_script_types_the_words_again():
    text = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS.rglob("*.js"))
    assert text
    assert [words for words in reasons_shown().values() if f'"{words}"' in text] == []
