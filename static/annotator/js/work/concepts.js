/**
 * Several concepts on one image, in one pass: the work of the concept in hand is the store's own, the others' is
 * parked. Patches for the store, and the questions one asks of all of them. Pure.
 */

import { maskIou } from "../mask/masks.js";
import { coveredBy, cursorAfter, openProposals } from "./work.js";

const OWN = ["proposals", "exemplars", "instances", "rejected", "hand", "cursor", "absent"];

/** A concept's work, in hand or parked. */
export const workOn = (state, taskId) =>
  taskId === state.taskId
    ? Object.freeze(Object.fromEntries(OWN.map((key) => [key, state[key]])))
    : (state.parked[taskId] ?? null);

export const isPass = (state) => state.group.length > 1;

export const conceptOf = (state, taskId = state.taskId) => state.group.find((one) => one.taskId === taskId);

/** undecided, present or absent. */
export const decisionOf = ({ absent, instances }) => (absent ? "absent" : instances.length ? "present" : "undecided");

/** The concepts after the one in hand, around the end, those before it last; without the one in hand. */
export function othersOf({ group, taskId }) {
  const at = group.findIndex((one) => one.taskId === taskId);
  return [...group.slice(at + 1), ...group.slice(0, Math.max(at, 0))];
}

export const nextUndecided = (state) =>
  othersOf(state).find(({ taskId }) => decisionOf(workOn(state, taskId)) === "undecided") ?? null;

/** A hand that fixes something of its concept stays with it; a new mask goes along to the concept that is chosen. */
const goesAlong = (hand) => hand !== null && hand.replaces === null && hand.proposal === null;

/** Take another concept in hand. */
export function choosing(state, taskId) {
  const { [taskId]: chosen, ...others } = state.parked;
  const isCarried = goesAlong(state.hand) && !chosen.hand;
  const left = Object.freeze({ ...workOn(state, state.taskId), ...(isCarried ? { hand: null } : {}) });
  const parked = Object.freeze({ ...others, [state.taskId]: left });
  return { taskId, ...chosen, ...(isCarried ? { hand: state.hand } : {}), parked, pending: null };
}

export const holdsSame = (work, instance) => work.instances.some((one) => maskIou(one.mask, instance.mask) === 1);

/** The instance once more, under another concept of the group. */
export function copying(state, taskId, instance, key) {
  const target = { ...state.parked[taskId], absent: false };
  const covers = coveredBy(instance.mask, openProposals(target));
  const instances = [...target.instances, Object.freeze({ ...instance, key, proposal: null, covers })];
  const changed = Object.freeze({ ...target, instances, cursor: cursorAfter({ ...target, instances }) });
  return { parked: Object.freeze({ ...state.parked, [taskId]: changed }) };
}

/** The instance under another concept instead; the proposal that it was is a false positive of this one. */
export function moving(state, taskId, instance, key) {
  const instances = state.instances.filter((one) => one !== instance);
  const { proposal } = instance;
  const rejected = proposal === null ? state.rejected : [...state.rejected, proposal].sort((a, b) => a - b);
  const left = { instances, rejected };
  return { ...copying(state, taskId, instance, key), ...left, cursor: cursorAfter({ ...state, ...left }) };
}
