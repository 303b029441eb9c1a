/** A desk without a page: one task with two proposals, and answers as the model would give them. */

import { Editor } from "../../static/annotator/js/work/editor.js";
import { wireFromMask } from "../../static/annotator/js/mask/rle.js";
import { maskFromStroke } from "../../static/annotator/js/mask/shapes.js";
import { createStore } from "../../static/annotator/js/work/store.js";
import { EMPTY_WORK, proposalsOf } from "../../static/annotator/js/work/work.js";

export const IMAGE = { width: 40, height: 30 };
export const box = (x, y, width, height) => ({ x, y, width, height, bits: new Uint8Array(width * height).fill(1) });
export const wire = (...args) => wireFromMask(box(...args), IMAGE);
export const at = (x, y, label = 1) => ({ x, y, label });
export const stroke = (x, y) => maskFromStroke([{ x, y }], 2, IMAGE);

export const TASK = {
  id: 7,
  image: IMAGE,
  proposal: {
    model_version: "demo",
    instances: [
      { score: 0.9, stability: 0.8, mask: wire(1, 1, 6, 6) },
      { score: 0.5, stability: 0.4, mask: wire(20, 10, 4, 4) },
    ],
  },
};

export function desk() {
  const store = createStore(EMPTY_WORK);
  const editor = new Editor(store);
  editor.load({ task: TASK, proposals: proposalsOf(TASK) });
  return { store, editor, state: () => store.state };
}

export function answer(editor, store, ...masks) {
  const candidates = masks.map((mask, i) => ({ mask, score: 0.9 - i / 10, maskId: `m${i}` }));
  return editor.answer(store.state.hand.token, { candidates, modelVersion: "demo" });
}
