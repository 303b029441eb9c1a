/**
 * The mask in hand: what the model drew for the prompts so far, plus what was painted on and off by hand. Frozen;
 * every change makes a new one. Paint survives refinement: mask = (model + painted) - erased.
 */

import { EMPTY_MASK, isEmpty, maskFillHoles, maskSubtract, maskUnion } from "./masks.js";

const BLANK = {
  prompts: [],
  box: null,
  model: EMPTY_MASK,
  maskId: null,
  score: null,
  modelVersion: null,
  candidates: [],
  candidate: 0,
  painted: EMPTY_MASK,
  erased: EMPTY_MASK,
  edited: false, // by hand, before it was taken up again
  origin: "drawn",
  replaces: null, // key of the instance that this one will take the place of
  proposal: null, // index of the proposal it began as
  token: 0, // of the question to the model that is out; its answer carries it back
  state: "idle", // idle | waiting | failed
};

const composed = (hand) =>
  Object.freeze({ ...hand, mask: maskSubtract(maskUnion(hand.model, hand.painted), hand.erased) });

export const emptyHand = () => composed(BLANK);

/** An instance or a proposal ({mask, prompts, …}) taken up again. */
export function handFrom(item) {
  const { mask, prompts, origin, edited, score, modelVersion, replaces, proposal } = item;
  return composed({ ...BLANK, model: mask, prompts, origin, edited, score, modelVersion, replaces, proposal });
}

export const handIsEdited = (hand) => hand.edited || !isEmpty(hand.painted) || !isEmpty(hand.erased);

export const withPrompt = (hand, point, token) =>
  composed({ ...hand, prompts: [...hand.prompts, point], token, state: "waiting" });

/** A box starts the object anew: points before it spoke of something else. */
export const withBox = (hand, box, token) =>
  composed({ ...hand, prompts: [], maskId: null, box, token, state: "waiting" });

export function withAnswer(hand, { candidates, modelVersion }) {
  return withCandidate({ ...hand, candidates, modelVersion, origin: "click", edited: false, state: "idle" }, 0);
}

export function withCandidate(hand, index) {
  const { mask, score, maskId } = hand.candidates[index];
  return composed({ ...hand, candidate: index, model: mask, score, maskId });
}

export const withFailure = (hand) => Object.freeze({ ...hand, state: "failed" });

export const withPaint = (hand, mask) =>
  composed({ ...hand, painted: maskUnion(hand.painted, mask), erased: maskSubtract(hand.erased, mask) });

export const withErased = (hand, mask) =>
  composed({ ...hand, erased: maskUnion(hand.erased, mask), painted: maskSubtract(hand.painted, mask) });

export function withHolesFilled(hand) {
  return withPaint(hand, maskSubtract(maskFillHoles(hand.mask), hand.mask));
}

/** What to ask the model: points, a box where there is one, and the mask to start from. */
export function questionOf(hand) {
  const knowsMask = hand.maskId !== null;
  // A proposal or an older instance has no mask that the model remembers: its frame says which object is meant.
  const frame = !knowsMask && !hand.box && !isEmpty(hand.model) && hand.origin !== "click" ? frameOf(hand.model) : null;
  return { points: hand.prompts, box: hand.box ?? frame, earlier_mask_id: hand.maskId };
}

export const frameOf = (mask) => [mask.x, mask.y, mask.x + mask.width, mask.y + mask.height];
