/** A grid that is decided together: masks over the previews, arrow keys from one to the next, a live count. */

import { createActiveClock } from "../../annotator/js/desk/clock.js";
import { drawMask } from "../../annotator/js/stage/mask-layer.js";
import { maskFromWire } from "../../annotator/js/mask/rle.js";

const LOOK = { fill: 0.35, width: 1.5 };

function showMasks(canvas, wires) {
  const masks = wires.map(maskFromWire);
  const look = { ...LOOK, colour: canvas.dataset.colour };
  new ResizeObserver(() => {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const scale = canvas.width / Number(canvas.dataset.width);
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    for (const mask of masks) drawMask(context, mask, look, ratio / scale);
  }).observe(canvas);
}

/** Which card lies one step that way: up and down by what the screen shows, not by the order alone. */
export function neighbour(boxes, from, key) {
  if (key === "ArrowRight") return Math.min(from + 1, boxes.length - 1);
  if (key === "ArrowLeft") return Math.max(from - 1, 0);
  const down = key === "ArrowDown" ? 1 : -1;
  const middle = (box) => box.left + box.width / 2;
  const beyond = boxes.map((box, at) => ({ at, box })).filter(({ box }) => (box.top - boxes[from].top) * down > 1);
  if (!beyond.length) return from;
  const row = down * Math.min(...beyond.map(({ box }) => box.top * down));
  const inRow = beyond.filter(({ box }) => Math.abs(box.top - row) < 1);
  const away = ({ box }) => Math.abs(middle(box) - middle(boxes[from]));
  return inRow.reduce((best, one) => (away(one) < away(best) ? one : best)).at;
}

/** Sends along how long somebody really looked. */
function time(form, field) {
  const clock = createActiveClock(() => performance.now());
  clock.touch();
  for (const sign of ["pointermove", "keydown", "scroll"]) document.addEventListener(sign, () => clock.touch());
  document.addEventListener("visibilitychange", () => (document.hidden ? clock.hide() : clock.touch()));
  form.addEventListener("submit", () => {
    field.value = clock.seconds.toFixed(1);
  });
}

function start(form) {
  const ticks = [...form.querySelectorAll("input[name=answer]")];

  function count() {
    const chosen = ticks.filter((tick) => tick.checked).length;
    form.querySelector("[data-count]").textContent = String(chosen);
    form.querySelector("[data-told]").textContent = `${chosen} of ${ticks.length} selected`;
    form.querySelector("button[type=submit]").disabled = chosen === 0;
  }

  form.addEventListener("change", count);
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-select]");
    if (!button) return;
    for (const tick of ticks) tick.checked = button.dataset.select === "all";
    count();
  });
  form.addEventListener("keydown", (event) => {
    const at = ticks.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.toLowerCase() === "o") location.assign(ticks[at].dataset.open);
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const boxes = ticks.map((tick) => tick.closest("label").getBoundingClientRect());
    ticks[neighbour(boxes, at, event.key)].focus();
  });
  count(); // the browser may have kept ticks over a reload
  ticks[0].focus({ preventScroll: true });
}

const form = globalThis.document?.getElementById("bulk-form");
if (form) {
  const masks = JSON.parse(document.getElementById("bulk-masks").textContent);
  for (const canvas of form.querySelectorAll("canvas[data-answer]")) showMasks(canvas, masks[canvas.dataset.answer]);
  start(form);
  if (form.elements.active_seconds) time(form, form.elements.active_seconds);
}
