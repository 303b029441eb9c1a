/**
 * The stage: three canvases of the screen's size in device pixels, one view, and pointer events in image pixels for
 * the tool at hand. Knows no tasks; `paint` = {image, settled, live}, each drawing one canvas when told to.
 */

import { createPointers } from "./pointers.js";
import { boxView, centredOn, clampView, fitView, oneToOne, panBy, toScreen, zoomAbout } from "./viewport.js";

const LAYERS = ["image", "settled", "live"];
const WHEEL_SPEED = 0.0015;
const OBJECT_MARGIN = 0.3; // of the screen's shorter side

export function createWorkspace(stage, { paint, onView }) {
  const canvases = Object.fromEntries(LAYERS.map((layer) => [layer, stage.querySelector(`canvas[data-layer=${layer}]`)]));
  const contexts = Object.fromEntries(LAYERS.map((layer) => [layer, canvases[layer].getContext("2d")]));
  const dirty = new Set();
  let screen = { width: 1, height: 1 };
  let image = { width: 1, height: 1 };
  let view = fitView(image, screen);
  let isFitted = true; // until somebody zooms, the picture follows the window's size
  let frameAsked = false;

  const unit = () => screen.width / Math.max(stage.clientWidth, 1);
  const canvasOf = (layer) => ({ context: contexts[layer], view, screen, unit: unit() });

  function invalidate(...layers) {
    for (const layer of layers.length ? layers : LAYERS) dirty.add(layer);
    if (frameAsked) return;
    frameAsked = true;
    requestAnimationFrame(drawFrame);
  }

  function drawFrame() {
    frameAsked = false;
    for (const layer of dirty) paint[layer](canvasOf(layer));
    dirty.clear();
  }

  function setView(wanted, { fitted = false } = {}) {
    view = clampView(wanted, image, screen);
    isFitted = fitted;
    onView(view);
    invalidate();
  }

  function resize(width, height) {
    screen = { width: Math.max(1, width), height: Math.max(1, height) };
    for (const canvas of Object.values(canvases)) Object.assign(canvas, screen);
    setView(isFitted ? fitView(image, screen) : view, { fitted: isFitted });
    drawFrame(); // setting a canvas's size clears it: draw in this very frame, or it flashes
  }

  observeDevicePixels(stage, resize);
  const pan = (dx, dy) => setView(panBy(view, dx, dy));
  const zoomAt = (point, factor) => setView(zoomAbout(view, point, factor, image, screen));
  const pointers = createPointers(stage, { view: () => view, unit, pan, zoomAt });
  stage.addEventListener("wheel", onWheel, { passive: false });

  function onWheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
    zoomAt(pointers.screenPoint(event), Math.exp(-event.deltaY * lines * WHEEL_SPEED));
  }

  const middle = () => ({ x: screen.width / 2, y: screen.height / 2 });
  return {
    invalidate,
    get view() {
      return view;
    },
    get tool() {
      return pointers.tool;
    },
    setTool(tool) {
      pointers.setTool(tool);
      stage.style.cursor = tool.cursor;
      invalidate("live");
    },
    show(newImage) {
      image = newImage;
      setView(fitView(image, screen), { fitted: true });
    },
    /** Paint at once instead of at the next frame: for what a key press is waiting for. */
    paintNow: drawFrame,
    pan,
    fit: () => setView(fitView(image, screen), { fitted: true }),
    actual: () => setView(oneToOne(view, screen)),
    zoom: (factor) => zoomAt(middle(), factor),
    zoomToBox: (box) => setView(boxView(box, screen, OBJECT_MARGIN * Math.min(screen.width, screen.height))),
    /** Bring a point into sight, for the keyboard's cross-hair. */
    reveal(point) {
      const { x, y } = toScreen(view, point);
      if (x < 0 || y < 0 || x > screen.width || y > screen.height) setView(centredOn(point, view.scale, screen));
    },
  };
}

/** Calls back with the element's size in device pixels, exactly where the browser tells it. */
function observeDevicePixels(element, onSize) {
  const observer = new ResizeObserver(([entry]) => {
    const exact = entry.devicePixelContentBoxSize?.[0];
    const ratio = globalThis.devicePixelRatio;
    const { width, height } = entry.contentRect;
    if (exact) onSize(exact.inlineSize, exact.blockSize);
    else onSize(Math.round(width * ratio), Math.round(height * ratio));
  });
  try {
    observer.observe(element, { box: "device-pixel-content-box" });
  } catch {
    observer.observe(element);
  }
}
