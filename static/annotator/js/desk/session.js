/** Counts of this tab's sitting: survives a reload, ends with the tab. Also the tasks that can still be reopened. */

const REOPENABLE = 10;
const RECENT = 90; // ten passes of nine concepts
const NOTHING = { started: false, tasks: 0, instances: 0, activeSeconds: 0, sent: [], recent: [] };

export function createSession(storage) {
  const values = { ...NOTHING, ...storage.get("session") };
  values.sent = values.sent.map((one) => ({ pass: one.taskId, ...one }));
  const save = () => storage.set("session", values);
  return {
    values,
    start() {
      values.started = true;
      save();
    },
    /** An answer is on its way; one that was reopened takes its former place in the counts. */
    count({ taskId, instances, activeSeconds }) {
      const former = values.recent.find((one) => one.taskId === taskId);
      values.tasks += former ? 0 : 1;
      values.instances += instances - (former?.instances ?? 0);
      values.recent = [...values.recent.filter((one) => one !== former), { taskId, instances }].slice(-RECENT);
      values.activeSeconds += activeSeconds;
      save();
    },
    /** `pass` tells which answers were one pass over an image: they are reopened together. */
    sent(taskId, pass = taskId) {
      const all = [...values.sent.filter((one) => one.taskId !== taskId), { taskId, pass }];
      const last = [...new Set(all.map((one) => one.pass))].slice(-REOPENABLE);
      values.sent = all.filter((one) => last.includes(one.pass));
      save();
    },
    /** The task to reopen, with all that was answered in its pass. */
    takeLast() {
      const last = values.sent.at(-1)?.pass ?? null;
      const taken = values.sent.filter((one) => one.pass === last).map((one) => one.taskId);
      values.sent = values.sent.filter((one) => one.pass !== last);
      save();
      return taken;
    },
  };
}

/** A version-4 UUID also where the page is not a secure context (plain http in an office network). */
export function newUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
