// The sample pairs from validation to validation: one slider for all of them, loaded when somebody comes to look.
import { drawPicture, masksFrom, pictureFrom } from "./masks-on-picture.js";
import { whenNear } from "./when-near.js";

const NEAR = "300px";
const section = document.getElementById("validations");
const slider = document.getElementById("validations-step");
const told = document.getElementById("validations-told");
const place = document.getElementById("validations-pairs");

let answer = null;
let figures = [];
let isWanted = false;
let isAsking = false;

function stepWords({ step, cgf1, kept }) {
  const figure = cgf1 === null ? "" : `, CGF1 ${(100 * cgf1).toFixed(1)}`;
  return `Step ${step}${figure}${kept ? ", the one that is kept" : ""}`;
}

function seenWords(seen) {
  if (!seen) return "not shown at this step";
  const counts = ["hit", "missed", "false"].filter((kind) => seen[kind] > 0);
  const names = { hit: "found", missed: "missed", false: "false" };
  const words = counts.map((kind) => `${seen[kind]} ${names[kind]}`).join(" · ") || "rightly nothing";
  return `presence ${seen.presence.toFixed(2)} · ${words}`;
}

function figureOf(pair) {
  const figure = document.getElementById("validations-pair").content.firstElementChild.cloneNode(true);
  figure.querySelector(".tag").textContent = pair.text_input;
  const canvas = figure.querySelector("canvas");
  canvas.width = pair.width;
  canvas.height = pair.height;
  const made = { pair, canvas, words: figure.querySelector("p"), image: null, figure };
  pictureFrom(section.dataset.media.replace("SHA256", pair.image)).then(
    (image) => {
      made.image = image;
      draw(made);
      new ResizeObserver(() => draw(made)).observe(figure);
    },
    () => {
      made.words.textContent = "The picture cannot be loaded.";
    },
  );
  return made;
}

function draw({ pair, canvas, words, image }) {
  const seen = pair.seen[Number(slider.value)];
  words.textContent = seenWords(seen);
  canvas.setAttribute("aria-label", `${pair.text_input}: ${words.textContent}`);
  if (!image) return;
  drawPicture(canvas, image, pair, masksFrom(seen?.masks ?? []));
}

function show() {
  const step = answer.steps[Number(slider.value)];
  told.textContent = stepWords(step);
  slider.setAttribute("aria-valuetext", stepWords(step));
  for (const made of figures) draw(made);
}

// Whoever looks at the newest step stays with the newest; others stay where they are.
function take(fresh) {
  const wasLast = answer === null || Number(slider.value) === answer.steps.length - 1;
  const known = answer?.steps[Number(slider.value)]?.step;
  answer = fresh;
  slider.max = String(answer.steps.length - 1);
  slider.disabled = answer.steps.length < 2;
  const same = answer.steps.findIndex((one) => one.step === known);
  slider.value = String(wasLast || same < 0 ? answer.steps.length - 1 : same);
  const earlier = new Map(figures.map((made) => [made.pair.pair_id, made]));
  figures = answer.pairs.map((pair) => Object.assign(earlier.get(pair.pair_id) ?? figureOf(pair), { pair }));
  place.replaceChildren(...figures.map((made) => made.figure));
  show();
}

async function ask() {
  if (isAsking) return;
  isAsking = true;
  try {
    const response = await fetch(section.dataset.url, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(String(response.status));
    const fresh = await response.json();
    if (fresh.steps.length) take(fresh);
  } catch {
    if (!answer) told.textContent = "The pictures could not be loaded; reload the page to try again.";
  } finally {
    isAsking = false;
  }
}

if (section) {
  slider.addEventListener("input", show);
  whenNear(section, NEAR, () => {
    isWanted = true;
    ask();
  });
  document.addEventListener("run:told", ({ detail }) => {
    const steps = detail.steps_shown ?? [];
    section.hidden = steps.length === 0;
    const known = answer?.steps.map((one) => one.step) ?? [];
    const isNews = steps.join() !== known.join() || detail.ended;
    if (isWanted && isNews) ask();
  });
}
