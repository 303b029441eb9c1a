// Draws each sample image with what the model found on it, what it made up and what it missed.
import { outlineLoops } from "../../annotator/js/outline.js";
import { maskFromWire } from "../../annotator/js/rle.js";
import { colour, readJson } from "./charts.js";

// Outlines differ in dash as well as in colour. Widths and dashes are in screen pixels.
const LOOKS = {
  hit: { token: "on-hit", dash: [], width: 2, fill: 0.3 },
  false: { token: "on-false", dash: [7, 4], width: 2.5, fill: 0 },
  missed: { token: "on-missed", dash: [2, 4], width: 2.5, fill: 0 },
};

function trace(context, loops, scale) {
  context.beginPath();
  for (const [x, y, ...rest] of loops) {
    context.moveTo(x * scale, y * scale);
    for (let at = 0; at < rest.length; at += 2) context.lineTo(rest[at] * scale, rest[at + 1] * scale);
    context.closePath();
  }
}

function drawMask(context, { kind, loops }, scale, ratio) {
  const look = LOOKS[kind];
  trace(context, loops, scale);
  if (look.fill) {
    context.globalAlpha = look.fill;
    context.fillStyle = colour(look.token);
    context.fill("evenodd");
    context.globalAlpha = 1;
  }
  // A dark line under the coloured one keeps it visible on any picture.
  for (const [style, extra] of [["rgb(0 0 0 / 60%)", 2], [colour(look.token), 0]]) {
    context.strokeStyle = style;
    context.lineWidth = (look.width + extra) * ratio;
    context.setLineDash(extra ? [] : look.dash.map((length) => length * ratio));
    context.stroke();
  }
}

function draw(canvas, image, sample, masks) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const scale = width / sample.width;
  canvas.width = width;
  canvas.height = Math.round(sample.height * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  for (const mask of masks) drawMask(context, mask, scale, ratio);
}

async function show(canvas, samples) {
  const sample = samples[Number(canvas.dataset.sample)];
  const masks = sample[canvas.dataset.side].masks.map(({ kind, mask }) => ({ kind, loops: outlineLoops(maskFromWire(mask)) }));
  const image = new Image();
  image.src = canvas.dataset.image;
  await image.decode();
  const redraw = () => draw(canvas, image, sample, masks);
  redraw();
  new ResizeObserver(redraw).observe(canvas.parentElement);
}

const samples = readJson("samples-data");
if (samples) for (const canvas of document.querySelectorAll("canvas[data-sample]")) show(canvas, samples);
