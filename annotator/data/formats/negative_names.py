"""Names of folders and files by which people say «negatives»: `not-chicken`, `no hen`, `negatives`. A hint, no more."""

import re

_SAID = re.compile(r"(?:(?:verified|hard)[ _-]+)?(not|no|non|without|negatives?(?:[ _-]+(?:of|for))?)[ _-]+(.+)", re.I)
_SAID_AFTER = re.compile(r"(.+?)[ _-]+(?:verified[ _-]+|hard[ _-]+)?negatives?", re.I)
_BARE = re.compile(r"(?:verified[ _-]+|hard[ _-]+)?(?:neg|negatives?)(?:[ _-]*\d+)?", re.I)


def negative_name(name: str) -> str | None:
    """What a name says not to be there: "chicken" of `not-chicken`, "" of `negatives`; None where it says nothing."""
    text = name.strip()
    if _BARE.fullmatch(text):
        return ""
    if found := _SAID.fullmatch(text):
        told = found[2].strip(" _-")
        return told if any(one.isalpha() for one in told) else None
    if found := _SAID_AFTER.fullmatch(text):
        return found[1].strip(" _-")
    return None


def folders_proposed(pictures: list[str]) -> dict[str, str]:
    """{folder: what its name says not to be there}, the outermost of each path, of the folders of `pictures`."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for picture in pictures:
        folder = picture.rpartition("/")[0]
        if folder in seen:
            continue
        seen.add(folder)
        parts = folder.split("/") if folder else []
        for depth, part in enumerate(parts, start=1):
            if (told := negative_name(part)) is not None:
                # `chicken/negative` says of what by the folder around it.
                found.setdefault("/".join(parts[:depth]), told or _around(parts[: depth - 1]))
                break
    return found


def _around(above: list[str]) -> str:
    return above[-1] if above and above[-1].lower() not in {"images", "train", "val", "valid", "test"} else ""
