/** The side panel: what is asked for and why, what is decided so far, and how the session goes. Text only, no HTML. */

import { proposalStatus } from "./work.js";

const LANES = {
  band: "In the presence band",
  borderline: "Borderline mask",
  audit: "Random audit",
  fill: "Nearest to undecided",
  manual: "Queued by hand",
};
const ORIGINS = { proposal: "proposal", click: "clicked", drawn: "drawn" };
const STATUS = { open: "", accepted: "accepted", rejected: "false positive", covered: "replaced by yours" };

export const element = (tag, properties = {}, ...children) => {
  const made = document.createElement(tag);
  const { dataset, ...rest } = properties;
  Object.assign(made, rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
};

/** `root` holds elements with data-role; `onSelect`, `onAccept`, `onReject`, `onRemove` get a cursor. */
export function createPanel(root, { onSelect, onAccept, onReject, onRemove }) {
  const role = (name) => root.querySelector(`[data-role=${name}]`);
  const setText = (name, text) => {
    const target = role(name);
    if (target && target.textContent !== text) target.textContent = text;
  };

  function showTask(task) {
    setText("concept", task.concept.name);
    role("swatch").style.backgroundColor = task.concept.colour;
    setText("image-name", task.image.name);
    setText("image-size", `${task.image.width} × ${task.image.height} px`);
    setText("lane", LANES[task.lane] ?? task.lane);
    setText("model", task.proposal?.model_version ?? "none: no proposals for this image");
    setText("serving", task.serving_version);
    setText("presence", task.proposal ? task.proposal.presence.toFixed(2) : "–");
    setText("waiting", String(task.queue?.waiting ?? "–"));
    role("reasons").replaceChildren(...task.reasons.map(({ words }) => element("li", { textContent: words })));
    showTaught(task);
    showReturned(task.returned);
  }

  function showTaught({ proposal, concept }) {
    role("taught").hidden = proposal?.taught !== false;
    setText("taught", `The model was never taught the word «${concept.name}»: its proposals are guesses. Clicks work all the same.`);
  }

  function showReturned(returned) {
    role("returned").hidden = !returned;
    if (!returned) return;
    setText("returned-by", `${returned.reviewer ?? "A reviewer"} sent this back:`);
    setText("returned-comment", returned.comment || "without a comment");
    role("returned-pin").hidden = !returned.pin;
  }

  function showWork(state) {
    const { proposals, instances, cursor } = state;
    setText("count", String(instances.length));
    role("instances").replaceChildren(...instances.map((one, i) => instanceRow(one, i, cursor)));
    const open = proposals.filter(({ index }) => ["open", "rejected", "covered"].includes(proposalStatus(state, index)));
    role("proposals").replaceChildren(...open.map((one) => proposalRow(one, proposalStatus(state, one.index), cursor)));
    role("no-instances").hidden = instances.length > 0;
    role("no-proposals").hidden = open.length > 0;
    setText("no-proposals", proposals.length ? "All settled." : "The model proposes nothing here.");
    showSelected(root);
  }

  function instanceRow(one, i, cursor) {
    const at = { kind: "instance", key: one.key };
    const score = one.score === null ? "" : ` · ${one.score.toFixed(2)}`;
    const words = `${i + 1} · ${ORIGINS[one.origin]}${one.edited ? ", edited" : ""}${score}`;
    return row(words, at, cursor, "accepted", [["Remove", "✕", onRemove]]);
  }

  function proposalRow(one, status, cursor) {
    const at = { kind: "proposal", key: one.index };
    const words = [`Proposal ${one.index + 1}`, one.score.toFixed(2), STATUS[status]].filter(Boolean).join(" · ");
    const buttons = status === "open" ? [["Accept", "✓", onAccept], ["Reject", "✕", onReject]] : [];
    return row(words, at, cursor, status, buttons);
  }

  function row(words, at, cursor, status, buttons) {
    const isSelected = cursor?.kind === at.kind && cursor.key === at.key;
    const select = element("button", { type: "button", className: "desk-item", textContent: words, onclick: () => onSelect(at) });
    select.setAttribute("aria-pressed", String(isSelected));
    const deeds = buttons.map(([label, sign, deed]) => deedButton(label, sign, words, () => deed(at)));
    const made = element("li", { dataset: { status } }, select, ...deeds);
    if (isSelected) made.dataset.selected = "";
    return made;
  }

  function deedButton(label, sign, words, onclick) {
    const button = element("button", { type: "button", className: "button button-small", textContent: sign, title: label, onclick });
    button.setAttribute("aria-label", `${label}: ${words}`);
    return button;
  }

  function showSession({ tasks, instances, activeSeconds, taskSeconds, isRunning }) {
    setText("session-tasks", String(tasks));
    setText("session-instances", String(instances));
    setText("session-rate", activeSeconds > 0 && instances ? String(Math.round((instances * 3600) / activeSeconds)) : "–");
    setText("session-active", `${clockText(activeSeconds)}${isRunning ? "" : " (resting)"}`);
    setText("task-active", clockText(taskSeconds));
  }

  return { showTask, showWork, showSession, setText };
}

/** Scroll the selected row into its list's sight; scrollIntoView would move the whole page with it. */
export function showSelected(root) {
  const row = root.querySelector("li[data-selected]");
  if (!row) return;
  const list = row.parentElement;
  const top = row.offsetTop - list.offsetTop;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + row.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + row.offsetHeight - list.clientHeight;
}

const clockText = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
