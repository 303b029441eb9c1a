"""A child process that decodes images from strangers, so that a bomb or a decoder's bug ends it and not its parent.

Reads one JSON request a line, `{"path", "max_pixels"}`, answers one line, `{"width", "height", "media_type", "look"}`
(size and perceptual hash after the EXIF transpose) or `{"refused": sentence}`. Starts without Django; image_store.py
holds its leash.
"""

import json
import resource
import signal
import sys
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from toolbox.pixels import look_of

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp", "TIFF": "image/tiff"}
MEMORY_BYTES = 2 * 1024**3
SECONDS = 30
ORIENTATION_TAG = 0x0112
ON_ITS_SIDE = {5, 6, 7, 8}


class RefusedImage(Exception):
    """No image that Roost takes; the text says why."""


def probe(path: str, max_pixels: int) -> dict[str, Any]:
    """Decode the first frame wholly; its size and type, or why not."""
    try:
        return _decoded(path, max_pixels)
    except RefusedImage as error:
        return {"refused": str(error)}
    except Image.UnidentifiedImageError:
        return {"refused": f"It is no image that Roost reads ({', '.join(FORMATS)})."}
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return {"refused": "It would take too much memory to decode."}
    except Exception as error:
        return {"refused": f"The file is damaged: {error}."}


def _decoded(path: str, max_pixels: int) -> dict[str, Any]:
    with Image.open(path, formats=list(FORMATS)) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise RefusedImage(
                f"It has {width} x {height} px, more than the {max_pixels:,} px that ROOST_MAX_IMAGE_PIXELS allows."
            )
        image.load()
        if image.getexif().get(ORIENTATION_TAG) in ON_ITS_SIDE:
            width, height = height, width
        media_type = FORMATS[str(image.format)]
        look = look_of(np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
        return {"width": width, "height": height, "media_type": media_type, "look": look}


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
