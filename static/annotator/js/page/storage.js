/** JSON under a prefix of the browser's storage. A full or forbidden storage is told, never thrown. */

export function createStorage(storage, prefix, onTrouble) {
  const guarded = (action) => {
    try {
      return action();
    } catch {
      onTrouble("This browser keeps no more data, so the copy beside the server's is missing. Free some storage.");
      return null;
    }
  };
  return {
    get: (key) => guarded(() => parsed(storage.getItem(prefix + key))),
    set: (key, value) => guarded(() => storage.setItem(prefix + key, JSON.stringify(value))),
    remove: (key) => guarded(() => storage.removeItem(prefix + key)),
    keys: () =>
      guarded(() =>
        Array.from({ length: storage.length }, (_, i) => storage.key(i))
          .filter((key) => key.startsWith(prefix))
          .map((key) => key.slice(prefix.length)),
      ) ?? [],
  };
}

function parsed(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null; // half-written when the browser died; the server's copy is the truth then
  }
}
