"""Names, tags and the difference of data versions: by service, page and command."""

import io
import json
import subprocess
import time

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotator.common.errors import ConflictError, RoostError
from annotator.data.snapshot_difference import snapshot_difference
from annotator.data.snapshot_documents import pair_line
from annotator.data.snapshot_names import snapshot_describe, tag_flaw
from annotator.data.snapshots import snapshot_create, snapshot_start
from annotator.jobs.runner import job_run
from annotator.models import AuditEvent, Pair, Snapshot
from tests import factories


def take(barn) -> Snapshot:
    return snapshot_create(project=barn.project, user=barn.admin)


def pair(barn, truth: str = "present", **fields) -> Pair:
    return factories.make_pair(barn.project, truth=truth, **fields)


TAGS = [
    *("v1.0-baseline", "v2.0-hard-negatives-added", "release/1", "a@b", "x{y}", "1", "a,b=c!"),
    *("", "a b", "a..b", "a~1", "a^", "a:b", "a?", "a*", "a[1]", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a."),
    *("a.lock", "a.lock/b", "a@{1}", "@", "-a", "a\tb", "a\x7f"),
]


@pytest.mark.parametrize("tag", TAGS)
def test_tag_is_refused_where_git_refuses_it(tag):
    """git's own check is asked; a tag like `-a` passes there and is refused by `git tag`."""
    good = subprocess.run(["git", "check-ref-format", f"refs/tags/{tag}"], check=False).returncode == 0
    if tag:
        assert (tag_flaw(tag) == "") == (good and tag not in ("-a", "@"))


def test_name_notes_and_tag_are_given_when_it_is_taken(transactional_db):
    barn = factories.make_barn()
    pair(barn)
    job = snapshot_start(project=barn.project, user=barn.admin, name="Baseline", notes="Before.", tag="v1.0-baseline")
    job_run(job_id=job.pk)
    snapshot = barn.project.snapshots.get()
    assert (snapshot.name, snapshot.notes, snapshot.tag) == ("Baseline", "Before.", "v1.0-baseline")
    again = snapshot_start(project=barn.project, user=barn.admin, tag="v2.0")
    job_run(job_id=again.pk)
    again.refresh_from_db()
    snapshot.refresh_from_db()
    assert snapshot.tag == "v1.0-baseline"
    assert "keeps what it has of its own as tag" in again.report["notes"]


def test_tag_is_one_of_a_kind_in_a_project_and_free_in_another(barn):
    pair(barn)
    snapshot_describe(snapshot=take(barn), user=barn.admin, tag="v1")
    pair(barn)
    second = take(barn)
    with pytest.raises(ConflictError, match="taken by snapshot 1"):
        snapshot_describe(snapshot=second, user=barn.admin, tag="v1")
    with pytest.raises(ConflictError, match="folder of the other"):
        snapshot_describe(snapshot=second, user=barn.admin, tag="v1/b")
    other = factories.make_snapshot(factories.make_project())
    assert snapshot_describe(snapshot=other, user=barn.admin, tag="v1").tag == "v1"


def test_naming_is_audited_and_a_bad_tag_changes_nothing(barn):
    pair(barn)
    snapshot = take(barn)
    snapshot_describe(snapshot=snapshot, user=barn.admin, name="Baseline")
    assert AuditEvent.objects.filter(action="snapshot.name", details={"name": "Baseline"}).count() == 1
    with pytest.raises(RoostError, match="holds a space"):
        snapshot_describe(snapshot=snapshot, user=barn.admin, name="Other", tag="two words")
    snapshot.refresh_from_db()
    assert snapshot.name == "Baseline"


@pytest.fixture
def two(barn) -> tuple[Snapshot, Snapshot]:
    """Between the two one pair came, one went, one turned, one got another mask and one was moved; one stayed."""
    gone, turned, redrawn, moved, _ = pair(barn), pair(barn, "absent"), pair(barn), pair(barn), pair(barn)
    first = take(barn)
    pair(barn, "absent", concept=factories.make_concept(barn.project, "duck"))
    gone.delete()
    turned.truth, turned.instances = "present", [factories.make_instance()]
    redrawn.instances = [factories.make_instance(factories.box_rle(1, 1, 5, 5))]
    turned.save(), redrawn.save()
    moved.image.split = "val"
    moved.image.save()
    return first, take(barn)


def test_difference_counts_what_came_went_and_changed(two):
    found = snapshot_difference(before=two[0], after=two[1])
    assert found.counts == {"added": 1, "changed": 3, "removed": 1, "same": 1}
    assert found.by_concept["chicken"] == {
        ("removed", "present"): 1,
        ("changed", "absent → present"): 1,
        ("changed", "present"): 2,
    }
    assert found.by_concept["duck"] == {("added", "absent"): 1}
    assert found.aspects == {"verdict": 1, "masks": 2, "split": 1}


def test_difference_page_shows_pictures_and_links(barn, two, signed_in):
    page = (
        signed_in(barn.annotator).get(reverse("snapshot-difference", args=[barn.project.slug, 1, 2])).content.decode()
    )
    assert "absent → present" in page
    image = barn.project.pairs.get(concept__name="duck").image
    assert reverse("image", args=[barn.project.slug, image.sha256]) in page


def test_picture_that_the_project_has_no_more_is_told_without_a_link(barn, two, signed_in):
    gone = barn.project.pairs.get(concept__name="duck").image
    gone.delete()
    page = signed_in(barn.admin).get(reverse("snapshot-difference", args=[barn.project.slug, 1, 2])).content.decode()
    assert "No longer in the project" in page
    assert reverse("image", args=[barn.project.slug, gone.sha256]) not in page


def test_whoever_may_be_tested_sees_no_difference(barn, two, signed_in):
    barn.project.honeypot_share = 0.1
    barn.project.save()
    address = reverse("snapshot-difference", args=[barn.project.slug, 1, 2])
    assert signed_in(barn.annotator).get(address).status_code == 403
    assert (
        "train.json"
        not in signed_in(barn.annotator).get(reverse("snapshot", args=[barn.project.slug, 1])).content.decode()
    )


def test_page_renames_and_says_why_not(barn, two, signed_in):
    address, client = reverse("snapshot", args=[barn.project.slug, 1]), signed_in(barn.admin)
    client.post(address, {"name": "Baseline", "tag": "v1.0", "notes": "Line one\nLine two"})
    assert barn.project.snapshots.get(number=1).tag == "v1.0"
    refused = client.post(address, {"name": "Baseline", "tag": "v1 0", "notes": ""})
    assert refused.status_code == 400
    assert "space" in refused.content.decode()
    assert signed_in(barn.annotator).post(address, {"name": "Mine"}).status_code == 403


def test_page_tells_what_an_emptied_field_took_away_and_leaves_what_was_not_sent(barn, two, signed_in):
    address, client = reverse("snapshot", args=[barn.project.slug, 1]), signed_in(barn.admin)
    client.post(address, {"name": "Baseline", "tag": "", "notes": "Before."})
    told = client.post(address, {"name": "", "tag": "v1.0"}, follow=True).content.decode()
    assert "Snapshot 1: name taken away, which was «Baseline»; tag set." in told
    snapshot = barn.project.snapshots.get(number=1)
    assert (snapshot.name, snapshot.tag, snapshot.notes) == ("", "v1.0", "Before.")
    assert "Snapshot 1: nothing to change." in client.post(address, {"tag": "v1.0"}, follow=True).content.decode()


def test_snapshot_whose_files_are_gone_still_has_its_page(barn, two, signed_in):
    factories.make_snapshot(barn.project)
    client = signed_in(barn.admin)
    assert client.get(reverse("snapshot", args=[barn.project.slug, 3])).status_code == 200
    told = client.get(reverse("snapshot-difference", args=[barn.project.slug, 1, 3]), follow=True).content.decode()
    assert "are gone" in told


def command(*words: str) -> str:
    out = io.StringIO()
    call_command("dataset", *words, stdout=out)
    return out.getvalue()


def test_command_names_lists_and_compares(barn, two):
    slug = barn.project.slug
    command("name", slug, "1", "--tag", "v1.0")
    assert "v1.0" in command("list", slug)
    command("name", slug, "1", "--name", "Baseline")
    told = io.StringIO()
    call_command("dataset", "name", slug, "1", "--name", "", stdout=io.StringIO(), stderr=told)
    assert told.getvalue() == "Snapshot 1: name taken away, which was «Baseline».\n"
    told = json.loads(command("diff", "v1.0", "2", "--json", "--examples", "-1"))
    assert told["counts"] == {"added": 1, "changed": 3, "removed": 1, "same": 1}
    assert len(told["examples"]) == 5
    assert "1 added, 3 changed, 1 removed, 1 same" in command("diff", "v1.0", "2", "--project", slug)
    with pytest.raises(CommandError, match="no snapshot with the tag or number 'v9'"):
        command("diff", "v9", "2")


def test_a_hundred_thousand_pairs_are_compared_in_seconds(barn, tmp_path, settings):
    settings.SNAPSHOTS_DIR = tmp_path
    snapshots = [factories.make_snapshot(barn.project) for _ in range(2)]
    for shift, snapshot in enumerate(snapshots):
        folder = tmp_path / snapshot.content_hash
        folder.mkdir()
        line = pair_line(
            sha256="%064x", phrase="chicken", split="train", size_px=(16, 16), masks=[], is_exhaustive=True
        )
        text = json.dumps(line) + "\n"
        (folder / "pairs.jsonl").write_text("".join(text % number for number in range(shift, 100_000 + shift)))
    began = time.monotonic()
    found = snapshot_difference(before=snapshots[0], after=snapshots[1])
    assert time.monotonic() - began < 8
    assert found.counts == {"added": 1, "changed": 0, "removed": 1, "same": 99_999}
