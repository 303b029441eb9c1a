// What every page has: CSRF for htmx, toasts for failed requests, the theme switch, menus, questions before big actions.

export function showToast(text, kind = "error") {
  const toast = document.createElement("div");
  toast.className = `notice notice-${kind}`;
  toast.textContent = text;
  document.getElementById("toasts").append(toast);
  setTimeout(() => toast.remove(), 9000);
}

function sentenceOf(xhr) {
  try {
    return JSON.parse(xhr.responseText).error.message;
  } catch {
    return xhr.status
      ? `The server answered ${xhr.status}. Reload the page and try again.`
      : "The server can't be reached.";
  }
}

function currentTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
}

function switchTheme() {
  const next = currentTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("roost-theme", next);
  document.dispatchEvent(new CustomEvent("roost:theme"));
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}

// A form with data-confirm="title" and data-confirm-text asks first; the answer "yes" submits it for real.
function askFirst(event) {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-title").textContent = form.dataset.confirm;
  document.getElementById("confirm-text").textContent = form.dataset.confirmText ?? "";
  document.getElementById("confirm-yes").textContent = form.dataset.confirmYes ?? "Yes";
  dialog.returnValue = "no";
  dialog.addEventListener("close", () => dialog.returnValue === "yes" && submitConfirmed(form, event.submitter), {
    once: true,
  });
  dialog.showModal();
}

function submitConfirmed(form, submitter) {
  form.dataset.confirmed = "yes";
  form.requestSubmit(submitter);
  delete form.dataset.confirmed;
}

// A second press of a slow button must not start a second action.
function disableWhileSending(event) {
  if (event.defaultPrevented || event.target.method !== "post") return;
  setTimeout(() => {
    for (const button of event.target.querySelectorAll("button[type=submit]")) button.disabled = true;
  });
}

const CLOCKS = {
  clock: { timeStyle: "short" },
  short: { dateStyle: "medium", timeStyle: "short" },
  seconds: { dateStyle: "medium", timeStyle: "medium" },
};

// The server writes UTC; people read their own clock.
function localiseTimes(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    time.textContent = new Intl.DateTimeFormat("en-GB", CLOCKS[time.dataset.local]).format(new Date(time.dateTime));
    time.title = time.dateTime;
  }
}

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = document.querySelector("meta[name=csrf-token]").content;
});
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.elt.id !== "backend-status") showToast(sentenceOf(event.detail.xhr));
});
document.addEventListener("submit", askFirst);
document.addEventListener("submit", disableWhileSending);
document.addEventListener(
  "change",
  (event) => event.target.matches("[data-submit-on-change]") && event.target.form.requestSubmit(),
);
document.addEventListener("click", (event) => {
  closeMenus(event.target.closest("details.menu"));
  if (event.target.closest("[data-theme-switch]")) switchTheme();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && closeMenus());
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("button[type=submit]:disabled")) button.disabled = false;
});
document.addEventListener("htmx:afterSettle", (event) => localiseTimes(event.target));
localiseTimes(document);
for (const table of document.querySelectorAll(".table-wrap")) {
  if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
}
