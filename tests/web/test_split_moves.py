"""Images that move between splits: by scene, told where something had used them; scenes that cross are mended."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from annotator.common.errors import ConflictError, RoostError
from annotator.data.hard_negatives import hard_negatives_hold, hard_negatives_state
from annotator.data.image_store import image_add
from annotator.data.scenes_job import scenes_start
from annotator.data.snapshots import snapshot_create
from annotator.data.split_moves import image_split_move, scenes_crossing, splits_mend
from annotator.data.split_shares import splits_reassign
from annotator.data.splits import Shares
from annotator.jobs.runner import job_run
from annotator.models import AuditEvent, Evaluation, Image
from tests import factories
from tests.web.test_scenes import jpeg, scene

A, B = "a" * 64, "b" * 64


def image(barn, split: str, scene_name: str = "", **fields) -> Image:
    return factories.make_image(barn.project, split=split, scene=scene_name, **fields)


def train_on(barn, *images: Image, **truth) -> None:
    """A training run reads a snapshot of these images, and of them alone."""
    for one in images:
        factories.make_pair(barn.project, image=one, **({"truth": "present"} | truth))
    factories.make_training_run(barn.project, snapshot=snapshot_create(project=barn.project, user=barn.admin))


def where(*images: Image) -> list[str]:
    return [Image.objects.get(pk=one.pk).split for one in images]


def test_moving_an_image_takes_its_scene_along(barn):
    one, mate, other = image(barn, "train", A), image(barn, "train", A), image(barn, "train", B)
    moved = image_split_move(project=barn.project, images=[one], split="test", user=barn.admin)
    assert (moved.images, moved.scenes) == (2, 1)
    assert where(one, mate, other) == ["test", "test", "train"]


def test_images_without_a_scene_move_alone(barn):
    one, other = image(barn, "train"), image(barn, "train")
    image_split_move(project=barn.project, images=barn.project.images.filter(pk=one.pk), split="val", user=barn.admin)
    assert where(one, other) == ["val", "train"]


def test_what_a_training_run_has_read_moves_only_by_force_and_is_written_down(barn):
    one, mate = image(barn, "train", A), image(barn, "train", A)
    train_on(barn, one)
    with pytest.raises(ConflictError, match="run 1 as train"):
        image_split_move(project=barn.project, images=[mate], split="holdout", user=barn.admin)
    assert where(one, mate) == ["train", "train"]
    moved = image_split_move(project=barn.project, images=[mate], split="holdout", user=barn.admin, force=True)
    assert moved.used == ("run 1",)
    event = AuditEvent.objects.get(action="split.move")
    assert (event.details["used_by"], event.details["split"], event.actor) == (["run 1"], "holdout", barn.admin)
    assert set(event.details["images"]) == {one.sha256, mate.sha256}


def test_what_an_evaluation_has_read_is_used_as_well(barn):
    one = image(barn, "holdout", A)
    factories.make_pair(barn.project, image=one, truth="absent")
    snapshot = snapshot_create(project=barn.project, user=barn.admin)
    image_split_move(project=barn.project, images=[one], split="test", user=barn.admin)  # nothing has read it yet
    image_split_move(project=barn.project, images=[one], split="holdout", user=barn.admin)
    version = barn.project.serving_version
    Evaluation.objects.create(project=barn.project, version=version, snapshot=snapshot, split="holdout")
    with pytest.raises(ConflictError, match="the evaluation of demo as holdout"):
        image_split_move(project=barn.project, images=[one], split="train", user=barn.admin)


def test_documents_that_are_gone_make_every_older_image_count_as_used(barn):
    one = image(barn, "train", A)
    factories.make_training_run(barn.project)  # its snapshot has a row and no files
    with pytest.raises(ConflictError, match="run 1"):
        image_split_move(project=barn.project, images=[one], split="val", user=barn.admin)


@pytest.mark.parametrize(
    ("splits", "goal"),
    [(("train", "holdout"), "holdout"), (("val", "train"), "val"), (("train", "val", "test"), "test")],
)
def test_scene_that_crosses_is_mended_to_the_split_that_judges_most(barn, splits, goal):
    rows = [image(barn, split, A) for split in splits]
    apart = [image(barn, "train", B), image(barn, "train", B)]
    done = splits_mend(project=barn.project, user=barn.admin)
    assert (done.scenes, done.images, done.left) == (1, len(splits) - 1, 0)
    assert set(where(*rows)) == {goal}
    assert where(*apart) == ["train", "train"]
    assert not scenes_crossing(project=barn.project).exists()
    assert AuditEvent.objects.filter(action="split.move").count() == 1


def test_mending_leaves_what_training_has_read_until_it_is_confirmed(barn):
    rows = [image(barn, "train", A), image(barn, "holdout", A), image(barn, "train", B), image(barn, "val", B)]
    train_on(barn, rows[0])
    done = splits_mend(project=barn.project, user=barn.admin)
    assert (done.scenes, done.left) == (1, 1)
    assert where(*rows) == ["train", "holdout", "val", "val"]
    splits_mend(project=barn.project, user=barn.admin, scenes=[A], force=True)
    assert where(*rows) == ["holdout", "holdout", "val", "val"]
    assert AuditEvent.objects.filter(action="split.move").first().details["used_by"] == ["run 1"]


def test_old_images_get_their_scenes_by_the_job_and_move_nowhere(barn):
    def old(number: int, quality: int, split: str) -> Image:
        data = io.BytesIO(jpeg(scene(number), quality))
        row, _ = image_add(project=barn.project, stream=data, name=f"{number} {quality}.jpg", split=split)
        return row

    rows = [old(1, 90, "train"), old(1, 60, "holdout"), old(2, 90, "train")]
    gone = image(barn, "train")
    Image.objects.update(look="", scene="")
    (gone_path := factories.settings.IMAGES_DIR / gone.sha256[:2] / gone.sha256).unlink()
    assert not gone_path.exists()
    job = scenes_start(project=barn.project, user=barn.admin)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    assert (job.report["scenes"], job.report["crossing"], job.report["failed_count"]) == (3, 1, 1)
    assert where(*rows) == ["train", "holdout", "train"]
    assert {Image.objects.get(pk=row.pk).scene for row in rows[:2]} == {rows[0].sha256}


def test_sharing_out_anew_keeps_the_holdout_and_what_was_used(barn):
    held, used = image(barn, "holdout", A), image(barn, "train", B)
    train_on(barn, used)
    free = [image(barn, "train", f"{number:064x}") for number in range(40)]
    for number, one in enumerate(free):
        factories.make_pair(barn.project, image=one, truth="present" if number % 2 else "absent")
    done = splits_reassign(project=barn.project, user=barn.admin, shares=Shares(70, 15, 15))
    assert done.kept == 2
    assert where(held, used) == ["holdout", "train"]
    counts = {split: where(*free).count(split) for split in ("train", "val", "test")}
    assert sum(counts.values()) == 40
    assert abs(counts["val"] - 6) <= 1
    assert abs(counts["test"] - 6) <= 1
    absent = barn.project.pairs.filter(truth="absent", image__split="val").count()
    assert absent == 3


def hard_negative(barn, scene_name: str = "", split: str = "train") -> Image:
    one = image(barn, split, scene_name)
    factories.make_pair(barn.project, image=one, truth="absent", hard_negative=True)
    return one


def test_hard_negatives_go_into_the_holdout_by_scene_and_only_verified_ones(barn):
    hard, mate = hard_negative(barn, A), image(barn, "train", A)
    fired = image(barn, "train")
    factories.make_prediction(factories.make_pair(barn.project, image=fired, truth="absent"), presence=0.9)
    instances = fired.pairs.get().predictions.get()
    instances.instances = [{**instances.instances[0], "score": 0.8}]
    instances.save()
    quiet, unseen = image(barn, "train"), image(barn, "train")
    factories.make_pair(barn.project, image=quiet, truth="absent")
    factories.make_prediction(factories.make_pair(barn.project, image=unseen), presence=0.9)
    with_positive = hard_negative(barn, B)
    factories.make_pair(barn.project, image=image(barn, "train", B), truth="present")
    assert hard_negatives_state(project=barn.project).free == 2
    hard_negatives_hold(project=barn.project, user=barn.admin, count=10)
    assert where(hard, mate, fired) == ["holdout"] * 3
    assert where(quiet, unseen, with_positive) == ["train"] * 3
    assert hard_negatives_state(project=barn.project).held == 2


def test_hard_negatives_that_training_has_read_do_not_judge(barn):
    one = hard_negative(barn, A)
    factories.make_training_run(barn.project, snapshot=snapshot_create(project=barn.project, user=barn.admin))
    with pytest.raises(RoostError, match="no verified negative left"):
        hard_negatives_hold(project=barn.project, user=barn.admin, count=1)
    assert where(one) == ["train"]


def command(*args: str) -> str:
    out = io.StringIO()
    call_command("splits", "barn", *args, stdout=out)
    return out.getvalue()


def test_command_checks_mends_and_answers_as_json(barn):
    image(barn, "train", A), image(barn, "holdout", A)
    with pytest.raises(CommandError, match="1 scenes lie in several splits"):
        command("--check")
    mended = json.loads(command("--mend", "--json"))
    assert (mended["mended"], mended["crossing"]) == ({"images": 1, "scenes": 1, "left": 0}, 0)
    assert json.loads(command("--check", "--json"))["shares"][0]["counts"]["holdout"] == 2


def test_page_shows_crossing_scenes_and_mends_one_or_all(barn, signed_in):
    rows = [image(barn, "train", A), image(barn, "holdout", A), image(barn, "train", B), image(barn, "val", B)]
    page = signed_in(barn.admin).get("/p/barn/splits/")
    assert page.status_code == 200
    assert page.content.decode().count("→ ") == 2
    signed_in(barn.admin).post("/p/barn/splits/mend/", {"scene": A})
    assert where(*rows) == ["holdout", "holdout", "train", "val"]
    signed_in(barn.admin).post("/p/barn/splits/mend/", {})
    assert where(*rows) == ["holdout", "holdout", "val", "val"]


def test_page_refuses_what_is_no_scene_and_no_share(barn, signed_in):
    rows = [image(barn, "train", A), image(barn, "holdout", A)]
    browser = signed_in(barn.admin)
    browser.post("/p/barn/splits/mend/", {"scene": "nonsense"})
    browser.post("/p/barn/splits/shares/", {"shares": "50/50"})
    browser.post("/p/barn/splits/hard/", {"count": "0"})
    assert where(*rows) == ["train", "holdout"]
    assert browser.get("/p/barn/splits/?after=%00zz").status_code == 200
