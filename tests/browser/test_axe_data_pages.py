"""axe-core over the pages of the data engine with something on them, for every role, light and dark, and on a phone."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from annotator.data.import_undo import import_undo_start
from annotator.data.imports import import_start
from annotator.data.snapshot_names import snapshot_describe
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run
from annotator.models import Feed, FeedFile, Image, Job, Membership
from tests import factories
from tests.browser.desk_support import Stage, chromium
from tests.browser.test_axe import STILL, axe, findings
from tests.browser.test_pages import stage

pytestmark = pytest.mark.browser

__all__ = ["axe", "chromium", "stage"]

PHONE = {"width": 390, "height": 844}


def import_folder(folder) -> None:
    """Outlines, a box, a class of nearly a concept's name, one that nobody knows, and files that are refused."""
    for number in range(4):
        (folder / f"{number}.png").write_bytes(factories.image_bytes(64, 48, seed=90 + number))
    rows = [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 48} for n in range(3)]
    outline = [[5, 5, 40, 5, 40, 30, 5, 30]]
    annotations = [{"id": 1 + n, "image_id": n, "category_id": 1 + n, "segmentation": outline} for n in range(2)]
    annotations += [{"id": 9, "image_id": 2, "category_id": 1, "bbox": [2, 2, 20, 20]}]
    categories = [{"id": 1, "name": "Chickens"}, {"id": 2, "name": "goose"}]
    document = {"images": rows, "annotations": annotations, "categories": categories}
    (folder / "all.json").write_text(json.dumps(document))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "notes.txt").write_text("hello")


def imported(barn, folder, **options) -> Job:
    job = import_start(project=barn.project, user=barn.admin, upload_path=folder, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    return job


def watched(barn) -> None:
    feed = Feed.objects.create(project=barn.project, place="/cameras/1", source="camera 1", error="It is not there.")
    FeedFile.objects.create(feed=feed, key="a", name="a.png", state="refused", why="The file is empty.")
    FeedFile.objects.create(feed=feed, key="b", name="b.png", state="imported", set_aside=True, sampled=True)
    Feed.objects.create(project=barn.project, source="posted", enabled=False)


@pytest.fixture
def pages(barn, tmp_path) -> dict[str, tuple[str, str]]:
    """{name: (least role, address)} of pages on which there is something of each kind that they show."""
    import_folder(tmp_path)
    looked = imported(barn, tmp_path, dry_run=True)
    kept = imported(barn, tmp_path, classes={"Chickens": "chicken"}, exhaustive=True)
    first = snapshot_create(project=barn.project, user=barn.admin)
    snapshot_describe(snapshot=first, user=barn.admin, name="Baseline", tag="v1.0-baseline", notes="Before.")
    factories.make_pair(barn.project, truth="absent")
    second = snapshot_create(project=barn.project, user=barn.admin)
    (tmp_path / "9.png").write_bytes(factories.image_bytes(64, 48, seed=99))
    taken = imported(barn, tmp_path, create_concepts=True)
    undone = import_undo_start(job=taken, user=barn.admin)
    job_run(job_id=undone.pk)
    ids = list(Image.objects.order_by("pk").values_list("pk", flat=True))
    Image.objects.filter(pk__in=ids[:2]).update(scene="a" * 64)
    Image.objects.filter(pk=ids[0]).update(split="holdout")
    Image.objects.filter(pk=ids[-1]).update(removed_at=timezone.now())
    watched(barn)
    export = {"file": "barn.zip", "bytes": 1000, "images": 3, "annotations": 2}
    factories.make_job(barn.project, Job.Kind.EXPORT, state="succeeded", params={"format": "coco"}, report=export)
    slug, (member, reviewer, admin) = barn.project.slug, Membership.Role.values
    jobs = {"look": looked, "import": kept, "undone import": taken, "undo": undone}
    return {name: (member, reverse("job", args=[slug, job.pk])) for name, job in jobs.items()} | {
        "images": (member, reverse("images", args=[slug])),
        "images narrowed": (member, reverse("images", args=[slug]) + "?truth=present&presence_low=0"),
        "splits": (member, reverse("splits", args=[slug])),
        "feeds": (member, reverse("feeds", args=[slug])),
        "trash": (admin, reverse("trash", args=[slug])),
        "changes": (reviewer, reverse("changes", args=[slug])),
        "snapshots and exports": (member, reverse("snapshots", args=[slug])),
        "snapshot": (member, reverse("snapshot", args=[slug, first.number])),
        "difference": (member, reverse("snapshot-difference", args=[slug, first.number, second.number])),
        "audit": (admin, reverse("audit", args=[slug])),
    }


@pytest.mark.parametrize("role", Membership.Role.values)
def test_axe_finds_nothing_on_the_data_pages_with_something_on_them(axe, stage: Stage, pages, role):
    page, roles, found = stage.page_for(getattr(stage.barn, role), ""), Membership.Role.values, []
    for name, (least, url) in pages.items():
        if roles.index(role) < roles.index(least):
            continue
        assert page.goto(stage.url + url).status == 200, name
        page.wait_for_function(STILL)
        found += findings(page, axe, name, dark_too=role == Membership.Role.ADMIN)
    assert found == []


def test_data_pages_with_something_on_them_fit_a_phone(stage: Stage, pages):
    page = stage.page_for(stage.barn.admin, "")
    page.set_viewport_size(PHONE)
    for name, (_, url) in pages.items():
        page.goto(stage.url + url)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
