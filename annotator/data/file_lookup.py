"""Which file of an export a document means, however it writes the name.

Documents name their pictures as the machine did that wrote them: with `\\`, from the root of another disk, in another
Unicode form or case than the disk has here, percent-encoded, or as an address of Label Studio.
"""

import posixpath
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus, urlsplit

from annotator.common.errors import ImportRefusedError

SHOWN_NAMES = 3
NO_SUCH_FILE = "No such file is in the export."
BESIDE = 1_000  # a match beside the document outweighs any number of equal folders
LAST = chr(0x10FFFF)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters and more: `C:` is a disk
LOCAL_FILES = re.compile(r"/data/local-files/?\?(?:.*&)?d=([^&]*)")
UPLOAD_HASH = re.compile(r"[0-9a-f]{8}-(?=.)")


class FileUnclearError(ImportRefusedError):
    """No file, or more than one, can be the one that a document names.

    `contested`: the one file called so, where another name of the document fits it better or as well. Should both mean
    one picture after all, that picture's objects are not all known.
    """

    code = "file_unclear"

    def __init__(self, message: str, *, contested: str = "") -> None:
        super().__init__(message)
        self.contested = contested


@dataclass(frozen=True)
class _Match:
    """`claim` is what the document wrote, as a path; `strength` how many parts of it, from the end, the name has."""

    name: str
    strength: int
    claim: str


class FileLookup:
    """The files of a source by the names that documents give them; 100,000 names are indexed in a second."""

    def __init__(self, names: Iterable[str]) -> None:
        self._paths = {_plain(name): name for name in names}
        self._by_folded: dict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            self._by_folded[_folded(path)].append(path)
        # From the last part to the first, sorted: names with the same end lie side by side.
        self._ends = sorted((_backwards(folded), path) for folded, paths in self._by_folded.items() for path in paths)

    def find(self, document: str, written: str) -> str:
        """The name in the source of the file that `document` writes so; FileUnclearError if none or several fit.

        First beside the document, then by the longest end of the path that is the same; a spelling that is equal to
        the letter goes before one that differs in case or Unicode form. Of several equals, the one that shares most
        folders with the document, then the one that is written whole from the source's root.
        """
        return self._match(document, written).name

    def find_all(self, wanted: Sequence[tuple[str, str]]) -> list[str | FileUnclearError]:
        """`find` for all (document, written) that belong together, in their order.

        Different names mean different pictures: where two would come to one file, the one that fits it better has it,
        and of equals none. So a picture that was left out of the export never lends its objects to a namesake. What
        belongs together is one document, or one set of files such as a folder of LabelMe's.
        """
        found = [self._match_or_why(document, written) for document, written in wanted]
        claims: dict[str, dict[str, int]] = defaultdict(dict)
        for match in found:
            if isinstance(match, _Match):
                strengths = claims[match.name]
                strengths[match.claim] = max(match.strength, strengths.get(match.claim, 0))
        return [match if isinstance(match, FileUnclearError) else _granted(match, claims) for match in found]

    def _match_or_why(self, document: str, written: str) -> "_Match | FileUnclearError":
        try:
            return self._match(document, written)
        except FileUnclearError as error:
            return error

    def _match(self, document: str, written: str) -> _Match:
        folder = posixpath.dirname(_plain(document))
        unclear: list[str] = []
        for path, is_whole in _readings(written):
            # What another machine calls from its root is nothing beside the document.
            beside = "" if is_whole else posixpath.normpath(posixpath.join(folder, path))
            claim = _folded(beside or path)
            if beside and (paths := self._beside(beside)):
                if len(paths) == 1:
                    return _Match(self._paths[paths[0]], BESIDE, claim)
                unclear = unclear or paths
                continue
            paths, strength = self._by_end(_parts(path), folder)
            if len(paths) == 1:
                return _Match(self._paths[paths[0]], strength, claim)
            unclear = unclear or paths
        raise (_several([self._paths[path] for path in unclear]) if unclear else FileUnclearError(NO_SUCH_FILE))

    def _beside(self, path: str) -> list[str]:
        if path in self._paths:
            return [path]
        return _most(self._by_folded.get(_folded(path), []), lambda known: (_composed(known) == _composed(path),))

    def _by_end(self, parts: list[str], folder: str) -> tuple[list[str], int]:
        """Names with the longest equal end, and how many parts that is; the best spelt, else nearest, of equals."""
        if not parts:
            return [], 0
        key = _backwards(_folded("/".join(parts)))
        at = bisect_left(self._ends, (key, ""))
        strength = max((_common(key, near) for near, _ in self._ends[max(at - 1, 0) : at + 1]), default=0)
        if not strength:
            return [], 0
        end = "".join(f"{part}\0" for part in key.split("\0")[:strength])
        low, high = bisect_left(self._ends, (end, "")), bisect_left(self._ends, (end + LAST, ""))
        found = [path for _, path in self._ends[low:high]]
        if len(found) > 1:
            tail = parts[-strength:]
            found = _most(found, lambda known: _spelling(_parts(known)[-strength:], tail))
        if len(found) > 1:
            found = _nearest(found, folder)
        if len(found) > 1:
            found = [path for path in found if len(_parts(path)) == strength] or found
        return found, strength


def _readings(written: str) -> Iterator[tuple[str, bool]]:
    """The paths that a text may mean, likeliest first, each with whether it starts at a root of its own."""
    seen: set[str] = set()
    for text, is_whole in _texts(written):
        path = "/".join(_parts(text)) if is_whole else _plain(text)
        if path and path not in seen:
            seen.add(path)
            yield path, is_whole


def _texts(written: str) -> Iterator[tuple[str, bool]]:
    is_whole = written.startswith(("/", "\\")) or written[1:2] == ":"
    if local := LOCAL_FILES.search(written):
        yield unquote(local[1]), True
        yield unquote_plus(local[1]), True
    elif SCHEME.match(written):
        # A bucket's keys may hold `?` and `#`; in an address of the web they end the path.
        path = urlsplit(written).path if written.lower().startswith("http") else written.split("://", 1)[1]
        yield unquote(path), True
        written, is_whole = path, True
    else:
        yield written, is_whole
        if "%" in written:
            yield unquote(written), is_whole
    folders, _, last = unquote(written).replace("\\", "/").rpartition("/")
    if UPLOAD_HASH.match(last):  # Label Studio puts eight characters before the name of an uploaded file
        yield posixpath.join(folders, last[9:]), is_whole


def _granted(match: _Match, claims: dict[str, dict[str, int]]) -> str | FileUnclearError:
    others = {claim: strength for claim, strength in claims[match.name].items() if claim != match.claim}
    own = claims[match.name][match.claim]
    if all(strength < own for strength in others.values()):
        return match.name
    words = f"The export has one file that could be it, {match.name}, and the document names that otherwise as well."
    return FileUnclearError(words, contested=match.name)


def _several(names: list[str]) -> FileUnclearError:
    shown = ", ".join(names[:SHOWN_NAMES]) + (f" and {len(names) - SHOWN_NAMES} more" if names[SHOWN_NAMES:] else "")
    return FileUnclearError(f"Several files are called so ({shown}); write more of the path into the document.")


def _plain(path: str) -> str:
    return posixpath.normpath("/".join(part for part in path.replace("\\", "/").split("/") if part)) if path else ""


def _parts(path: str) -> list[str]:
    return [part for part in _plain(path).split("/") if part not in ("", ".", "..")]


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _folded(path: str) -> str:
    """As disks that do not care for case or Unicode form see it; not casefold(), to which `ß` is `ss`."""
    return path.lower() if path.isascii() else _composed(_composed(path).lower())


def _backwards(folded: str) -> str:
    return "".join(f"{part}\0" for part in reversed(folded.split("/")))


def _common(one: str, other: str) -> int:
    """How many parts both begin with."""
    count = 0
    for mine, yours in zip(one.split("\0")[:-1], other.split("\0")[:-1], strict=False):
        if mine != yours:
            break
        count += 1
    return count


def _spelling(known: list[str], written: list[str]) -> tuple[int, int]:
    exact = sum(mine == yours for mine, yours in zip(known, written, strict=True))
    composed = sum(_composed(mine) == _composed(yours) for mine, yours in zip(known, written, strict=True))
    return exact, composed


def _nearest(paths: list[str], folder: str) -> list[str]:
    """Those that share most folders with the document, from the root on; all, when none shares any."""
    return _most(paths, lambda path: (_common(f"{folder}\0".replace("/", "\0"), path.replace("/", "\0") + "\0"),))


def _most(paths: list[str], score: Callable[[str], tuple[int, ...]]) -> list[str]:
    scores = [score(path) for path in paths]
    return [path for path, own in zip(paths, scores, strict=True) if own == max(scores)]
