/**
 * The mask in hand: what the model drew for the prompts so far, plus what was painted on and off by hand. Frozen;
 * every change makes a new one. Paint survives refinement: mask = (model + painted) - erased.
 */

import { EMPTY_MASK, isEmpty, maskFillHoles, maskGrow, maskShrink, maskSubtract, maskUnion } from "../mask/masks.js";

/** @import { Mask } from "../mask/rle.js" */
/** @typedef {{x?: number, y?: number, label?: number, box?: number[]}} Prompt a point, or a box */
/** @typedef {{mask: Mask, score: number, maskId: string}} Candidate */
/**
 * @typedef {object} HandParts
 * @property {Prompt[]} prompts in the order given
 * @property {Mask} model
 * @property {string | null} maskId
 * @property {number} border steps that its border was moved by: above 0 looser, below 0 tighter than the model drew it
 * @property {number | null} score
 * @property {string | null} modelVersion
 * @property {Candidate[]} candidates
 * @property {number} candidate
 * @property {Mask} painted
 * @property {Mask} erased
 * @property {boolean} edited by hand, before it was taken up again
 * @property {string} origin
 * @property {string | null} replaces key of the instance that this one will take the place of
 * @property {number | null} proposal index of the proposal it began as
 * @property {number} token of the question to the model that is out; its answer carries it back
 * @property {"idle" | "waiting" | "failed"} state
 */
/** @typedef {Readonly<HandParts & {mask: Mask}>} Hand */

/** @type {HandParts} */
const BLANK = {
  prompts: [],
  model: EMPTY_MASK,
  maskId: null,
  border: 0,
  score: null,
  modelVersion: null,
  candidates: [],
  candidate: 0,
  painted: EMPTY_MASK,
  erased: EMPTY_MASK,
  edited: false,
  origin: "drawn",
  replaces: null,
  proposal: null,
  token: 0,
  state: "idle",
};

/** @type {(hand: HandParts) => Hand} */
const composed = (hand) =>
  Object.freeze({ ...hand, mask: maskSubtract(maskUnion(hand.model, hand.painted), hand.erased) });

export const emptyHand = () => composed(BLANK);

/** An instance or a proposal ({mask, prompts, …}) taken up again. */
export function handFrom(item) {
  const { mask, prompts, origin, edited, score, modelVersion, replaces, proposal } = item;
  return composed({ ...BLANK, model: mask, prompts, origin, edited, score, modelVersion, replaces, proposal });
}

export const handIsEdited = (hand) =>
  hand.edited || hand.border !== 0 || !isEmpty(hand.painted) || !isEmpty(hand.erased);

export function withPrompt(hand, point, token) {
  // The examples that found it lie on other objects.
  const own = hand.origin === "exemplar" ? pointsOf(hand.prompts) : hand.prompts;
  return composed({ ...hand, prompts: [...own, point], token, state: "waiting" });
}

/** A box starts the object anew: points before it spoke of something else. */
export const withBox = (hand, box, token) =>
  composed({ ...hand, prompts: [{ box }], maskId: null, token, state: "waiting" });

export function withAnswer(hand, { candidates, modelVersion }) {
  return withCandidate({ ...hand, candidates, modelVersion, origin: "click", edited: false, state: "idle" }, 0);
}

export function withCandidate(hand, index) {
  const { mask, score, maskId } = hand.candidates[index];
  return composed({ ...hand, candidate: index, model: mask, score, maskId, border: 0 });
}

/** The same mask of the model, cut at another logit. */
export const withBorder = (hand, border, mask) => composed({ ...hand, border, model: mask });

export const withFailure = (hand) => Object.freeze({ ...hand, state: "failed" });

export const withPaint = (hand, mask) =>
  composed({ ...hand, painted: maskUnion(hand.painted, mask), erased: maskSubtract(hand.erased, mask) });

export const withErased = (hand, mask) =>
  composed({ ...hand, erased: maskUnion(hand.erased, mask), painted: maskSubtract(hand.painted, mask) });

export function withHolesFilled(hand) {
  return withPaint(hand, maskSubtract(maskFillHoles(hand.mask), hand.mask));
}

export function borderWords(border) {
  if (!border) return "As the model drew it";
  return border > 0 ? `Looser ${border}` : `Tighter ${-border}`;
}

/** A pixel wider or narrower all around: for masks that no model can draw again. */
export const withPixelMore = (hand, image) => withPaint(hand, maskSubtract(maskGrow(hand.mask, image), hand.mask));
export const withPixelLess = (hand, image) => withErased(hand, maskSubtract(hand.mask, maskShrink(hand.mask, image)));

export const boxesOf = (prompts) => prompts.flatMap((prompt) => (prompt.box ? [prompt.box] : []));
export const pointsOf = (prompts) => prompts.filter((prompt) => !prompt.box);

/** What to ask the model: points, a box where there is one, and the mask to start from. */
export function questionOf({ prompts, model, maskId, origin }) {
  const box = boxesOf(prompts).at(-1) ?? null;
  // A proposal or an older instance has no mask that the model remembers: its frame says which object is meant.
  const frame = maskId === null && !isEmpty(model) && origin !== "click" ? frameOf(model) : null;
  return { points: pointsOf(prompts), box: box ?? frame, earlier_mask_id: maskId };
}

export const frameOf = (mask) => [mask.x, mask.y, mask.x + mask.width, mask.y + mask.height];
