// The import form with a bar that moves: a large zip takes a while to arrive.
import { showToast } from "./page.js";

function send(form) {
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
  request.addEventListener("error", () => {
    bar.hidden = true;
    state.textContent = "";
    form.querySelector("button[type=submit]").disabled = false;
    showToast("The upload broke off. Nothing was imported; try again.");
  });
  request.send(new FormData(form));
}

// A refused form comes back as the whole page: show it with its sentences beside the fields.
function finish(form, request) {
  const target = request.getResponseHeader("HX-Redirect");
  if (target) return location.assign(target);
  const answer = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("form[data-upload]");
  if (!answer) return location.reload();
  form.replaceWith(answer);
  watch(answer);
  answer.querySelector(".field-error, .notice-error")?.scrollIntoView({ block: "center" });
}

function watch(form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    form.querySelector("button[type=submit]").disabled = true;
    send(form);
  });
}

for (const form of document.querySelectorAll("form[data-upload]")) watch(form);
