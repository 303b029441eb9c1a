/** Questions to the model about the mask in hand and under the pointer; prompts go out, cropped masks come back. */

import { isAbort, paths } from "./api-client.js";
import { questionOf } from "./hand.js";
import { maskFromWire } from "./rle.js";

const LOADING_RETRY_MS = 2000;

/** `tell` hears {kind: "ok" | "loading" | "away", message} about the model, and `onMask(startedAt)` that a click was answered. */
export function createClicker({ api, store, editor, tell, onMask }) {
  // Grows over reloads too: the model drops what is older than the newest number it saw from this person.
  let sequence = Date.now() * 10;
  let previewToken = 0;
  let retryTimer = null;

  const ask = (taskId, question, preview) =>
    api.post(paths.task(taskId, "click"), { ...question, sequence: ++sequence, preview }, { overtakes: preview ? "preview" : "click" });

  /** Ask for the hand's mask; the answer goes to the editor unless the hand has moved on. */
  async function askForHand(startedAt = performance.now()) {
    const { hand, taskId } = store.state;
    if (!hand || hand.state !== "waiting") return;
    api.abort("preview");
    clearTimeout(retryTimer);
    try {
      const answer = await askForgetting(taskId, questionOf(hand));
      if (editor.answer(hand.token, decoded(answer))) onMask(startedAt);
      tell({ kind: "ok", message: "" });
    } catch (error) {
      if (!isAbort(error)) failed(error, hand.token);
    }
  }

  /** The model forgets old masks; then the prompts alone must do. */
  async function askForgetting(taskId, question) {
    try {
      return await ask(taskId, question, false);
    } catch (error) {
      if (!question.earlier_mask_id || !("earlier_mask_id" in (error.fields ?? {}))) throw error;
      return ask(taskId, { ...question, earlier_mask_id: null }, false);
    }
  }

  function failed(error, token) {
    if (error.code === "overtaken") return;
    if (error.code === "loading" || error.status === 429) {
      tell({ kind: "loading", message: error.message });
      retryTimer = setTimeout(askForHand, error.retryAfterMs ?? LOADING_RETRY_MS);
      return;
    }
    editor.answerFailed(token);
    tell({ kind: error.isPassing ? "away" : "refused", message: error.message });
  }

  /** The mask under the pointer, or null when something newer came up. Failures of a mere preview stay silent. */
  async function preview(point) {
    const token = ++previewToken;
    const { hand, taskId } = store.state;
    const earlier = hand ? questionOf(hand) : { points: [], box: null, earlier_mask_id: null };
    try {
      const answer = await ask(taskId, { ...earlier, points: [...earlier.points, point] }, true);
      return token === previewToken ? maskFromWire(answer.mask) : null;
    } catch {
      return null;
    }
  }

  function stop() {
    previewToken++;
    clearTimeout(retryTimer);
    api.abort("preview");
    api.abort("click");
  }

  const stopPreview = () => {
    previewToken++;
    api.abort("preview");
  };

  return { askForHand, preview, stopPreview, stop };
}

const decoded = (answer) => ({
  modelVersion: answer.model_version,
  candidates: answer.candidates.map((one, i) => ({
    mask: maskFromWire(one.mask),
    score: one.score,
    maskId: one.mask_id ?? (i === 0 ? answer.mask_id : null),
  })),
});
