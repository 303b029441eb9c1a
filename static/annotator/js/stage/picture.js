/** The pixels of one image: a preview first, all of them when the zoom asks. Bitmaps are closed when let go. */

const FULL_WHEN = 1.1; // screen pixels a preview pixel

export function createPicture(image, { onChange }) {
  const controller = new AbortController();
  let bitmap = null;
  let isFull = false;
  let upgrading = null;

  async function fetchBitmap(url) {
    const response = await fetch(url, { signal: controller.signal, credentials: "same-origin" });
    if (!response.ok)
      throw new Error(`The image could not be fetched (${response.status}); skip it and tell an admin.`);
    const made = await createImageBitmap(await response.blob());
    if (!controller.signal.aborted) return made;
    made.close();
    throw new DOMException("The task was left.", "AbortError");
  }

  function take(made) {
    bitmap?.close();
    bitmap = made;
    isFull = made.width >= image.width;
    onChange();
  }

  const ready = fetchBitmap(image.preview_url ?? image.url).then(take);
  ready.catch(() => {}); // whoever shows the picture awaits it; a prefetched one may never be shown

  return {
    ready,
    get bitmap() {
      return bitmap;
    },
    /** Call with each view: fetches the full picture once the preview's pixels show. */
    lookCloser(scale) {
      if (!bitmap || isFull || upgrading || (scale * image.width) / bitmap.width < FULL_WHEN) return;
      upgrading = fetchBitmap(image.url).then(take, () => {
        upgrading = null; // the preview stays; the next zoom tries again
      });
    },
    close() {
      controller.abort();
      bitmap?.close();
      bitmap = null;
    },
  };
}
