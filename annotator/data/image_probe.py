"""A child process that decodes images from strangers, so that a bomb or a decoder's bug ends it and not its parent.

Reads one JSON request a line, `{"path", "max_pixels"}`, answers one line: `{"width", "height"}` of the upright picture,
`"media_type"`, `"captured_at"` (ISO, or null), `"look"` (toolbox/pixels.py), or `{"refused": sentence}`. Starts without
Django; decoders.py holds its leash.
"""

import json
import resource
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

from toolbox.look import look_of
from toolbox.pixels import MEDIA_TYPES, PixelsError, captured_at, picture_opened, size_upright, small

MEMORY_BYTES = 2 * 1024**3
SECONDS = 30


def probe(path: str, max_pixels: int) -> dict[str, Any]:
    """Decode the first frame wholly; its size, type, time and look, or why not."""
    try:
        with picture_opened(Path(path), max_pixels=max_pixels) as image:
            taken = captured_at(image)
            width, height = size_upright(image)
            return {
                "width": width,
                "height": height,
                "media_type": MEDIA_TYPES[str(image.format)],
                "captured_at": taken.isoformat() if taken else None,
                "look": look_of(small(image)),
            }
    except PixelsError as error:
        return {"refused": sentence(error)}
    except MemoryError:
        return {"refused": "It would take too much memory to decode."}


def sentence(error: PixelsError) -> str:
    words = str(error)
    return f"{words[0].upper()}{words[1:]}."


def main() -> None:
    if sys.platform == "linux":  # elsewhere address space can't be limited
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is the cap, checked before any pixel is decoded
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        signal.alarm(SECONDS)  # should the parent be gone by then, nobody else ends a decoder that hangs
        request = json.loads(line)
        print(json.dumps(probe(request["path"], request["max_pixels"])), flush=True)
        signal.alarm(0)


if __name__ == "__main__":
    main()
