/** Seconds somebody really worked: stops 60 s after the last sign of life and while the page is hidden. */

export const IDLE_AFTER_MS = 60_000;

export function createActiveClock(now) {
  let total = 0;
  let lastSign = null; // null: not running
  const settle = (time) => {
    if (lastSign === null) return;
    total += Math.min(time - lastSign, IDLE_AFTER_MS);
  };
  return {
    /** A key, a pointer, a new task: time counts from here. */
    touch() {
      const time = now();
      settle(time);
      lastSign = time;
    },
    hide() {
      settle(now());
      lastSign = null;
    },
    get isRunning() {
      return lastSign !== null && now() - lastSign < IDLE_AFTER_MS;
    },
    get seconds() {
      const running = lastSign === null ? 0 : Math.min(now() - lastSign, IDLE_AFTER_MS);
      return (total + running) / 1000;
    },
    restart(seconds = 0) {
      total = seconds * 1000;
      lastSign = now();
    },
  };
}
