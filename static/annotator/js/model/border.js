/**
 * The border of the mask in hand, looser or tighter. The model cuts its own mask at another logit; a mask that it did
 * not draw, or has forgotten, grows or shrinks by a pixel instead, and the sentence says so.
 */

import { paths } from "./api-client.js";
import { maskFromWire } from "../mask/rle.js";
import { borderWords } from "../work/hand.js";

/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/** @import { Api } from "./api-client.js" */
/** @import { ModelState } from "./clicker.js" */
/**
 * @typedef {object} BorderParts
 * @property {Api} api
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {(state: ModelState) => void} tell about the model
 * @property {(text: string | null | void) => void} say
 */

const LOGITS_A_STEP = 1; // some 5 % of an object's area with the demo model
const MOST_STEPS = 8; // the model's own limit

export class Border {
  /** @type {BorderParts} */
  #parts;
  #wanted = null; // {maskId, border, gesture}: what the person has asked for last
  #isAsking = false;
  #gestures = 0;

  /** @param {BorderParts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** `step`: 1 looser, -1 tighter. `isHeld`: the key repeats, so that it is one gesture with the step before. */
  move(step, isHeld) {
    const { store, editor } = this.#parts;
    if (!isHeld) this.#gestures++;
    const { hand } = store.state;
    if (hand?.state === "waiting") return "The model is still drawing; a moment.";
    if (!hand?.maskId) return editor.movePixel(step, this.#gestures);
    const from = this.#wanted?.maskId === hand.maskId ? this.#wanted.border : hand.border;
    const border = from + step;
    if (Math.abs(border) > MOST_STEPS) return `${borderWords(from)}: further it does not go. Paint or erase the rest.`;
    this.#wanted = { maskId: hand.maskId, border, gesture: this.#gestures };
    if (!this.#isAsking) void this.#ask();
    return null;
  }

  /** One question at a time; what was asked for meanwhile is the next, and only the newest of it. */
  async #ask() {
    this.#isAsking = true;
    try {
      while (this.#isWanted()) await this.#askFor(this.#wanted);
    } finally {
      this.#wanted = null;
      this.#isAsking = false;
    }
  }

  #isWanted() {
    const { hand } = this.#parts.store.state;
    return hand?.maskId === this.#wanted?.maskId && hand?.border !== this.#wanted?.border;
  }

  async #askFor({ maskId, border, gesture }) {
    const { api, store, editor, tell, say } = this.#parts;
    const url = paths.task(store.state.taskId, "mask");
    const isInHand = () => store.state.hand?.maskId === maskId;
    try {
      const { mask } = await api.post(url, { mask_id: maskId, threshold: -border * LOGITS_A_STEP });
      tell({ kind: "ok", message: "" });
      if (isInHand()) say(editor.setBorder(border, maskFromWire(mask), gesture));
    } catch (error) {
      this.#wanted = null;
      const isForgotten = error.code === "unknown_mask";
      if (isForgotten && isInHand()) say(editor.movePixel(Math.sign(border - store.state.hand.border), gesture));
      if (!isForgotten) tell({ kind: error.isPassing ? "away" : "refused", message: error.message });
    }
  }
}
