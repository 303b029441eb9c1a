/** A person's own choices at the desk, kept in this browser. */

const DEFAULTS = { brush: 14, threshold: 0.5, hover: true, goal: null };

export function createSettings(storage) {
  const values = { ...DEFAULTS, ...storage.get("desk") };
  return {
    get: (name) => values[name],
    set(name, value) {
      values[name] = value;
      storage.set("desk", values);
    },
  };
}
