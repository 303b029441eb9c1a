/** Mouse, pen and fingers on the stage -> calls of the tool at hand; middle button and two fingers move the view. */

import { toImage } from "./viewport.js";

export function createPointers(stage, { view, unit, pan, zoomAt }) {
  const active = new Map(); // pointer id -> screen point
  let tool = { cursor: "default" };
  let mode = null; // "tool" | "pan" | "pinch"

  function screenPoint(event) {
    const box = stage.getBoundingClientRect();
    return { x: (event.clientX - box.left) * unit(), y: (event.clientY - box.top) * unit() };
  }

  function toolEvent(event) {
    const screen = screenPoint(event);
    const { button, shiftKey: shift, timeStamp } = event;
    return { screen, point: toImage(view(), screen), view: view(), unit: unit(), button, shift, timeStamp };
  }

  function onDown(event) {
    stage.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    active.set(event.pointerId, screenPoint(event));
    if (active.size === 2) {
      tool.cancel?.();
      mode = "pinch";
    } else if (active.size === 1) {
      mode = event.button === 1 ? "pan" : "tool";
      if (mode === "tool") tool.down?.(toolEvent(event));
    }
    event.preventDefault();
  }

  function onMove(event) {
    const before = active.get(event.pointerId);
    if (!before) return tool.hover?.(toolEvent(event));
    const now = screenPoint(event);
    if (mode === "pinch") pinch(event.pointerId, before, now);
    active.set(event.pointerId, now);
    if (mode === "pan") pan(now.x - before.x, now.y - before.y);
    if (mode === "tool") for (const step of coalesced(event)) tool.move?.(toolEvent(step));
    return undefined;
  }

  function pinch(id, before, now) {
    const other = [...active].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const stretch = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
    pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    zoomAt({ x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 }, stretch);
  }

  function onUp(event) {
    if (!active.delete(event.pointerId)) return;
    if (mode === "tool") tool.up?.(toolEvent(event));
    if (!active.size) mode = null;
    else if (mode === "tool") mode = null;
  }

  function onCancel(event) {
    active.delete(event.pointerId);
    tool.cancel?.();
    if (!active.size) mode = null;
  }

  stage.addEventListener("pointerdown", onDown);
  stage.addEventListener("pointermove", onMove);
  stage.addEventListener("pointerup", onUp);
  stage.addEventListener("pointercancel", onCancel);
  stage.addEventListener("pointerleave", () => tool.leave?.());
  stage.addEventListener("dblclick", (event) => tool.doubleClick?.(toolEvent(event)));
  stage.addEventListener("contextmenu", (event) => event.preventDefault());

  return {
    screenPoint,
    get tool() {
      return tool;
    },
    setTool(next) {
      tool.cancel?.();
      tool = next;
    },
  };
}

/** All the places a fast pointer was at since the last event: a brush must not cut corners. */
function coalesced(event) {
  const steps = event.getCoalescedEvents?.() ?? [];
  return steps.length ? steps : [event];
}
