/** The side panel: what is asked for and why, what is decided so far, and how the session goes. Text only, no HTML. */

import { proposalStatus } from "../work/work.js";

const ORIGINS = {
  proposal: "proposal",
  click: "clicked",
  drawn: "drawn",
  exemplar: "by example",
  box: "by the model in a box",
};
const PENDING = { merge: "to merge", copy: "to copy", move: "to move" };
const STATUS = { open: "", rejected: "false positive", covered: "replaced by yours" };

export const element = (tag, properties = {}, ...children) => {
  const made = document.createElement(tag);
  const { dataset, ...rest } = properties;
  Object.assign(made, rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
};

/** Elements with data-role below `root`. */
export const rolesOf = (root) => (name) => root.querySelector(`[data-role=${name}]`);

export class Panel {
  #role;
  #actions;
  #reasonWords;

  /** `actions`: onSelect, onAccept, onReject, onRemove, each called with a cursor. The page holds the reasons' words. */
  constructor(root, actions) {
    this.#role = rolesOf(root);
    this.#reasonWords = JSON.parse(root.querySelector("#reason-words").textContent);
    this.#actions = actions;
  }

  setText(name, text) {
    const target = this.#role(name);
    if (target.textContent !== text) target.textContent = text;
  }

  showTask(task) {
    const { concept, image, proposal, queue } = task;
    this.#role("swatch").style.backgroundColor = concept.colour;
    this.setText("concept", concept.name);
    this.setText("image-name", image.name);
    this.setText("image-size", `${image.width} × ${image.height} px`);
    this.setText("reason", this.#reasonWords[task.lane] ?? "–");
    const unnamed = proposal ? "none: what was outlined before" : "none: no proposals for this image";
    this.setText("model", proposal?.model_version ?? unnamed);
    this.setText("serving", task.serving_version);
    this.setText("presence", proposal ? proposal.presence.toFixed(2) : "–");
    this.setText("position", String(queue?.position ?? "–"));
    this.setText("waiting", String(queue?.waiting ?? "–"));
    this.setText("saved", "");
    this.#role("reasons").replaceChildren(...task.reasons.map(({ words }) => element("li", { textContent: words })));
    this.#showTaught(task);
    this.#showReturned(task.returned);
  }

  showWork(work) {
    const { proposals, instances } = work;
    this.setText("count", String(instances.length));
    this.#role("instances").replaceChildren(...instances.map((one, i) => this.#instanceRow(work, one, i)));
    const listed = proposals.filter(({ index }) => proposalStatus(work, index) !== "accepted");
    this.#role("proposals").replaceChildren(...listed.map((one) => this.#proposalRow(work, one)));
    this.#role("no-instances").hidden = instances.length > 0;
    this.#role("no-proposals").hidden = listed.length > 0;
    this.setText("no-proposals", proposals.length ? "All settled." : "The model proposes nothing here.");
    for (const list of ["instances", "proposals"]) showSelected(this.#role(list));
  }

  showSession({ tasks, instances, activeSeconds, taskSeconds, isRunning }) {
    const isTelling = activeSeconds > 0 && instances > 0;
    this.setText("session-tasks", String(tasks));
    this.setText("session-instances", String(instances));
    this.setText("session-rate", isTelling ? String(Math.round((instances * 3600) / activeSeconds)) : "–");
    this.setText("session-active", `${clockText(activeSeconds)}${isRunning ? "" : " (resting)"}`);
    this.setText("task-active", clockText(taskSeconds));
  }

  #showTaught({ proposal, concept }) {
    const words = `The model never learned the word «${concept.name}»: its proposals are guesses; clicks need no word.`;
    this.#role("taught").hidden = proposal?.taught !== false;
    this.setText("taught", words);
  }

  #showReturned(returned) {
    this.#role("returned").hidden = !returned;
    if (!returned) return;
    this.setText("returned-by", `${returned.reviewer ?? "A reviewer"} sent this back:`);
    this.setText("returned-comment", returned.comment || "without a comment");
    this.#role("returned-pin").hidden = !returned.pin;
  }

  #instanceRow(work, { key, origin, edited, score }, i) {
    const waits = work.pending?.key === key ? ` · ${PENDING[work.pending.edit]}` : "";
    const scored = score === null ? "" : ` · ${score.toFixed(2)}`;
    const words = `${i + 1} · ${ORIGINS[origin]}${edited ? ", edited" : ""}${scored}${waits}`;
    return this.#row(work, { kind: "instance", key }, words, "accepted", [["Remove", "✕", this.#actions.onRemove]]);
  }

  #proposalRow(work, { index, score, exemplars }) {
    const status = proposalStatus(work, index);
    const found = exemplars ? ORIGINS.exemplar : "";
    const words = [`Proposal ${index + 1}`, score.toFixed(2), found, STATUS[status]].filter(Boolean).join(" · ");
    const { onAccept, onReject } = this.#actions;
    const buttons =
      status === "open"
        ? [
            ["Accept", "✓", onAccept],
            ["Reject", "✕", onReject],
          ]
        : [];
    return this.#row(work, { kind: "proposal", key: index }, words, status, buttons);
  }

  #row({ cursor }, at, words, status, buttons) {
    const isSelected = cursor?.kind === at.kind && cursor.key === at.key;
    const onclick = () => this.#actions.onSelect(at);
    const select = element("button", { type: "button", className: "desk-item", textContent: words, onclick });
    select.setAttribute("aria-pressed", String(isSelected));
    const actions = buttons.map(([label, sign, action]) => actionButton(label, sign, words, () => action(at)));
    const made = element("li", { dataset: { status } }, select, ...actions);
    if (isSelected) made.dataset.selected = "";
    return made;
  }
}

function actionButton(label, sign, words, onclick) {
  const looks = { type: "button", className: "button button-small", textContent: sign, title: label };
  const button = element("button", { ...looks, onclick });
  button.setAttribute("aria-label", `${label}: ${words}`);
  return button;
}

/** Scroll the selected row into its list's sight; scrollIntoView would move the whole page with it. */
export function showSelected(list) {
  const row = list.querySelector("li[data-selected]");
  if (!row) return;
  const top = row.offsetTop - list.offsetTop;
  const bottom = top + row.offsetHeight;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
}

const clockText = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
