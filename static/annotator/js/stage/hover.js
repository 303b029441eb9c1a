/** The mask under a resting pointer, before any click. Waits longer where the model is slow, and never queues up. */

const REST_MS = 120;
const MAX_REST_MS = 800;

export function createHover({ clicker, isWanted, onPreview }) {
  let timer = null;
  let rest = REST_MS;
  let shown = false;

  function clear() {
    clearTimeout(timer);
    clicker.stopPreview();
    if (shown) onPreview(null);
    shown = false;
  }

  async function look(point) {
    const started = performance.now();
    const mask = await clicker.preview(point);
    if (!mask) return;
    rest = Math.min(MAX_REST_MS, Math.max(REST_MS, performance.now() - started));
    shown = true;
    onPreview(mask);
  }

  return {
    at(point) {
      clear();
      if (point && isWanted(point)) timer = setTimeout(() => look(point), rest);
    },
    clear,
  };
}
