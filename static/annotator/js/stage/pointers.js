/** Mouse, pen and fingers on the stage -> the tool at hand; middle button, Space held and two fingers move the view. */

import { toImage } from "./viewport.js";

const MIDDLE = 1;

export class Pointers {
  tool = { cursor: "default" };
  #stage;
  #workspace;
  #active = new Map(); // pointer id -> screen point
  #mode = null; // "tool" | "pan" | "pinch"
  #pen = null; // id of the pen on the screen
  #spaceIsHeld = false;

  constructor(stage, workspace) {
    this.#stage = stage;
    this.#workspace = workspace;
    stage.addEventListener("pointerdown", (event) => this.#onDown(event));
    stage.addEventListener("pointermove", (event) => this.#onMove(event));
    stage.addEventListener("pointerup", (event) => this.#onUp(event));
    stage.addEventListener("pointercancel", (event) => this.#onCancel(event));
    stage.addEventListener("pointerleave", () => this.tool.leave?.());
    stage.addEventListener("dblclick", (event) => this.tool.doubleClick?.(this.#toolEvent(event)));
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    this.#watchSpace();
  }

  #watchSpace() {
    const hold = (isHeld) => (event) => {
      if (event.type === "blur" || event.key === " ") this.#spaceIsHeld = isHeld;
    };
    document.addEventListener("keydown", hold(true));
    document.addEventListener("keyup", hold(false));
    addEventListener("blur", hold(false));
  }

  setTool(next) {
    this.tool.cancel?.();
    this.tool = next;
  }

  /** Where in device pixels of the canvas. */
  screenPoint({ clientX, clientY }) {
    const box = this.#stage.getBoundingClientRect();
    const { unit } = this.#workspace;
    return { x: (clientX - box.left) * unit, y: (clientY - box.top) * unit };
  }

  #toolEvent(event) {
    const screen = this.screenPoint(event);
    const { view, unit } = this.#workspace;
    const { button, shiftKey: shift, pointerType: kind, timeStamp: time } = event;
    return { screen, point: toImage(view, screen), view, unit, button, shift, kind, time };
  }

  #onDown(event) {
    this.#stage.focus({ preventScroll: true });
    event.preventDefault();
    if (event.pointerType === "touch" && this.#pen !== null) return; // the palm of the hand that draws
    if (event.pointerType === "pen") this.#startPen(event.pointerId);
    this.#stage.setPointerCapture(event.pointerId);
    this.#active.set(event.pointerId, this.screenPoint(event));
    if (this.#active.size === 2) {
      this.tool.cancel?.();
      this.#mode = "pinch";
    } else if (this.#active.size === 1) {
      this.#mode = event.button === MIDDLE || this.#spaceIsHeld ? "pan" : "tool";
      if (this.#mode === "tool") this.tool.down?.(this.#toolEvent(event));
    }
  }

  /** A palm that touched first was no gesture. */
  #startPen(id) {
    this.#pen = id;
    if (this.#active.size) this.tool.cancel?.();
    this.#active.clear();
  }

  #onMove(event) {
    const before = this.#active.get(event.pointerId);
    if (!before) return void (event.pointerType !== "touch" && this.tool.hover?.(this.#toolEvent(event)));
    const now = this.screenPoint(event);
    if (this.#mode === "pinch") this.#pinch(event.pointerId, before, now);
    this.#active.set(event.pointerId, now);
    if (this.#mode === "pan") this.#workspace.pan(now.x - before.x, now.y - before.y);
    if (this.#mode === "tool") for (const step of coalesced(event)) this.tool.move?.(this.#toolEvent(step));
    return undefined;
  }

  /** Half the finger's way moves the picture, the change of distance zooms it about the middle. */
  #pinch(id, before, now) {
    const other = [...this.#active].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const stretch =
      Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
    this.#workspace.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.#workspace.zoomAt({ x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 }, stretch);
  }

  #onUp(event) {
    if (event.pointerId === this.#pen) this.#pen = null;
    if (!this.#active.delete(event.pointerId)) return;
    if (this.#mode === "tool") this.tool.up?.(this.#toolEvent(event));
    if (!this.#active.size) this.#mode = null;
  }

  #onCancel(event) {
    if (event.pointerId === this.#pen) this.#pen = null;
    this.#active.delete(event.pointerId);
    this.tool.cancel?.();
    if (!this.#active.size) this.#mode = null;
  }
}

/** All the places a fast pointer was at since the last event: a brush must not cut corners. */
function coalesced(event) {
  const steps = event.getCoalescedEvents?.() ?? [];
  return steps.length ? steps : [event];
}
