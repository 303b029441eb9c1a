// Draws each sample image with what the model found on it, what it made up and what it missed.
import { maskFromWire } from "../../annotator/js/mask/rle.js";
import { readJson } from "./charts.js";
import { lookOf } from "./mask-looks.js";
import { drawPicture, pictureFrom } from "./masks-on-picture.js";

async function show(canvas, samples) {
  const sample = samples[Number(canvas.dataset.sample)];
  const { masks: wires } = sample[canvas.dataset.side];
  const masks = wires.map(({ kind, mask }) => ({ look: lookOf(kind), mask: maskFromWire(mask) }));
  const image = await pictureFrom(canvas.dataset.image);
  const redraw = () => drawPicture(canvas, image, sample, masks);
  redraw();
  new ResizeObserver(redraw).observe(canvas.parentElement);
}

const samples = readJson("samples-data");
if (samples) for (const canvas of document.querySelectorAll("canvas[data-sample]")) show(canvas, samples);
