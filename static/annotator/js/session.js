/** Counts of this tab's sitting: survives a reload, ends with the tab. Also the tasks that can still be reopened. */

const REOPENABLE = 10;

export function createSession(kept) {
  const values = { started: false, tasks: 0, instances: 0, activeSeconds: 0, sent: [], ...kept.get("session") };
  const save = () => kept.set("session", values);
  return {
    values,
    start() {
      values.started = true;
      save();
    },
    count({ instances, activeSeconds }) {
      values.tasks += 1;
      values.instances += instances;
      values.activeSeconds += activeSeconds;
      save();
    },
    sent(taskId, annotation) {
      values.sent = [...values.sent.filter((one) => one.taskId !== taskId), { taskId, annotation }].slice(-REOPENABLE);
      save();
    },
    takeLast() {
      const last = values.sent.at(-1) ?? null;
      values.sent = values.sent.slice(0, -1);
      save();
      return last;
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
