"""Pictures larger than any screen: a preview first, all pixels when the zoom asks, masks in pixels of the picture."""

import pytest

from tests.browser.desk_support import CHICKENS, chickens_of, decode, deepest_pixel, iou, submitted

pytestmark = pytest.mark.browser

SIDE_PX = 2400


def test_a_large_picture_comes_as_a_preview_and_whole_when_the_zoom_asks(stage):
    task, scene = stage.add_task(CHICKENS, side_px=SIDE_PX)
    chicken = max(chickens_of(scene), key=lambda mask: mask.sum())
    x, y = deepest_pixel(chicken[::8, ::8])
    x, y = 8 * x * 224 / SIDE_PX, 8 * y * 224 / SIDE_PX
    desk = stage.desk_for()
    desk.says("proposed")
    whole = f"/media/{stage.barn.project.slug}/{task.pair.image.sha256}"
    assert fetched(desk, whole) == ["?preview=2048"]
    with desk.page.expect_response(lambda response: response.url.endswith(whole)):
        desk.press("Shift+Z")
    desk.press("0")
    desk.click(x, y)
    desk.says("Mask in hand")
    desk.press("Enter", "Space", "Space")
    [instance] = submitted().instances
    assert instance["mask"]["size"] == [SIDE_PX, SIDE_PX]
    assert iou(decode(instance["mask"]), chicken) > 0.6


def fetched(desk, address: str) -> list[str]:
    """What the page has asked for of this picture: the queries of its addresses."""
    urls = desk.page.evaluate("() => performance.getEntriesByType('resource').map((entry) => entry.name)")
    return [url.partition(address)[2] for url in urls if address in url]
