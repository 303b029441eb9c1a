// The import form with a bar that moves: a large zip takes a while to arrive.
import { showToast } from "./page.js";

function send(form, button) {
  const bar = form.querySelector(".upload-progress");
  const state = form.querySelector("[data-upload-state]");
  const request = new XMLHttpRequest();
  bar.hidden = false;
  request.open("POST", form.action);
  request.setRequestHeader("HX-Request", "true");
  request.upload.addEventListener("progress", (event) => {
    bar.value = event.lengthComputable ? event.loaded / event.total : 0;
    state.textContent = event.loaded === event.total ? "Arrived; checking …" : `${Math.round(bar.value * 100)} %`;
  });
  request.addEventListener("load", () => finish(form, request));
  request.addEventListener("error", () => giveUp(form, "The upload broke off. Nothing was imported; try again."));
  request.send(new FormData(form, button)); // which of the two buttons: look first, or import
}

// A refused form comes back as the whole page: show it with its sentences beside the fields.
function finish(form, request) {
  const target = request.getResponseHeader("HX-Redirect");
  if (target) return location.assign(target);
  if (request.status === 401) return location.reload(); // logged out meanwhile
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const answer = page.querySelector("form[data-upload]");
  if (!answer)
    return giveUp(form, page.querySelector("main p")?.textContent ?? `The server answered ${request.status}.`);
  form.replaceWith(answer);
  watch(answer);
  answer.querySelector(".field-error, .notice-error")?.scrollIntoView({ block: "center" });
}

function giveUp(form, sentence) {
  form.querySelector(".upload-progress").hidden = true;
  form.querySelector("[data-upload-state]").textContent = "";
  setDisabled(form, false);
  showToast(sentence);
}

function setDisabled(form, isDisabled) {
  for (const button of form.querySelectorAll("button[type=submit]")) button.disabled = isDisabled;
}

function watch(form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, event.submitter);
    setDisabled(form, true);
  });
}

for (const form of document.querySelectorAll("form[data-upload]")) watch(form);
