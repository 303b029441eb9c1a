import assert from "node:assert/strict";
import { test } from "node:test";

import {
  boxView,
  clampView,
  fitView,
  oneToOne,
  panBy,
  toImage,
  toScreen,
  viewOf,
  visibleBox,
  zoomAbout,
} from "../../static/annotator/js/stage/viewport.js";

const IMAGE = { width: 400, height: 200 };
const SCREEN = { width: 1000, height: 800 };

function assertClose(actual, expected) {
  for (const key of Object.keys(expected))
    assert.ok(Math.abs(actual[key] - expected[key]) < 1e-9, `${key}: ${actual[key]}`);
}

test("screen to image to screen is the same point", () => {
  const view = viewOf(2.5, -37, 91);
  assertClose(toScreen(view, toImage(view, { x: 123.4, y: 56.7 })), { x: 123.4, y: 56.7 });
});

test("fit shows all of the picture, centred, touching the margin", () => {
  const view = fitView(IMAGE, SCREEN, 0);
  assertClose(toScreen(view, { x: 0, y: 100 }), { x: 0, y: 400 });
  assertClose(toScreen(view, { x: 400, y: 100 }), { x: 1000, y: 400 });
});

test("zooming keeps the image point under the pointer", () => {
  const view = fitView(IMAGE, SCREEN);
  const pointer = { x: 321, y: 234 };
  const zoomed = zoomAbout(view, pointer, 3, IMAGE, SCREEN);
  assertClose(toImage(zoomed, pointer), toImage(view, pointer));
  assert.ok(Math.abs(zoomed.scale / view.scale - 3) < 1e-9);
});

test("zooming stops at 64 screen pixels a picture pixel and at half of the whole picture", () => {
  const view = fitView(IMAGE, SCREEN);
  assert.equal(zoomAbout(view, { x: 0, y: 0 }, 1e9, IMAGE, SCREEN).scale, 64);
  assert.equal(zoomAbout(view, { x: 0, y: 0 }, 1e-9, IMAGE, SCREEN).scale, 0.5);
});

test("1:1 puts one picture pixel on one screen pixel and keeps the middle", () => {
  const view = viewOf(3.3, -50, 20);
  const actual = oneToOne(view, SCREEN);
  assert.equal(actual.scale, 1);
  assertClose(toImage(actual, { x: 500, y: 400 }), toImage(view, { x: 500, y: 400 }));
});

test("zoom to an object centres its box", () => {
  const view = boxView({ x: 100, y: 50, width: 10, height: 10 }, SCREEN, 200);
  assertClose(toScreen(view, { x: 105, y: 55 }), { x: 500, y: 400 });
  assert.equal(view.scale, 40);
});

test("the picture can't be pushed out of sight", () => {
  const view = clampView(panBy(viewOf(10, 0, 0), 1e6, -1e6), IMAGE, SCREEN);
  const seen = visibleBox(view, SCREEN);
  assertClose({ right: seen.x + seen.width, top: seen.y }, { right: 25, top: 180 });
});

test("a view well in sight is left alone", () => {
  const view = fitView(IMAGE, SCREEN);
  assertClose(clampView(view, IMAGE, SCREEN), view);
});
