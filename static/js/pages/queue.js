// The presence histogram with its band.
import { chartOptions, colour, keepChart, readJson } from "./charts.js";

const STEP = 0.01;
const GRIP_PX = 9;

// The band is drawn behind the bars, its ends with a grip over them; `data` is read anew at every drawing.
function bandOf(data) {
  const ends = (scale) => [scale.getPixelForValue(data.low), scale.getPixelForValue(data.high)];
  return {
    id: "band",
    beforeDatasetsDraw({ ctx, chartArea, scales }) {
      const [left, right] = ends(scales.x);
      ctx.save();
      ctx.fillStyle = colour("band");
      ctx.fillRect(left, chartArea.top, right - left, chartArea.height);
      ctx.restore();
    },
    afterDatasetsDraw({ ctx, chartArea, scales }) {
      const middle = (chartArea.top + chartArea.bottom) / 2;
      ctx.save();
      ctx.fillStyle = colour("warn");
      for (const x of ends(scales.x)) {
        ctx.fillRect(x - 1, chartArea.top, 2, chartArea.height);
        ctx.beginPath();
        ctx.roundRect(x - 4, middle - 14, 8, 28, 4);
        ctx.fill();
      }
      ctx.restore();
    },
  };
}

/** The fine counts in bars of `bar`: {x: middle, y: pairs}. */
function barsOf({ counts, bar }) {
  const bars = [];
  for (let at = 0; at < counts.length; at += bar) {
    const pairs = counts.slice(at, at + bar).reduce((sum, count) => sum + count, 0);
    bars.push({ x: (at + bar / 2) / counts.length, y: pairs });
  }
  return bars;
}

function configure(data) {
  const half = data.bar / data.counts.length / 2;
  const options = chartOptions({
    x: "presence score",
    y: "pairs",
    legend: false,
    xMore: { type: "linear", min: 0, max: 1, offset: false, grid: { display: false } },
    yMore: { ticks: { precision: 0, color: colour("ink-soft") } },
  });
  options.plugins.tooltip = {
    callbacks: {
      title: ([item]) => `presence ${(item.parsed.x - half).toFixed(2)} – ${(item.parsed.x + half).toFixed(2)}`,
      label: (item) => `${item.parsed.y} pairs`,
    },
  };
  const bars = { data: barsOf(data), backgroundColor: colour("plot-1"), barPercentage: 1, categoryPercentage: 0.92 };
  return { type: "bar", data: { datasets: [bars] }, options, plugins: [bandOf(data)] };
}

/** Pairs inside the band that is being tried out, as finely as they were counted. */
function countInBand({ counts, low, high }) {
  const [first, last] = [Math.round(low * counts.length), Math.round(high * counts.length)];
  return counts.slice(first, last).reduce((sum, count) => sum + count, 0);
}

const rounded = (value) => Math.round(value / STEP) * STEP;
const clamped = (value, low, high) => Math.min(Math.max(value, low), high);

/** The band after `part` ("low", "high" or the whole "band") was moved by `by`: never empty, never outside 0..1. */
export function movedBand({ low, high }, part, by) {
  if (part === "low") return { low: rounded(clamped(low + by, 0, high - STEP)), high };
  if (part === "high") return { low, high: rounded(clamped(high + by, low + STEP, 1)) };
  const shift = rounded(clamped(by, -low, 1 - high));
  return { low: rounded(low + shift), high: rounded(high + shift) };
}

/** What a pointer at x grips, in the canvas' own pixels: the nearer end within reach, the band between, else nothing. */
export function gripAt(x, [left, right]) {
  const nearer = Math.abs(x - left) <= Math.abs(x - right) ? "low" : "high";
  if (Math.abs(x - (nearer === "low" ? left : right)) <= GRIP_PX) return nearer;
  return x > left && x < right ? "band" : null;
}

// Trying a band out says what it would hold; nothing is kept until the button is pressed.
function tryBands(form, canvas, data) {
  const inputs = { low: form.querySelector("#band-low"), high: form.querySelector("#band-high") };

  function show(band) {
    Object.assign(data, band);
    for (const end of ["low", "high"]) {
      inputs[end].value = data[end];
      inputs[end].labels[0].querySelector("output").textContent = data[end].toFixed(2);
    }
    const count = countInBand(data);
    const number = (value) => value.toLocaleString("en-GB");
    const queued = count > data.room ? `, ${number(data.room)} of them in a batch` : "";
    document.getElementById("band-count").textContent =
      `${number(count)} would be in ${data.low.toFixed(2)}–${data.high.toFixed(2)}${queued}`;
    form.querySelector("button")?.removeAttribute("disabled");
    window.Chart.getChart(canvas).draw();
  }

  form.addEventListener("input", ({ target }) => {
    const end = target === inputs.low ? "low" : "high";
    show(movedBand(data, end, Number(target.value) - data[end]));
  });
  dragBand(canvas, data, show);
}

function dragBand(canvas, data, show) {
  let held = null; // {part, from: value under the pointer, band: as it was}
  const scale = () => window.Chart.getChart(canvas).scales.x;
  const grip = (event) =>
    gripAt(
      event.offsetX,
      [data.low, data.high].map((value) => scale().getPixelForValue(value)),
    );

  canvas.addEventListener("pointerdown", (event) => {
    const part = event.button === 0 ? grip(event) : null;
    if (!part) return;
    canvas.setPointerCapture(event.pointerId);
    held = { part, from: scale().getValueForPixel(event.offsetX), band: { low: data.low, high: data.high } };
  });
  canvas.addEventListener("pointermove", (event) => {
    const part = held?.part ?? grip(event);
    canvas.style.cursor = { low: "ew-resize", high: "ew-resize", band: held ? "grabbing" : "grab" }[part] ?? "";
    if (held) show(movedBand(held.band, held.part, scale().getValueForPixel(event.offsetX) - held.from));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (held = null));
}

// The histogram arrives after the page: see annotator/queue/views.py.
globalThis.document?.addEventListener("htmx:afterSettle", () => {
  const data = readJson("histogram-data");
  const canvas = document.getElementById("histogram");
  if (!data || canvas.dataset.drawn) return;
  canvas.dataset.drawn = "yes";
  keepChart(canvas, () => configure(data));
  tryBands(document.getElementById("band-form"), canvas, data);
});
