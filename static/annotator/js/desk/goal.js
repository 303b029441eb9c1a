/** What was settled today against a number that the person has set, if any: a line and a quiet bar, nothing more. */

import { isAbort, paths } from "../model/api-client.js";

const MOST = 9999;

/** `parts`: api, slug, role, settings. The count is the server's, since midnight where this browser is. */
export function createGoal({ api, slug, role, settings }) {
  let settled = null; // unknown until the server has answered

  function show() {
    const goal = settings.get("goal");
    const count = settled ?? "–";
    role("today").textContent = goal ? `${count} of ${goal}` : String(count);
    const bar = role("today-bar");
    bar.hidden = !goal;
    bar.max = goal ?? 1;
    bar.value = Math.min(settled ?? 0, bar.max);
  }

  function bind(field) {
    field.value = settings.get("goal") ?? "";
    field.addEventListener("change", () => {
      const wanted = Math.round(Number(field.value));
      settings.set("goal", wanted > 0 ? Math.min(wanted, MOST) : null);
      field.value = settings.get("goal") ?? "";
      show();
    });
  }

  bind(role("goal"));
  show();
  return {
    /** Ask again: after an answer was taken, and when somebody comes back to the tab, perhaps on another day. */
    async refresh() {
      try {
        const answer = await api.get(paths.progress(slug, midnight()), { overtakes: "progress" });
        settled = answer.settled;
        show();
      } catch (error) {
        if (!isAbort(error)) show(); // the last known count stays; whatever ails the server is told elsewhere
      }
    },
  };
}

export function midnight(now = new Date()) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate());
}
