/** What the three canvases show: the picture, the settled masks, and what moves under the hand. */

import { drawMask, maskIsVisible } from "./mask-layer.js";
import { isEmpty } from "../mask/masks.js";
import { toScreen } from "./viewport.js";

export const HAND_COLOUR = "#f5d000"; // not in the concepts' palette, light enough for any picture
const SUBTRACT_COLOUR = "#ff5d8f";
const BADGES_UP_TO = 60;

/** `canvas` fields: {context, view, screen, unit} with unit = device pixels a CSS pixel. */
export function drawPicture({ context, view, screen }, picture, image) {
  begin(context, view, screen);
  if (!picture?.bitmap) return;
  context.imageSmoothingEnabled = view.scale < 4;
  context.imageSmoothingQuality = "medium";
  context.drawImage(picture.bitmap, 0, 0, image.width, image.height);
}

export function drawSettled(canvas, state, { colour, others, statusOf, isHidden }) {
  const { context, view, screen, unit } = canvas;
  begin(context, view, screen);
  if (isHidden) return;
  const seen = (mask) => maskIsVisible(mask, view, screen);
  const pixel = unit / view.scale;
  for (const other of others) {
    const look = otherLook(other.colour);
    for (const { mask } of other.instances) if (seen(mask)) drawMask(context, mask, look, pixel);
  }
  for (const { index, mask } of state.proposals) {
    if (statusOf(index) === "open" && seen(mask)) drawMask(context, mask, proposalLook(colour), pixel);
  }
  const shown = state.instances.filter((one) => one.key !== state.hand?.replaces && seen(one.mask));
  for (const { mask } of shown) drawMask(context, mask, instanceLook(colour), pixel);
  if (state.instances.length <= BADGES_UP_TO) drawBadges(canvas, state.instances, shown);
}

const proposalLook = (colour) => ({ colour, fill: 0.12, width: 1.5, dash: [5, 4] });
const instanceLook = (colour) => ({ colour, fill: 0.35, width: 2 });
const otherLook = (colour) => ({ colour, fill: 0.18, width: 1.5, isDimmed: true }); // of a concept that is not in hand
const rejectedLook = { colour: SUBTRACT_COLOUR, fill: 0.1, width: 2, dash: [2, 4] };
const previewLook = { colour: HAND_COLOUR, fill: 0.2, width: 1.5, dash: [3, 3] };
const pendingLook = { colour: HAND_COLOUR, width: 3, dash: [2, 3] }; // waits for the instance or concept to go with it
const handLook = { colour: HAND_COLOUR, fill: 0.35, width: 2.5 };

function begin(context, view, screen) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, screen.width, screen.height);
  context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
}

/** Instances carry the number that they have in the list. */
function drawBadges({ context, view, unit }, all, shown) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const instance of shown) {
    const { x, y } = toScreen(view, topOf(instance.mask));
    disc(context, x, y, 9 * unit, "rgb(0 0 0 / 75%)");
    context.fillStyle = "#fff";
    context.fillText(String(all.indexOf(instance) + 1), x, y + unit);
  }
}

/** The topmost pixel; the crop's corner may lie far from every part of a ragged mask. */
const topOf = ({ x, y, bits }) => ({ x: x + bits.indexOf(1), y });

export function drawLive(canvas, state, scene) {
  const { context, view, screen, unit } = canvas;
  begin(context, view, screen);
  const pixel = unit / view.scale;
  if (!scene.isHidden) {
    if (scene.preview && !isEmpty(scene.preview)) drawMask(context, scene.preview, previewLook, pixel);
    if (scene.selected && !state.hand) drawSelected(canvas, scene.selected);
    const waiting = state.pending && state.instances.find((one) => one.key === state.pending.key);
    if (waiting) drawMask(context, waiting.mask, pendingLook, pixel);
    if (state.hand) drawMask(context, state.hand.mask, handLook, pixel);
  }
  scene.tool?.draw?.(canvas);
  if (state.hand) drawPrompts(canvas, state.hand);
  if (scene.pin) drawPin(canvas, scene.pin);
  if (scene.crosshair) drawCrosshair(canvas, scene.crosshair);
}

/** The item under the cursor: a heavy outline and corner brackets, so that it shows without colour. */
function drawSelected(canvas, { mask, colour, isRejected }) {
  const { context, view, unit } = canvas;
  drawMask(context, mask, isRejected ? rejectedLook : { colour, fill: 0.2, width: 3.5 }, unit / view.scale);
  if (isEmpty(mask)) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  const from = toScreen(view, mask);
  const to = toScreen(view, { x: mask.x + mask.width, y: mask.y + mask.height });
  const gap = 6 * unit;
  const arm = 12 * unit;
  const strokes = /** @type {[number, string][]} */ ([
    [4, "rgb(0 0 0 / 70%)"],
    [2, "#fff"],
  ]);
  for (const [width, style] of strokes) {
    context.beginPath();
    bracket(context, from.x - gap, from.y - gap, arm, arm);
    bracket(context, to.x + gap, from.y - gap, -arm, arm);
    bracket(context, from.x - gap, to.y + gap, arm, -arm);
    bracket(context, to.x + gap, to.y + gap, -arm, -arm);
    line(context, style, width * unit);
  }
  context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
}

function bracket(context, x, y, armX, armY) {
  context.moveTo(x + armX, y);
  context.lineTo(x, y);
  context.lineTo(x, y + armY);
}

function line(context, style, width) {
  context.setLineDash([]);
  context.strokeStyle = style;
  context.lineWidth = width;
  context.stroke();
}

/** Clicks as discs with + or -, boxes as frames; grey while the model has not answered. */
export function drawPrompts(canvas, { prompts, state }, upTo = prompts.length) {
  const { context, view, unit } = canvas;
  context.setTransform(1, 0, 0, 1, 0, 0);
  for (const [i, prompt] of prompts.slice(0, upTo).entries()) {
    if (prompt.box) drawBox(canvas, prompt.box);
    else drawPoint(context, toScreen(view, prompt), prompt.label, i === upTo - 1 ? state : "idle", unit);
  }
}

function drawBox({ context, view, unit }, [x0, y0, x1, y1]) {
  const { x, y } = toScreen(view, { x: x0, y: y0 });
  frame(context, x, y, (x1 - x0) * view.scale, (y1 - y0) * view.scale, unit);
}

export function frame(context, x, y, width, height, unit) {
  const strokes = /** @type {[string, number[]][]} */ ([
    ["rgb(0 0 0 / 70%)", []],
    [HAND_COLOUR, [6, 4]],
  ]);
  for (const [style, dash] of strokes) {
    context.setLineDash(dash.map((length) => length * unit));
    context.strokeStyle = style;
    context.lineWidth = 2 * unit;
    context.strokeRect(x, y, width, height);
  }
}

function drawPoint(context, { x, y }, label, state, unit) {
  disc(context, x, y, 8 * unit, "#000");
  disc(context, x, y, 6.5 * unit, state === "failed" ? "#9aa0a6" : label ? "#ffffff" : SUBTRACT_COLOUR);
  context.beginPath();
  context.moveTo(x - 3.5 * unit, y);
  context.lineTo(x + 3.5 * unit, y);
  if (label) {
    context.moveTo(x, y - 3.5 * unit);
    context.lineTo(x, y + 3.5 * unit);
  }
  line(context, "#000", 2 * unit);
  if (state !== "waiting") return;
  context.beginPath();
  context.arc(x, y, 12 * unit, 0, 2 * Math.PI);
  line(context, HAND_COLOUR, 2 * unit);
}

function disc(context, x, y, radius, style) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = style;
  context.fill();
}

/** Where the reviewer's comment points. */
function drawPin({ context, view, unit }, pin) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  const { x, y } = toScreen(view, pin);
  context.beginPath();
  context.moveTo(x, y);
  context.bezierCurveTo(x - 16 * unit, y - 18 * unit, x - 10 * unit, y - 32 * unit, x, y - 32 * unit);
  context.bezierCurveTo(x + 10 * unit, y - 32 * unit, x + 16 * unit, y - 18 * unit, x, y);
  context.fillStyle = "#d6261d";
  context.fill();
  line(context, "#fff", 2 * unit);
  disc(context, x, y - 21 * unit, 4 * unit, "#fff");
}

function drawCrosshair({ context, view, screen, unit }, point) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  const { x, y } = toScreen(view, point);
  const strokes = /** @type {[number, string][]} */ ([
    [3, "rgb(0 0 0 / 60%)"],
    [1, "#fff"],
  ]);
  for (const [width, style] of strokes) {
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(screen.width, y);
    context.moveTo(x, 0);
    context.lineTo(x, screen.height);
    line(context, style, width * unit);
  }
}
