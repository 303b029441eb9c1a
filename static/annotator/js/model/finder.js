/** "Find more like this": the object at hand becomes an example, and what the model finds with it is proposed. */

import { isAbort, paths } from "./api-client.js";
import { frameOf } from "../work/hand.js";
import { isEmpty } from "../mask/masks.js";
import { maskFromWire } from "../mask/rle.js";
import { itemAt } from "../work/work.js";

/** @import { Editor } from "../work/editor.js" */
/** @import { WorkStore } from "../work/work.js" */
/** @import { Api } from "./api-client.js" */
/** @import { ModelState } from "./clicker.js" */
/**
 * @typedef {object} FinderParts
 * @property {Api} api
 * @property {WorkStore} store
 * @property {Editor} editor
 * @property {(text: string | null | void) => void} say
 * @property {(state: ModelState) => void} tell about the model
 * @property {(isSlow: boolean) => void} onSlow once it takes longer than a second
 */

const SLOW_MS = 1000;
const LOADING_RETRY_MS = 2000;
const MOST_EXEMPLARS = 16; // what the server takes
const POINT_AT_ONE = "Show an example first: click an object, or walk to one with J.";

export class Finder {
  /** @type {FinderParts} */
  #parts;
  #isLooking = false;
  #retryTimer = null;

  /** @param {FinderParts} parts */
  constructor(parts) {
    this.#parts = parts;
    parts.store.subscribe((_, changed) => changed.has("taskId") && this.#stop());
  }

  find() {
    const { state } = this.#parts.store;
    const mask = (state.hand ?? itemAt(state, state.cursor))?.mask;
    if (isEmpty(mask)) return POINT_AT_ONE;
    if (this.#isLooking) return "Still looking for more …";
    void this.#look(state.taskId, withExemplar(state.exemplars, frameOf(mask)));
    return "Looking for more like this …";
  }

  /** Another image is on screen: what was asked for the last one is of no use. */
  #stop() {
    clearTimeout(this.#retryTimer);
    this.#parts.api.abort("similar");
  }

  async #look(taskId, exemplars) {
    const { api, store, editor, say, tell, onSlow } = this.#parts;
    clearTimeout(this.#retryTimer);
    const slow = setTimeout(() => onSlow(true), SLOW_MS);
    this.#isLooking = true;
    try {
      const body = { exemplars: exemplars.map((box) => ({ box })) };
      const answer = await api.post(paths.task(taskId, "similar"), body, { overtakes: "similar" });
      tell({ kind: "ok", message: "" });
      if (store.state.taskId === taskId) say(editor.addFound(decoded(answer, exemplars), exemplars));
    } catch (error) {
      if (!isAbort(error)) this.#failed(error, taskId, exemplars);
    } finally {
      clearTimeout(slow);
      onSlow(false);
      this.#isLooking = false;
    }
  }

  /** A model that is loading is asked again by itself, as with clicks. */
  #failed(error, taskId, exemplars) {
    const { tell } = this.#parts;
    const isLoading = error.code === "loading" || error.status === 429;
    tell({ kind: isLoading ? "loading" : error.isPassing ? "away" : "refused", message: error.message });
    if (!isLoading) return;
    const wait = error.retryAfterMs ?? LOADING_RETRY_MS;
    this.#retryTimer = setTimeout(() => void this.#look(taskId, exemplars), wait);
  }
}

/** The newest examples, each once; more than the model takes are forgotten from the front. */
function withExemplar(exemplars, box) {
  const others = exemplars.filter((one) => one.join() !== box.join());
  return [...others, box].slice(-MOST_EXEMPLARS);
}

const decoded = ({ instances, model_version: modelVersion }, exemplars) =>
  instances.map(({ score, stability, mask: wire }) => ({
    score,
    stability,
    wire,
    mask: maskFromWire(wire),
    modelVersion,
    exemplars,
  }));
