/**
 * Undo and redo: one gesture, one entry of {label, before, after}, both patches of the store's top-level keys. An entry
 * with `isSilent` (a turn to another concept) is no edit of its own: it goes and comes with the edit before it.
 */

export function createHistory(limit = 200) {
  let done = [];
  let undone = [];
  return {
    get newest() {
      return done.at(-1) ?? null;
    },
    get canUndo() {
      return done.some((entry) => !entry.isSilent);
    },
    get canRedo() {
      return undone.some((entry) => !entry.isSilent);
    },
    /** A new gesture forgets what was undone before it. */
    record(entry) {
      done = [...done.slice(-limit + 1), entry];
      undone = [];
    },
    /** Complete the newest gesture with what came of it later, such as the model's answer to a click. */
    amend(after) {
      const last = done.at(-1);
      if (last) done[done.length - 1] = { ...last, after: { ...last.after, ...after } };
    },
    undo() {
      const entry = done.pop();
      if (entry) undone.push(entry);
      return entry ?? null;
    },
    redo() {
      const entry = undone.pop();
      if (entry) done.push(entry);
      return entry ?? null;
    },
    clear() {
      done = [];
      undone = [];
    },
  };
}
