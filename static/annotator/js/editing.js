/**
 * Tools, view and mask deeds on one image: what the annotator's desk and a mending reviewer share. `actions` maps the
 * names of the shortcut table to deeds; a deed answers with a sentence for the status line, or nothing.
 */

import { openProposals, itemAt, proposalStatus } from "./editor.js";
import { createHover } from "./hover.js";
import { maskContains } from "./masks.js";
import { drawLive, drawPicture, drawSettled } from "./render.js";
import { createBrushTool } from "./tools/brush.js";
import { createEraserTool } from "./tools/eraser.js";
import { createPanTool } from "./tools/pan.js";
import { createPointTool } from "./tools/point.js";
import { createPolygonTool } from "./tools/polygon.js";
import { toImage } from "./viewport.js";
import { createWorkspace } from "./workspace.js";

const BRUSH_STEP = 1.2;
const BRUSH_LIMITS = [1, 200]; // CSS pixels of radius: zooming in makes the brush finer
const ARROW_CSS_PX = 12;
const ARROW_FAR = 6;
const ZOOM_STEP = 1.4;

/** `scene` is the owner's: {picture, colour, isLocked(), drawMore(layer, canvas)}; it may change between images. */
export function createEditing({ stage, store, editor, clicker, settings, say, scene, onTool }) {
  const live = { preview: null, crosshair: null, isHidden: false };
  const image = () => store.state.image ?? { width: 1, height: 1 };

  const workspace = createWorkspace(stage, {
    paint: { image: paintImage, settled: paintSettled, live: paintLive },
    onView: (view) => scene.picture?.lookCloser(view.scale),
  });
  const redraw = () => workspace.invalidate("live");
  const hover = createHover({
    clicker,
    isWanted: (point) => settings.get("hover") && !scene.isLocked() && !store.state.hand && !isOnInstance(point),
    onPreview(mask) {
      live.preview = store.state.hand ? null : mask;
      redraw();
    },
  });
  const tools = makeTools();
  workspace.setTool(tools.point);
  const stopWatching = store.subscribe(onState);
  stage.addEventListener("pointermove", () => setCrosshair(null));

  function paintImage(canvas) {
    drawPicture(canvas, scene.picture, image());
  }

  function paintSettled(canvas) {
    const { state } = store;
    const statusOf = (index) => proposalStatus(state, index);
    drawSettled(canvas, state, { colour: scene.colour, statusOf, isHidden: live.isHidden || scene.hidesSettled });
    scene.drawMore?.("settled", canvas);
  }

  function paintLive(canvas) {
    const { state } = store;
    const item = scene.hidesSettled ? null : itemAt(state, state.cursor);
    const isRejected = state.cursor?.kind === "proposal" && proposalStatus(state, state.cursor.key) === "rejected";
    const selected = item && { mask: item.mask, colour: scene.colour, isRejected };
    drawLive(canvas, state, { ...live, selected, tool: workspace.tool, pin: scene.pin });
    scene.drawMore?.("live", canvas);
  }

  function makeTools() {
    const shared = { image, redraw, radius: () => settings.get("brush") * unit(), tell: say };
    return {
      point: createPointTool({ ...shared, onPoint: click, onBox: drawBox, onHover: (point) => hover.at(point) }),
      brush: createBrushTool({ ...shared, onStroke: (mask) => unlocked(() => editor.paint(mask)) }),
      eraser: createEraserTool({ ...shared, onStroke: (mask) => unlocked(() => editor.erase(mask)) }),
      polygon: createPolygonTool({ ...shared, onClose: (mask) => unlocked(() => editor.paint(mask)) }),
      pan: createPanTool({ panBy: (dx, dy) => workspace.pan(dx, dy) }),
    };
  }

  /** Picture pixels a CSS pixel. */
  const unit = () => globalThis.devicePixelRatio / workspace.view.scale;

  function unlocked(deed) {
    if (scene.isLocked()) return say(scene.lockedReason());
    const sentence = deed();
    if (sentence) say(sentence);
    return undefined;
  }

  function click(point) {
    const startedAt = performance.now();
    unlocked(() => editor.addPrompt(point) ?? void clicker.askForHand(startedAt));
  }

  function drawBox(box) {
    const startedAt = performance.now();
    unlocked(() => {
      editor.setBox(box);
      clicker.askForHand(startedAt);
    });
  }

  const isOnInstance = (point) => store.state.instances.some((one) => maskContains(one.mask, point));

  let hiddenInstance = null;
  function onState(state, changed) {
    if (changed.has("hand")) live.preview = null;
    const replaced = state.hand?.replaces ?? null;
    const settledToo = ["proposals", "instances", "rejected", "image"].some((key) => changed.has(key));
    if (settledToo || replaced !== hiddenInstance) workspace.invalidate("settled");
    hiddenInstance = replaced;
    redraw();
  }

  function chooseTool(name) {
    workspace.setTool(tools[name]);
    hover.clear();
    onTool(name);
    return { point: "Point and box.", brush: "Brush.", eraser: "Eraser.", polygon: "Polygon.", pan: "Move." }[name];
  }

  function sizeBrush(factor) {
    const [least, most] = BRUSH_LIMITS;
    settings.set("brush", Math.min(most, Math.max(least, settings.get("brush") * factor)));
    onTool(workspace.tool.name);
    redraw();
    return `Brush ${Math.round(2 * settings.get("brush") * unit())} picture pixels wide.`;
  }

  function setCrosshair(point) {
    if (!point && !live.crosshair) return;
    live.crosshair = point;
    redraw();
  }

  function moveCrosshair(dx, dy, event) {
    const step = ARROW_CSS_PX * unit() * (event?.shiftKey ? ARROW_FAR : 1);
    const from = live.crosshair ?? { x: image().width / 2, y: image().height / 2 };
    const within = (value, limit) => Math.min(limit - 0.5, Math.max(0.5, value));
    setCrosshair({ x: within(from.x + dx * step, image().width), y: within(from.y + dy * step, image().height) });
    workspace.reveal(live.crosshair);
  }

  /** What the tool would do with the pointer, done at the cross-hair. */
  function pressAtCrosshair(button) {
    const point = live.crosshair;
    if (!point) return "Move the cross-hair with the arrow keys first.";
    const { view, tool } = workspace;
    const screen = { x: point.x * view.scale + view.x, y: point.y * view.scale + view.y };
    const event = { point: toImage(view, screen), screen, view, unit: globalThis.devicePixelRatio, button, shift: false };
    tool.down?.(event);
    tool.up?.(event);
    tool.leave?.();
    return null;
  }

  /** Undo goes corner by corner while a polygon is open. */
  function undo() {
    if (tools.polygon.isOpen && tools.polygon.undo()) return "Corner taken back.";
    const sentence = editor.undo();
    resume();
    return sentence;
  }

  function redo() {
    const sentence = editor.redo();
    resume();
    return sentence ?? "There is nothing to do again.";
  }

  /** A hand whose answer never came asks for it again. */
  function resume() {
    const { hand } = store.state;
    if (hand && hand.state !== "idle" && editor.askAgain()) clicker.askForHand();
  }

  function zoomToObject() {
    const { state } = store;
    const item = state.hand ?? itemAt(state, state.cursor) ?? openProposals(state)[0] ?? state.instances.at(-1);
    if (!item?.mask.width) return "There is no object to zoom to.";
    workspace.zoomToBox(item.mask);
    return null;
  }

  function accept() {
    if (tools.polygon.isOpen) return void tools.polygon.close();
    return editor.accept();
  }

  function drop() {
    if (tools.polygon.isOpen) return void tools.polygon.cancel();
    clicker.stop();
    hover.clear();
    return editor.drop();
  }

  const actions = {
    accept,
    drop,
    undo,
    redo,
    take: () => editor.take(),
    delete: () => editor.remove(),
    candidate: () => editor.cycleCandidate(),
    "fill-holes": () => editor.fillHoles(),
    ...Object.fromEntries(Object.keys(tools).map((name) => [`tool-${name}`, () => chooseTool(name)])),
    smaller: () => sizeBrush(1 / BRUSH_STEP),
    larger: () => sizeBrush(BRUSH_STEP),
    "zoom-object": zoomToObject,
    "zoom-fit": () => workspace.fit(),
    "zoom-actual": () => workspace.actual(),
    "zoom-in": () => workspace.zoom(ZOOM_STEP),
    "zoom-out": () => workspace.zoom(1 / ZOOM_STEP),
    "hide-masks": () => {
      live.isHidden = !live.isHidden;
      workspace.invalidate("settled", "live");
      return live.isHidden ? "Masks hidden." : "Masks shown.";
    },
    "pointer-left": (event) => moveCrosshair(-1, 0, event),
    "pointer-right": (event) => moveCrosshair(1, 0, event),
    "pointer-up": (event) => moveCrosshair(0, -1, event),
    "pointer-down": (event) => moveCrosshair(0, 1, event),
    "point-add": () => pressAtCrosshair(0),
    "point-subtract": () => pressAtCrosshair(2),
  };

  /** A new image is in the store: show it whole, with the tools as they were. */
  function show() {
    hover.clear();
    clicker.stop();
    live.crosshair = null;
    tools.polygon.cancel();
    workspace.show(image());
    resume();
  }

  return { workspace, actions, show, hover, stop: stopWatching };
}
