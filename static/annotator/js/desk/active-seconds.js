/** Active seconds a concept: the clock runs for the one in hand. */

export function createTimes(clock) {
  let spent = new Map(); // task id -> seconds, of those that are not in hand
  let current = null;
  const of = (taskId) => (taskId === current ? clock.seconds : (spent.get(taskId) ?? 0));
  return {
    of,
    get isRunning() {
      return clock.isRunning;
    },
    get total() {
      return [...new Set([...spent.keys(), current])].reduce((sum, taskId) => sum + of(taskId), 0);
    },
    /** Another image; `seconds` = [[task id, seconds], …] from drafts. */
    start(seconds, taskId) {
      spent = new Map(seconds);
      current = taskId;
      clock.restart(spent.get(taskId) ?? 0);
    },
    turnTo(taskId) {
      if (taskId === current) return;
      spent.set(current, clock.seconds);
      current = taskId;
      clock.restart(spent.get(taskId) ?? 0);
    },
  };
}
