/**
 * The stage: three canvases of the screen's size in device pixels, one view, and pointer events in image pixels for
 * the tool at hand. Knows no tasks; `paint` = {image, settled, live}, each drawing one canvas when told to.
 */

import { Pointers } from "./pointers.js";
import { boxView, centredOn, clampView, fitView, oneToOne, panBy, toScreen, zoomAbout } from "./viewport.js";

const LAYERS = ["image", "settled", "live"];
const WHEEL_SPEED = 0.0015;
const WHEEL_LINE_PX = 33;
const OBJECT_MARGIN = 0.3; // of the screen's shorter side

export class Workspace {
  #stage;
  #paint;
  #onView;
  #canvases;
  #contexts;
  #pointers;
  #dirty = new Set();
  #frameAsked = false;
  #screen = { width: 1, height: 1 };
  #image = { width: 1, height: 1 };
  #view = fitView({ width: 1, height: 1 }, { width: 1, height: 1 });
  #isFitted = true; // until somebody zooms, the picture follows the window's size

  constructor(stage, { paint, onView }) {
    this.#stage = stage;
    this.#paint = paint;
    this.#onView = onView;
    this.#canvases = Object.fromEntries(
      LAYERS.map((layer) => [layer, stage.querySelector(`canvas[data-layer=${layer}]`)]),
    );
    this.#contexts = Object.fromEntries(LAYERS.map((layer) => [layer, this.#canvases[layer].getContext("2d")]));
    this.#pointers = new Pointers(stage, this);
    observeDevicePixels(stage, (width, height) => this.#resize(width, height));
    stage.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
  }

  get view() {
    return this.#view;
  }

  get tool() {
    return this.#pointers.tool;
  }

  /** Device pixels a CSS pixel, as the canvases really are. */
  get unit() {
    return this.#screen.width / Math.max(this.#stage.clientWidth, 1);
  }

  setTool(tool) {
    this.#pointers.setTool(tool);
    this.#stage.style.cursor = tool.cursor;
    this.invalidate("live");
  }

  /** Have these canvases (or all) drawn in the next frame, once. */
  invalidate(...layers) {
    for (const layer of layers.length ? layers : LAYERS) this.#dirty.add(layer);
    if (this.#frameAsked) return;
    this.#frameAsked = true;
    requestAnimationFrame(() => {
      this.#frameAsked = false;
      this.paintNow();
    });
  }

  /** Draw at once instead of in the next frame: for what a key press is waiting for. */
  paintNow() {
    for (const layer of this.#dirty) {
      this.#paint[layer]({ context: this.#contexts[layer], view: this.#view, screen: this.#screen, unit: this.unit });
    }
    this.#dirty.clear();
  }

  show(image) {
    this.#image = image;
    this.fit();
  }

  fit() {
    this.#setView(fitView(this.#image, this.#screen), { fitted: true });
  }

  actual() {
    this.#setView(oneToOne(this.#view, this.#screen));
  }

  pan(dx, dy) {
    this.#setView(panBy(this.#view, dx, dy));
  }

  zoom(factor) {
    this.zoomAt({ x: this.#screen.width / 2, y: this.#screen.height / 2 }, factor);
  }

  zoomAt(screenPoint, factor) {
    this.#setView(zoomAbout(this.#view, screenPoint, factor, this.#image, this.#screen));
  }

  zoomToBox(box) {
    const margin = OBJECT_MARGIN * Math.min(this.#screen.width, this.#screen.height);
    this.#setView(boxView(box, this.#screen, margin));
  }

  /** Bring a point into sight, for the keyboard's cross-hair. */
  reveal(point) {
    const { x, y } = toScreen(this.#view, point);
    const isSeen = x >= 0 && y >= 0 && x <= this.#screen.width && y <= this.#screen.height;
    if (!isSeen) this.#setView(centredOn(point, this.#view.scale, this.#screen));
  }

  #setView(wanted, { fitted = false } = {}) {
    this.#view = clampView(wanted, this.#image, this.#screen);
    this.#isFitted = fitted;
    this.#onView(this.#view);
    this.invalidate();
  }

  #resize(width, height) {
    this.#screen = { width: Math.max(1, width), height: Math.max(1, height) };
    for (const canvas of Object.values(this.#canvases)) Object.assign(canvas, this.#screen);
    if (this.#isFitted) this.fit();
    else this.#setView(this.#view);
    this.paintNow(); // setting a canvas's size clears it: draw in this very frame, or it flashes
  }

  #onWheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? WHEEL_LINE_PX : 1;
    this.zoomAt(this.#pointers.screenPoint(event), Math.exp(-event.deltaY * lines * WHEEL_SPEED));
  }
}

/** The browser's own count, unless it ignores the page's ratio (as Chromium does where a ratio is emulated). */
function devicePixels(cssPixels, exact) {
  const rounded = Math.round(cssPixels * globalThis.devicePixelRatio);
  return Math.abs((exact ?? Infinity) - rounded) <= 1 ? exact : rounded;
}

/** Calls back with the element's size in device pixels, exactly where the browser tells it. */
function observeDevicePixels(element, onSize) {
  const observer = new ResizeObserver(([entry]) => {
    const { width, height } = entry.contentRect;
    const exact = entry.devicePixelContentBoxSize?.[0];
    onSize(devicePixels(width, exact?.inlineSize), devicePixels(height, exact?.blockSize));
  });
  try {
    observer.observe(element, { box: "device-pixel-content-box" });
  } catch {
    observer.observe(element);
  }
}
