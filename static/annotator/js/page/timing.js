/** How long a person waited: from the event to the frame that shows its outcome. Read by bench/desk.py. */

const KEPT = 500;

/** Measure from `startedAt` (an event's timeStamp) to just after the next frame is painted. */
export function measurePainted(name, startedAt) {
  requestAnimationFrame(() => {
    const channel = new MessageChannel(); // its message comes after the frame's painting
    channel.port1.onmessage = () => {
      if (performance.getEntriesByName(name).length >= KEPT) performance.clearMeasures(name);
      performance.measure(name, { start: startedAt, end: performance.now() });
      channel.port1.close();
    };
    channel.port2.postMessage(null);
  });
}
