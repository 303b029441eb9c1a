"""The demo project "Barn": drawn scenes, three people, and enough approved work to begin the loop.

The training tower draws the scenes in a child process. What the drawing knows of the unlabelled ones goes to
VAR_DIR/demo_truth.json for tests and the simulated annotator; the database never learns it.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from annotator.common.errors import RoostError
from annotator.common.masks import rle_checked
from annotator.common.project_settings import project_settings_update
from annotator.data.image_store import NewImage, image_file_store, image_rows_add
from annotator.home.services import project_create
from annotator.models import Image, Membership, Pair, Project
from annotator.people.services import member_set
from toolbox.files import write_json
from toolbox.processes import child_command

SLUG, NAME, CONCEPTS = "barn", "Barn", ("chicken", "duck")
# The usual margins, 2 and 5 points, take more pairs than the demo's holdout has: it is judged as a pilot would be.
SMALL_HOLDOUT = {"gate_alarm_margin": 0.1, "gate_recall_margin": 0.1}
ROLES = {role: role for role in ("admin", "annotator", "reviewer")}
# The demo project's seeds begin here; the demo model was trained and measured on lower ones.
FIRST_SEED = 2_000_000
ROWS_A_COMMIT = 200
Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoSize:
    """Scenes (images) of each use; every image counts one pair a concept."""

    unlabelled_easy: int = 120
    unlabelled_hard: int = 480
    approved_easy: int = 100
    holdout_a_domain: int = 75
    seed: int = FIRST_SEED

    @property
    def easy(self) -> int:
        return self.unlabelled_easy + self.approved_easy + self.holdout_a_domain

    @property
    def hard(self) -> int:
        return self.unlabelled_hard + self.holdout_a_domain


@dataclass(frozen=True)
class _Scene:
    path: Path
    domain: str
    instances: dict[str, list[dict]]
    use: str  # unlabelled, approved or holdout


def truth_path() -> Path:
    return settings.VAR_DIR / "demo_truth.json"


def logins_path() -> Path:
    return settings.VAR_DIR / "demo_logins.txt"


def demo_create(*, size: DemoSize | None = None, say: Say = print) -> tuple[Project, bool]:
    """The demo project, and whether it was made just now; after a break-off, called again, it adds what is missing."""
    project = Project.objects.filter(slug=SLUG).first()
    if project is not None and truth_path().exists():
        return project, False
    project = project or _project_with_people(say)
    size = size or DemoSize()
    folder = Path(tempfile.mkdtemp(prefix="roost-scenes-"))
    try:
        say(f"drawing {size.easy + size.hard} barn scenes")
        _draw(folder, size)
        _scenes_store(project, _scenes(folder, size))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"the demo project has {project.images.count()} images, {project.pairs.count()} pairs")
    return project, True


@transaction.atomic
def _project_with_people(say: Say) -> Project:
    users = {name: _user(name) for name in ROLES}
    admin = users["admin"][0]
    project = project_create(name=NAME, concepts=CONCEPTS, user=admin, is_demo=True)
    project_settings_update(project=project, user=admin, **SMALL_HOLDOUT)
    for name, role in ROLES.items():
        member_set(project=project, member=users[name][0], role=Membership.Role(role), user=users["admin"][0])
    new = {name: password for name, (_, password) in users.items() if password}
    if new:
        _logins_write(new)
        for name, password in new.items():
            say(f"log-in: {name} / {password}")
        say(f"kept in {logins_path()}")
    return project


def _user(name: str) -> tuple[AbstractBaseUser, str | None]:
    """The user of that name and, if just made, the password: random, and never shown again."""
    users = get_user_model().objects
    if existing := users.filter(username=name).first():
        return existing, None
    password = secrets.token_urlsafe(12)
    return users.create_user(username=name, password=password), password


def _logins_write(logins: dict[str, str]) -> None:
    """One `name password` a line, readable by the owner alone from the first byte on."""
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(logins_path(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name} {password}\n" for name, password in logins.items())


def _draw(folder: Path, size: DemoSize) -> None:
    """Ask the training tower for the pictures, as files."""
    counts = ["--easy", str(size.easy), "--hard", str(size.hard), "--seed", str(size.seed)]
    command = [sys.executable, "-m", "training.demo.render", "--out", str(folder), *counts]
    done = subprocess.run(child_command(command), cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RoostError(f"The demo's scenes could not be drawn:\n{done.stderr[-2000:]}")


def _scenes(folder: Path, size: DemoSize) -> list[_Scene]:
    """Every scene with its use. Seeds are independent draws, so any run of them is a random sample."""
    truth = json.loads((folder / "truth.json").read_text())
    uses = {
        "easy": ["unlabelled"] * size.unlabelled_easy
        + ["approved"] * size.approved_easy
        + ["holdout"] * size.holdout_a_domain,
        "hard": ["unlabelled"] * size.unlabelled_hard + ["holdout"] * size.holdout_a_domain,
    }
    return [
        _Scene(folder / name, row["domain"], _checked(row), uses[row["domain"]][row["seed"] - size.seed])
        for name, row in truth.items()
    ]


def _checked(row: dict) -> dict[str, list[dict]]:
    size = {"height_px": row["height"], "width_px": row["width"]}
    return {
        concept: [dict(rle_checked(rle, **size)) for rle in row["instances"].get(concept, [])] for concept in CONCEPTS
    }


def _scenes_store(project: Project, scenes: Sequence[_Scene]) -> None:
    """Images, pairs and their truth in commits of limited size; the truth file last, as the sign of completeness."""
    hidden: dict[str, dict] = {}
    for batch in _batches(scenes, ROWS_A_COMMIT // (1 + len(CONCEPTS))):
        stored = [(scene, _stored(scene)) for scene in batch]
        with transaction.atomic():
            image_rows_add(project=project, images=[new for _, new in stored])
            for scene, new in stored:
                if scene.use == "unlabelled":
                    hidden[new.stored.sha256] = {"domain": scene.domain, "instances": scene.instances}
                else:
                    _truth_write(project, new.stored.sha256, scene)
    write_json(truth_path(), hidden, alone=True)


def _batches(scenes: Sequence[_Scene], size: int) -> Iterator[Sequence[_Scene]]:
    return (scenes[start : start + size] for start in range(0, len(scenes), size))


def _stored(scene: _Scene) -> NewImage:
    with scene.path.open("rb") as stream:
        stored = image_file_store(stream=stream)
    split = Image.Split.HOLDOUT if scene.use == "holdout" else None
    return NewImage(stored=stored, name=scene.path.name, source=f"demo {scene.domain}", split=split)


def _truth_write(project: Project, sha256: str, scene: _Scene) -> None:
    for concept, rles in scene.instances.items():
        pair = Pair.objects.filter(project=project, image__sha256=sha256, concept__name=concept)
        pair.filter(truth=Pair.Truth.UNSEEN).update(
            truth=Pair.Truth.PRESENT if rles else Pair.Truth.ABSENT,
            truth_source=Pair.TruthSource.DRAWN,
            instances=[_instance(rle) for rle in rles],
            settled_at=timezone.now(),
        )


def _instance(rle: dict) -> dict:
    return {"mask": rle, "origin": "drawn", "prompts": [], "model_version": None, "score": None, "edited": False}
