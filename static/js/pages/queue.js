// The presence histogram with its band.
import { chartOptions, colour, keepChart, readJson } from "./charts.js";

// The band is drawn behind the bars, in the units of the axis.
function bandBehind({ low, high }) {
  return {
    id: "band",
    beforeDatasetsDraw({ ctx, chartArea, scales }) {
      const left = scales.x.getPixelForValue(low);
      const right = scales.x.getPixelForValue(high);
      ctx.save();
      ctx.fillStyle = colour("band");
      ctx.fillRect(left, chartArea.top, right - left, chartArea.height);
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
  return { type: "bar", data: { datasets: [bars] }, options, plugins: [bandBehind(data)] };
}

/** Pairs inside the band that is being tried out, as finely as they were counted. */
function countInBand({ counts, low, high }) {
  const [first, last] = [Math.round(low * counts.length), Math.round(high * counts.length)];
  return counts.slice(first, last).reduce((sum, count) => sum + count, 0);
}

// Moving an end moves the band and says what it would hold; nothing is kept until the button is pressed.
function tryBands(form, data, redraw) {
  const [low, high] = form.querySelectorAll("input[type=range]");
  form.addEventListener("input", (event) => {
    const moved = event.target;
    if (Number(low.value) >= Number(high.value)) {
      if (moved === low) high.value = Number(low.value) + 0.01;
      else low.value = Number(high.value) - 0.01;
    }
    data.low = Number(low.value);
    data.high = Number(high.value);
    for (const input of [low, high]) input.labels[0].querySelector("output").textContent = Number(input.value).toFixed(2);
    const words = `${countInBand(data).toLocaleString("en-GB")} would be in ${data.low.toFixed(2)}–${data.high.toFixed(2)}`;
    document.getElementById("band-count").textContent = words;
    form.querySelector("button")?.removeAttribute("disabled");
    redraw();
  });
}

// The histogram arrives after the page: see views/queue.py.
document.addEventListener("htmx:afterSettle", () => {
  const data = readJson("histogram-data");
  const canvas = document.getElementById("histogram");
  if (!data || canvas.dataset.drawn) return;
  canvas.dataset.drawn = "yes";
  tryBands(document.getElementById("band-form"), data, keepChart(canvas, () => configure(data)));
});
