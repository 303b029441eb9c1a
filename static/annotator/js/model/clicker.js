/** Questions to the model about the mask in hand and under the pointer; prompts go out, cropped masks come back. */

import { isAbort, paths } from "./api-client.js";
import { questionOf } from "../work/hand.js";
import { maskFromWire } from "../mask/rle.js";

/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/** @import { Api } from "./api-client.js" */
/**
 * @typedef {object} ClickerParts
 * @property {Api} api
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {(state: ModelState) => void} tell about the model
 * @property {(startedAt: number) => void} onMask a click was answered
 * @property {() => void} onSlow one takes longer than a blink
 */

const LOADING_RETRY_MS = 2000;
const SLOW_MS = 700;
const OVERTAKEN_RETRY_MS = 300;
const NOTHING_YET = { points: [], box: null, earlier_mask_id: null };

/** @typedef {{kind: "ok" | "loading" | "away" | "refused", message: string}} ModelState of the model */

export class Clicker {
  /** @type {ClickerParts} */
  #parts;
  #sequence = 0;
  #newestPreview = 0;
  #retryTimer = null;

  /** @param {ClickerParts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Ask for the hand's mask; the answer goes to the editor unless the hand has moved on. */
  async askForHand(startedAt = performance.now()) {
    const { api, store, editor, tell, onMask, onSlow } = this.#parts;
    const { hand, taskId } = store.state;
    if (hand?.state !== "waiting") return;
    api.abort("preview");
    clearTimeout(this.#retryTimer);
    const slow = setTimeout(onSlow, SLOW_MS);
    try {
      const answer = await this.#askForgetting(taskId, questionOf(hand));
      if (editor.answer(hand.token, decoded(answer))) onMask(startedAt);
      tell({ kind: "ok", message: "" });
    } catch (error) {
      if (!isAbort(error)) this.#failed(error, hand.token);
    } finally {
      clearTimeout(slow);
    }
  }

  /** The mask under the pointer, or null when something newer came up. Failures of a mere preview stay silent. */
  async preview(point) {
    const token = ++this.#newestPreview;
    const { taskId } = this.#parts.store.state;
    try {
      const answer = await this.#ask(taskId, { ...NOTHING_YET, points: [point] }, "preview");
      return token === this.#newestPreview ? maskFromWire(answer.mask) : null;
    } catch {
      return null;
    }
  }

  stopPreview() {
    this.#newestPreview++;
    this.#parts.api.abort("preview");
  }

  stop() {
    this.stopPreview();
    clearTimeout(this.#retryTimer);
    this.#parts.api.abort("click");
  }

  #ask(taskId, question, overtakes = "click") {
    // By the clock, as the model drops what is older than the newest it saw from this person, in whatever tab or load.
    this.#sequence = Math.max(this.#sequence + 1, Date.now() * 10);
    const body = { ...question, sequence: this.#sequence, preview: overtakes === "preview" };
    return this.#parts.api.post(paths.task(taskId, "click"), body, { overtakes });
  }

  /** The model forgets old masks; then the prompts alone must do. */
  async #askForgetting(taskId, question) {
    try {
      return await this.#ask(taskId, question);
    } catch (error) {
      if (!question.earlier_mask_id || !("earlier_mask_id" in (error.fields ?? {}))) throw error;
      return this.#ask(taskId, { ...question, earlier_mask_id: null });
    }
  }

  #failed(error, token) {
    const { editor, store, tell } = this.#parts;
    if (error.code === "overtaken") {
      // By another tab of this person, if the hand still waits for this very answer.
      if (store.state.hand?.token === token) this.#retryTimer = setTimeout(() => this.askForHand(), OVERTAKEN_RETRY_MS);
      return;
    }
    if (error.code === "loading" || error.status === 429) {
      tell({ kind: "loading", message: error.message });
      this.#retryTimer = setTimeout(() => this.askForHand(), error.retryAfterMs ?? LOADING_RETRY_MS);
      return;
    }
    editor.answerFailed(token);
    tell({ kind: error.isPassing ? "away" : "refused", message: error.message });
  }
}

const decoded = (answer) => ({
  modelVersion: answer.model_version,
  candidates: answer.candidates.map((one, i) => ({
    mask: maskFromWire(one.mask),
    score: one.score,
    maskId: one.mask_id ?? (i === 0 ? answer.mask_id : null),
  })),
});
