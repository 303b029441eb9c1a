// One image: its masks by concept, people's and the model's, each to be switched; arrow keys lead to the next image.
import { readJson } from "./charts.js";
import { maskFromWire } from "../../annotator/js/mask/rle.js";
import { drawPicture, pictureFrom } from "./masks-on-picture.js";

const TRUTH = { width: 2, fill: 0.25 };
const PREDICTED = { dash: [7, 4], width: 2.5, fill: 0 };

const drawing = readJson("drawing");
const canvas = document.getElementById("picture");
const controls = document.getElementById("layers");

const layers = drawing.layers.map(({ colour, truth, predicted }) => ({
  truth: truth.map((wire) => ({ mask: maskFromWire(wire), look: { ...TRUTH, colour } })),
  predicted: predicted.map((wire) => ({ mask: maskFromWire(wire), look: { ...PREDICTED, colour } })),
}));

function shown() {
  const whose = [...controls.querySelectorAll("[data-whose]:checked")].map((box) => box.dataset.whose);
  const concepts = [...controls.querySelectorAll("[data-layer]:checked")].map(
    (box) => layers[Number(box.dataset.layer)],
  );
  return concepts.flatMap((layer) => whose.flatMap((side) => layer[side]));
}

async function start() {
  const image = await pictureFrom(canvas.dataset.image);
  const redraw = () => drawPicture(canvas, image, drawing, shown());
  redraw();
  controls.addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(canvas.parentElement);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  document.querySelector(`a[data-key="${event.key}"]`)?.click();
});

start();
