"""A WebP that EXIF turns (case i04): what the desk draws lies where model and preview have it, at every zoom."""

import io
from pathlib import Path

import pytest

from annotator.data.image_store import image_add
from annotator.models import Pair
from tests import factories

pytestmark = pytest.mark.browser

TURNED = Path(__file__).parents[1] / "data" / "turned.webp"
# Red lies top right, yellow bottom left of the upright picture of 1600 x 2400 px.
CORNERS = """async (address) => {
  const bitmap = await createImageBitmap(await (await fetch(address)).blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const at = (x, y) => [...context.getImageData(x * bitmap.width, y * bitmap.height, 1, 1).data].slice(0, 3);
  const corners = [at(0.04, 0.03), at(0.96, 0.03), at(0.17, 0.83), at(0.96, 0.97)];
  return { size: [bitmap.width, bitmap.height], corners };
}"""


def test_I05_turned_webp_has_the_rows_size_and_its_colours_where_the_preview_has_them(stage):
    project = stage.barn.project
    image, _ = image_add(project=project, stream=io.BytesIO(TURNED.read_bytes()), name="turned.webp", split="train")
    factories.make_task(project, Pair.objects.get(image=image, concept=stage.barn.chicken))
    desk = stage.desk_for()
    address = f"/media/{project.slug}/{image.sha256}"
    whole, preview = (desk.page.evaluate(CORNERS, address + query) for query in ("", "?preview=2048"))
    assert whole["size"] == [image.width, image.height] == [1600, 2400]
    assert preview["size"] == [1365, 2048]
    for mine, others in zip(whole["corners"], preview["corners"], strict=True):
        assert max(abs(a - b) for a, b in zip(mine, others, strict=True)) < 40
    red, yellow = whole["corners"][1], whole["corners"][2]
    assert red[0] > 150 > max(red[1:])
    assert min(yellow[:2]) > 150 > yellow[2]
    with desk.page.expect_response(lambda response: response.url.endswith(address)) as answer:
        desk.press("Shift+Z")
    assert answer.value.headers["content-type"] == "image/png"
