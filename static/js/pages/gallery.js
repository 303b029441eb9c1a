/** The gallery: select pictures by mouse or keys, Shift for all between, act on them with one key. */

import { neighbour } from "./bulk-approval.js";

/** The places from one to the other, both included, whichever comes first. */
export function between(from, to) {
  const [low, high] = from < to ? [from, to] : [to, from];
  return Array.from({ length: high - low + 1 }, (_, step) => low + step);
}

function start(form) {
  const ticks = [...form.querySelectorAll("input[name=image]")];
  const everything = form.querySelector("[data-everything]");
  const acts = [...form.querySelectorAll("button[type=submit]")];
  let anchor = 0;

  function count() {
    const chosen = ticks.filter((tick) => tick.checked).length;
    const words = everything?.checked ? "All found" : String(chosen);
    form.querySelector("[data-count]").textContent = words;
    form.querySelector("[data-told]").textContent = `${words} selected`;
    for (const button of acts) button.disabled = chosen === 0 && !everything?.checked;
  }

  function pick(at, shift) {
    if (shift) for (const one of between(anchor, at)) ticks[one].checked = ticks[at].checked;
    else anchor = at;
    count();
  }

  function act(key) {
    const button = acts.find((one) => one.dataset.key === key && !one.disabled);
    button?.click();
    return Boolean(button);
  }

  form.addEventListener("change", count);
  form.addEventListener("click", (event) => {
    const select = event.target.closest("[data-select]");
    if (select) {
      for (const tick of ticks) tick.checked = select.dataset.select === "all";
      if (everything && select.dataset.select === "none") everything.checked = false;
      count();
    }
    const submit = event.target.closest("button[type=submit]");
    if (submit) ask(form, submit, everything?.checked);
    const at = ticks.indexOf(event.target);
    if (at >= 0) pick(at, event.shiftKey);
  });
  form.addEventListener("keydown", (event) => {
    const at = ticks.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      event.preventDefault();
      if (ticks[at].dataset.open) location.assign(ticks[at].dataset.open);
    } else if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const boxes = ticks.map((tick) => tick.closest("li").getBoundingClientRect());
      const next = neighbour(boxes, at, event.key);
      if (event.shiftKey) for (const one of [at, next]) ticks[one].checked = true;
      ticks[next].focus();
      count();
    } else if (act(event.key.toLowerCase())) event.preventDefault();
  });
  count(); // the browser may have kept ticks over a reload
}

/** page.js asks before it sends a form that says so: what to ask hangs on the button, and on how many are meant. */
function ask(form, button, isEverything) {
  const title = button.dataset.ask ?? (isEverything ? "Do this to all images that are found?" : "");
  if (!title) delete form.dataset.confirm;
  else {
    form.dataset.confirm = isEverything ? "Do this to all images that are found?" : title;
    form.dataset.confirmText = button.dataset.askText ?? "It can be taken back under «Changes».";
    form.dataset.confirmYes = button.textContent.trim().split("\n")[0];
  }
}

const form = globalThis.document?.getElementById("gallery-form");
if (form) start(form);

// Where nothing was found yet, the page goes on by itself, a bounded part of the images at a time.
const further = globalThis.document?.querySelector("a[data-look-further]");
if (further) location.replace(further.href);
