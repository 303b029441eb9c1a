/** A state of top-level keys and those who want to know which of them changed. */

/**
 * @template T
 * @typedef {object} Store
 * @property {Readonly<T>} state
 * @property {(patch: Partial<T>) => Partial<T>} set replaces keys; returns the patch that takes it back
 * @property {(listener: (state: Readonly<T>, changed: Set<string>) => void) => () => boolean} subscribe
 */

/**
 * @template {object} T
 * @param {T} initial
 * @returns {Store<T>}
 */
export function createStore(initial) {
  let state = Object.freeze({ ...initial });
  const listeners = new Set();
  return {
    get state() {
      return state;
    },
    /** Replace keys; returns the patch that takes it back. Listeners hear only of keys whose value is another. */
    set(patch) {
      const changed = Object.keys(patch).filter((key) => patch[key] !== state[key]);
      const inverse = /** @type {Partial<T>} */ (Object.fromEntries(changed.map((key) => [key, state[key]])));
      if (!changed.length) return inverse;
      state = Object.freeze({ ...state, ...patch });
      for (const listener of [...listeners]) listener(state, new Set(changed));
      return inverse;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
