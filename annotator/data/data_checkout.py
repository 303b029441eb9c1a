"""A data version rebuilt in an empty folder, bit for bit, and proven: every file against the hash that names it."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from annotator.common.errors import RoostError
from toolbox.files import write_text

from . import buckets
from .data_repository import BUNDLE, IMAGES, SNAPSHOT, Remote, configuration, remote_of, tag_commit
from .dvc import DataRepositoryError, dvc, dvc_required, git
from .snapshot_documents import PAIRS_FILE, file_sha256
from .snapshot_reading import lines_of


@dataclass(frozen=True)
class CheckedOut:
    revision: str
    content_hash: str
    images: int
    files: int


class NotAsPromisedError(RoostError):
    """A file is not what the version says it is."""

    code = "data_differs"
    http_status = 500


def dataset_checkout(*, tag: str, into: Path, source: str = "", slug: str = "") -> CheckedOut:
    """Clone, pull, check. `source`: a remote's place, a data repository or git's address of one; else as found here."""
    dvc_required()
    into = into.absolute()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise RoostError(f"{into} is not empty; name a folder that is, or is not there yet.")
    was_there = into.exists()
    source = source or _source(tag, slug)
    try:
        _clone(source, tag, into)
        dvc(into, "pull", "--quiet")
        return _checked(into)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        if was_there:
            into.mkdir()
        raise


def _source(tag: str, slug: str) -> str:
    """A data repository of this machine that has the tag, else the remote's of that project."""
    folders = [settings.DATASETS_DIR / slug] if slug else sorted(settings.DATASETS_DIR.glob("*"))
    having = [folder for folder in folders if tag_commit(folder, tag)]
    if len(having) > 1:
        names = ", ".join(folder.name for folder in having)
        raise RoostError(f"More than one project has a version {tag}: {names}. Say which with --project.")
    if having:
        return str(having[0])
    remote = remote_of(slug) if slug else None
    if remote is None:
        words = f"No data repository on this machine has the tag {tag!r}. Say with --from where it was pushed to "
        raise RoostError(f"{words}(a folder or s3://bucket/prefix/<project>), or whose it is with --project.")
    return remote.place


def _clone(source: str, tag: str, into: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / BUNDLE
        if buckets.is_bucket(source) or (Path(source) / BUNDLE).is_file():
            if not Remote(source.rstrip("/")).bundle_fetch(bundle):
                raise RoostError(f"There is no {BUNDLE} in {source}; name the project's own folder there.")
            _clone_from(str(bundle), tag, into)
            url = Remote(source.rstrip("/")).dvc_url
        else:
            _clone_from(source, tag, into)
            cache = Path(source) / ".dvc" / "cache"
            url = str(cache) if cache.is_dir() else ""
    if url:  # where it lies now, which need not be where it lay when it was pushed
        write_text(into / ".dvc" / "config.local", configuration(url))


def _clone_from(address: str, tag: str, into: Path) -> None:
    try:
        git(settings.BASE_DIR, "clone", "--quiet", "--", address, str(into))
    except DataRepositoryError as error:
        raise RoostError(f"{address} can't be cloned: {error}") from error
    if not tag_commit(into, tag):
        tags = git(into, "tag", "--list", "--sort=creatordate").split()
        raise RoostError(f"There is no version {tag!r} there. There are: {', '.join(tags) or 'none'}.")
    git(into, "checkout", "--quiet", f"refs/tags/{tag}")


def _checked(folder: Path) -> CheckedOut:
    """Documents against the manifest, images against their names, the list of pairs against the version's hash."""
    manifest = json.loads((folder / SNAPSHOT / "manifest.json").read_bytes())
    for name, promised in manifest["files"].items():
        _must_be(folder / SNAPSHOT / name, promised)
    if PAIRS_FILE in manifest["files"] and manifest["files"][PAIRS_FILE] != manifest["content_hash"]:
        raise NotAsPromisedError(f"{PAIRS_FILE} is not what the version's hash {manifest['content_hash']} was made of.")
    images = {path.stem: path for path in (folder / IMAGES).glob("??/*")}
    for sha256 in {line["file_name"] for line in lines_of(folder / SNAPSHOT)}:
        if sha256 not in images:
            raise NotAsPromisedError(f"Image {sha256} of the version did not come with it.")
        _must_be(images[sha256], sha256)
    revision = git(folder, "rev-parse", "HEAD").strip()
    return CheckedOut(revision, manifest["content_hash"], len(images), len(images) + len(manifest["files"]) + 1)


def _must_be(path: Path, promised: str) -> None:
    found = file_sha256(path) if path.is_file() else "nothing"
    if found != promised:
        raise NotAsPromisedError(f"{path} should have the SHA-256 {promised}; it has {found}.")
