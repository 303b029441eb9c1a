/**
 * Tools, view and mask edits on one image: what the annotator's desk and a fixing reviewer share. `actions` maps the
 * names of the shortcut table to edits; an edit answers with a sentence for the status line, or nothing.
 */

import { Counterparts } from "../work/counterparts.js";
import { createHover } from "./hover.js";
import { maskContains } from "../mask/masks.js";
import { drawLive, drawPicture, drawSettled } from "./render.js";
import { createBrushTool } from "./tools/brush.js";
import { createEraserTool } from "./tools/eraser.js";
import { createPanTool } from "./tools/pan.js";
import { createPointTool } from "./tools/point.js";
import { PolygonTool } from "./tools/polygon.js";
import { toScreen } from "./viewport.js";
import { itemAt, openProposals, proposalStatus } from "../work/work.js";
import { Workspace } from "./workspace.js";

/** @import { Border } from "../model/border.js" */
/** @import { Clicker } from "../model/clicker.js" */
/** @import { Page } from "../page/page.js" */
/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/**
 * @typedef {object} EditingParts
 * @property {HTMLElement} stage
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {Clicker} clicker
 * @property {Border} border
 * @property {Page['settings']} settings
 * @property {(text: string | null | void) => void} say
 * @property {Scene} scene
 * @property {(name: string) => void} onTool
 */

/** @import { Point } from "../mask/rle.js" */
/** @import { createPicture } from "./picture.js" */
/**
 * What is on the stage; its fields may change between images.
 * @typedef {object} Scene
 * @property {ReturnType<typeof createPicture> | null} picture
 * @property {string} colour
 * @property {Point | null} pin
 * @property {boolean} [hidesSettled]
 * @property {() => boolean} isLocked
 * @property {() => string | null} lockedReason
 * @property {(layer: string, canvas: any) => void} [drawMore]
 */

const BRUSHES = new Set(["brush", "eraser"]);
const BRUSH_STEP = 1.2;
const BRUSH_LIMITS = [1, 200]; // CSS pixels of radius: zooming in makes the brush finer
const ARROW_CSS_PX = 12;
const ARROW_FAR = 6;
const ZOOM_STEP = 1.4;
const SETTLED_KEYS = ["proposals", "instances", "rejected", "absent", "parked", "image"];
/** @type {Record<string, [number, number]>} */
const ARROWS = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };
const NAMES = { point: "Point and box.", brush: "Brush.", eraser: "Eraser.", polygon: "Polygon.", pan: "Move." };

export class Editing {
  workspace;
  hover;
  counterparts;
  /** @type {EditingParts} */
  #parts;
  #tools;
  #preview = null; // the mask under a resting pointer
  #crosshair = null; // the keyboard's pointer, image point
  #isHidden = false;
  #replaced = null; // key of the instance that the hand stands in for

  /** @param {EditingParts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.counterparts = new Counterparts(parts);
    this.workspace = this.#makeWorkspace();
    this.hover = createHover({
      clicker: parts.clicker,
      isWanted: (point) => this.#wantsPreview(point),
      onPreview: (mask) => this.#showPreview(mask),
    });
    this.#tools = this.#makeTools();
    this.workspace.setTool(this.#tools.point);
    parts.store.subscribe((state, changed) => this.#onState(state, changed));
    parts.stage.addEventListener("pointermove", () => this.#setCrosshair(null));
  }

  get actions() {
    const { editor } = this.#parts;
    return {
      ...this.#viewActions(),
      ...this.#toolActions(),
      accept: () => this.#accept(),
      drop: () => this.#drop(),
      undo: () => this.#undo(),
      redo: () => this.#redo(),
      take: () => editor.take(),
      split: () => editor.split(),
      merge: () => this.counterparts.merge(),
      delete: () => editor.remove(),
      candidate: () => editor.cycleCandidate(),
      "fill-holes": () => editor.fillHoles(),
    };
  }

  /** A new image is in the store: show it whole, with the tools as they were. */
  show() {
    this.hover.clear();
    this.#parts.clicker.stop();
    this.#crosshair = null;
    this.#tools.polygon.cancel();
    this.workspace.show(this.#image);
    this.#resume();
  }

  get #image() {
    return this.#parts.store.state.image ?? { width: 1, height: 1 };
  }

  /** Picture pixels a CSS pixel. */
  get #unit() {
    return globalThis.devicePixelRatio / this.workspace.view.scale;
  }

  #makeWorkspace() {
    const paint = {
      image: (canvas) => this.#paintImage(canvas),
      settled: (canvas) => this.#paintSettled(canvas),
      live: (canvas) => this.#paintLive(canvas),
    };
    const { stage, scene } = this.#parts;
    return new Workspace(stage, { paint, onView: (view) => scene.picture?.lookCloser(view.scale) });
  }

  #redraw() {
    this.workspace.invalidate("live");
  }

  /** Painting */

  #paintImage(canvas) {
    drawPicture(canvas, this.#parts.scene.picture, this.#image);
  }

  #paintSettled(canvas) {
    const { store, scene } = this.#parts;
    const statusOf = (index) => proposalStatus(store.state, index);
    drawSettled(canvas, store.state, {
      colour: scene.colour,
      others: this.#otherConcepts(),
      statusOf,
      isHidden: this.#isHidden || scene.hidesSettled,
    });
    scene.drawMore?.("settled", canvas);
  }

  /** What is marked under the concepts that are not in hand: [{colour, instances}]. */
  #otherConcepts() {
    const { group, parked } = this.#parts.store.state;
    const others = group.filter(({ taskId }) => taskId in parked);
    return others.map(({ taskId, colour }) => ({ colour, instances: parked[taskId].instances }));
  }

  #paintLive(canvas) {
    const { store, scene } = this.#parts;
    const shown = { preview: this.#preview, crosshair: this.#crosshair, isHidden: this.#isHidden };
    drawLive(canvas, store.state, { ...shown, selected: this.#selected(), tool: this.workspace.tool, pin: scene.pin });
    scene.drawMore?.("live", canvas);
  }

  #selected() {
    const { store, scene } = this.#parts;
    const { cursor } = store.state;
    const item = scene.hidesSettled ? null : itemAt(store.state, cursor);
    const isRejected = cursor?.kind === "proposal" && proposalStatus(store.state, cursor.key) === "rejected";
    return item && { mask: item.mask, colour: scene.colour, isRejected };
  }

  /** The settled canvas is drawn only when what it shows has changed: a click draws the live one alone. */
  #onState(state, changed) {
    if (changed.has("hand")) this.#preview = null;
    const replaced = state.hand?.replaces ?? null;
    if (replaced !== this.#replaced || SETTLED_KEYS.some((key) => changed.has(key)))
      this.workspace.invalidate("settled");
    this.#replaced = replaced;
    this.#redraw();
  }

  /** Pointing */

  #makeTools() {
    const { editor, settings, say } = this.#parts;
    const radius = () => settings.get("brush") * this.#unit;
    const shared = { image: () => this.#image, redraw: () => this.#redraw(), radius, tell: say };
    const painting = (edit) => (mask) => this.#unlocked(() => edit(mask));
    const pointing = {
      onPoint: (point) => this.#click(point),
      onBox: (box) => this.#drawBox(box),
      onHover: (point) => this.hover.at(point),
    };
    return {
      point: createPointTool({ ...shared, ...pointing }),
      brush: createBrushTool({ ...shared, onStroke: painting((mask) => editor.paint(mask)) }),
      eraser: createEraserTool({ ...shared, onStroke: painting((mask) => editor.erase(mask)) }),
      polygon: new PolygonTool({ ...shared, onClose: painting((mask) => editor.paint(mask)) }),
      pan: createPanTool({ panBy: (dx, dy) => this.workspace.pan(dx, dy) }),
    };
  }

  #whileUnlocked(edit) {
    const { scene } = this.#parts;
    return scene.isLocked() ? scene.lockedReason() : edit();
  }

  #unlocked(edit) {
    this.#parts.say(this.#whileUnlocked(edit));
  }

  #click(point) {
    const startedAt = performance.now();
    const { editor, clicker } = this.#parts;
    this.#unlocked(() => editor.addPrompt(point) ?? void clicker.askForHand(startedAt));
  }

  #drawBox(box) {
    const startedAt = performance.now();
    const { editor, clicker } = this.#parts;
    this.#unlocked(() => {
      editor.setBox(box);
      clicker.askForHand(startedAt);
    });
  }

  #wantsPreview(point) {
    const { settings, scene, store } = this.#parts;
    if (!settings.get("hover") || scene.isLocked() || store.state.hand) return false;
    return !store.state.instances.some((one) => maskContains(one.mask, point));
  }

  #showPreview(mask) {
    this.#preview = this.#parts.store.state.hand ? null : mask;
    this.#redraw();
  }

  /** Keyboard's pointer */

  #setCrosshair(point) {
    if (!point && !this.#crosshair) return;
    this.#crosshair = point;
    this.#redraw();
  }

  #moveCrosshair([dx, dy], event) {
    const { width, height } = this.#image;
    const step = ARROW_CSS_PX * this.#unit * (event?.shiftKey ? ARROW_FAR : 1);
    const from = this.#crosshair ?? { x: width / 2, y: height / 2 };
    const within = (value, limit) => Math.min(limit - 0.5, Math.max(0.5, value));
    this.#setCrosshair({ x: within(from.x + dx * step, width), y: within(from.y + dy * step, height) });
    this.workspace.reveal(this.#crosshair);
  }

  /** What the tool would do with the pointer, done at the cross-hair. */
  #pressAtCrosshair(button) {
    const point = this.#crosshair;
    if (!point) return "Move the cross-hair with the arrow keys first.";
    const { view, tool } = this.workspace;
    const event = {
      point,
      screen: toScreen(view, point),
      view,
      unit: globalThis.devicePixelRatio,
      button,
      shift: false,
    };
    tool.down?.(event);
    tool.up?.(event);
    tool.leave?.();
    return null;
  }

  /** Edits */

  #accept() {
    if (this.#tools.polygon.isOpen) return void this.#tools.polygon.close();
    return this.#parts.editor.accept();
  }

  #drop() {
    if (this.#tools.polygon.isOpen) return void this.#tools.polygon.cancel();
    this.#parts.clicker.stop();
    this.hover.clear();
    return this.#parts.editor.drop();
  }

  /** Undo goes corner by corner while a polygon is open. */
  #undo() {
    if (this.#tools.polygon.undo()) return "Corner taken back.";
    const sentence = this.#parts.editor.undo();
    this.#resume();
    return sentence;
  }

  #redo() {
    const sentence = this.#parts.editor.redo();
    this.#resume();
    return sentence ?? "There is nothing to do again.";
  }

  /** A hand whose answer never came asks for it again. */
  #resume() {
    const { store, editor, clicker } = this.#parts;
    const { hand } = store.state;
    if (hand && hand.state !== "idle" && editor.askAgain()) clicker.askForHand();
  }

  #toolActions() {
    const choose = Object.keys(this.#tools).map((name) => [`tool-${name}`, () => this.#chooseTool(name)]);
    const arrows = Object.entries(ARROWS).map(([name, step]) => [
      `pointer-${name}`,
      (event) => this.#moveCrosshair(step, event),
    ]);
    return {
      ...Object.fromEntries([...choose, ...arrows]),
      smaller: (event) => this.#size(-1, event),
      larger: (event) => this.#size(1, event),
      "point-add": () => this.#pressAtCrosshair(0),
      "point-subtract": () => this.#pressAtCrosshair(2),
    };
  }

  #chooseTool(name) {
    this.workspace.setTool(this.#tools[name]);
    this.hover.clear();
    this.#parts.onTool(name);
    return NAMES[name];
  }

  /** `[` and `]`: the brush's size where one is in hand, else the border of the mask. */
  #size(step, event) {
    if (BRUSHES.has(this.workspace.tool.name)) return this.#sizeBrush(BRUSH_STEP ** step);
    return this.#whileUnlocked(() => this.#parts.border.move(step, Boolean(event?.repeat)));
  }

  #sizeBrush(factor) {
    const { settings, onTool } = this.#parts;
    const [least, most] = BRUSH_LIMITS;
    settings.set("brush", Math.min(most, Math.max(least, settings.get("brush") * factor)));
    onTool(this.workspace.tool.name);
    this.#redraw();
    return `Brush ${Math.round(2 * settings.get("brush") * this.#unit)} picture pixels wide.`;
  }

  #viewActions() {
    return {
      "zoom-object": () => this.#zoomToObject(),
      "zoom-fit": () => this.workspace.fit(),
      "zoom-actual": () => this.workspace.actual(),
      "zoom-in": () => this.workspace.zoom(ZOOM_STEP),
      "zoom-out": () => this.workspace.zoom(1 / ZOOM_STEP),
      "hide-masks": () => this.#toggleMasks(),
    };
  }

  #zoomToObject() {
    const { state } = this.#parts.store;
    const item = state.hand ?? itemAt(state, state.cursor) ?? openProposals(state)[0] ?? state.instances.at(-1);
    if (!item?.mask.width) return "There is no object to zoom to.";
    this.workspace.zoomToBox(item.mask);
    return null;
  }

  #toggleMasks() {
    this.#isHidden = !this.#isHidden;
    this.workspace.invalidate("settled", "live");
    return this.#isHidden ? "Masks hidden." : "Masks shown.";
  }
}
