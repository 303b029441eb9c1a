"""A project's data repository: a git repository of its own whose images and documents DVC holds.

    VAR/datasets/<slug>/    images/<2>/<sha256>.jpg    snapshot/{train,…}.json    images.dvc, snapshot.dvc: in git

It is never the application's own repository. Where data versions go from here is `<ROOST_DATA_REMOTE>/<slug>/`: `dvc/`
is DVC's remote, and `repository.bundle` is the git side, which `git clone` reads as it lies.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.models import Project
from toolbox.files import make_folder, write_text, written_whole

from . import buckets
from .dvc import dvc, git
from .image_files import image_file

IMAGES, SNAPSHOT, BUNDLE, BRANCH = "images", "snapshot", "repository.bundle", "main"
ENDINGS = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
)
README = """# Data of {slug}

Every tag is one data version. `images/` holds the pictures under their SHA-256, `snapshot/` the SA-Co documents.

    git checkout TAG
    dvc pull

`manage.py dataset checkout TAG --into FOLDER --from HERE` does both and checks every file's hash.
"""

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Remote:
    """Where data versions are pushed to: a folder, or s3://bucket/prefix."""

    place: str

    @property
    def dvc_url(self) -> str:
        return f"{self.place}/dvc"

    def bundle_put(self, bundle: Path) -> None:
        if buckets.is_bucket(self.place):
            place = buckets.place_named(self.place)
            buckets.object_put(place, f"{place.prefix}{BUNDLE}", bundle)
            return
        with written_whole(Path(self.place) / BUNDLE) as beside:
            shutil.copyfile(bundle, beside)

    def bundle_fetch(self, target: Path) -> bool:
        """Whether there is one."""
        if not buckets.is_bucket(self.place):
            found = Path(self.place) / BUNDLE
            return found.is_file() and bool(shutil.copyfile(found, target))
        place = buckets.place_named(self.place)
        try:
            with buckets.object_opened(place, f"{place.prefix}{BUNDLE}") as stream, target.open("wb") as file:
                shutil.copyfileobj(stream, file)
        except buckets.ObjectAbsentError:
            return False
        return True


def remote_of(slug: str) -> Remote | None:
    """As ROOST_DATA_REMOTE says; None without one."""
    place = settings.DATA_REMOTE.rstrip("/")
    if not place:
        return None
    if not buckets.is_bucket(place) and not Path(place).is_absolute():
        raise RoostError(f"ROOST_DATA_REMOTE is a folder's whole path or s3://bucket/prefix, not {place!r}.")
    return Remote(f"{place}/{slug}")


def configuration(url: str | None) -> str:
    """What DVC reads; `url`: its remote. Hard links: a file of a version is there once, and read-only."""
    lines = ["[core]", "    analytics = false", "    check_update = false"]
    if url:
        lines += ["    remote = store"]
    lines += ["[cache]", '    type = "reflink,hardlink,copy"']
    if url:
        lines += ["['remote \"store\"']", f"    url = {url}"]
        if buckets.is_bucket(url) and settings.S3_ENDPOINT:
            lines += [f"    endpointurl = {settings.S3_ENDPOINT}"]
    return "\n".join(lines) + "\n"


class DataRepository:
    def __init__(self, project: Project) -> None:
        self.slug = project.slug
        self.folder = settings.DATASETS_DIR / project.slug

    def commit_of(self, tag: str) -> str:
        """The commit that a tag names; empty where there is none."""
        return tag_commit(self.folder, tag)

    def prepare(self, remote: Remote | None) -> None:
        """Make it, or bring its settings up to date. One job at a time works here: an old lock is a killed one's."""
        make_folder(self.folder / ".dvc")
        if not (self.folder / ".git").is_dir():
            git(self.folder, "init", "--quiet", f"--initial-branch={BRANCH}")
        (self.folder / ".git" / "index.lock").unlink(missing_ok=True)
        write_text(self.folder / ".dvc" / "config", configuration(remote.dvc_url if remote else None))
        write_text(self.folder / ".dvc" / ".gitignore", "/config.local\n/tmp\n/cache\n")
        write_text(self.folder / ".dvcignore", "")
        write_text(self.folder / ".gitignore", f"/{IMAGES}\n/{SNAPSHOT}\n")
        write_text(self.folder / "README.md", README.format(slug=self.slug))

    def lay_out(self, *, documents: Path, images: Iterable[str], show: Callable[[int], object]) -> int:
        """The working files as this version has them; how many images. `show(n)` may raise to stop."""
        shutil.rmtree(self.folder / SNAPSHOT, ignore_errors=True)
        shutil.copytree(documents, self.folder / SNAPSHOT)
        here = {path.stem: path for path in (self.folder / IMAGES).glob("??/*")}
        count = 0
        for count, sha256 in enumerate(images, 1):
            if here.pop(sha256, None) is None:
                _link(image_file(sha256), self.folder / IMAGES / sha256[:2])
            show(count)
        for path in here.values():
            path.unlink()
        return count

    def commit(self, *, message: str, at: datetime, tag: str, should_stop: Stop) -> str:
        """Give the files to DVC and their pointers to git; the commit. The same files and time give the same commit."""
        dvc(self.folder, "add", "--quiet", IMAGES, SNAPSHOT, should_stop=should_stop)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", message, at=at)
        git(self.folder, "tag", "--", tag)
        return self.commit_of(tag)

    def tag(self, *, tag: str, commit: str) -> None:
        git(self.folder, "tag", "--", tag, commit)

    def push(self, remote: Remote, should_stop: Stop) -> None:
        """The data of all tags, then the git side: whoever sees a tag there finds its data."""
        dvc(self.folder, "push", "--quiet", "--all-tags", should_stop=should_stop)
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / BUNDLE
            git(self.folder, "bundle", "create", "--quiet", str(bundle), "HEAD", BRANCH, "--tags")
            remote.bundle_put(bundle)


def tag_commit(folder: Path, tag: str) -> str:
    if not (folder / ".git").is_dir():
        return ""
    return git(folder, "for-each-ref", "--format=%(objectname)", f"refs/tags/{tag}").strip()


def _link(original: Path, folder: Path) -> None:
    """Under its hash with an ending that other programs go by. DVC makes a copy of its own of a linked file."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{original.name}{_ending(original)}"
    try:
        target.hardlink_to(original)
    except OSError:  # another file system
        shutil.copyfile(original, target)


def _ending(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(8)
    return next((ending for magic, ending in ENDINGS if start.startswith(magic)), ".image")
