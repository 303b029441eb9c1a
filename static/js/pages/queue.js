// The presence histogram with its band.
import { chartOptions, colour, keepChart, readJson } from "./charts.js";

// Bars stand at i + 0.5 of `bins`; the band is drawn behind them in the same units.
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

function configure(data) {
  const bins = data.counts.length;
  const points = data.counts.map((count, place) => ({ x: (place + 0.5) / bins, y: count }));
  const options = chartOptions({
    x: "presence score",
    y: "pairs",
    legend: false,
    xMore: { type: "linear", min: 0, max: 1, offset: false, grid: { display: false } },
    yMore: { ticks: { precision: 0, color: colour("ink-soft") } },
  });
  options.plugins.tooltip = {
    callbacks: {
      title: ([item]) => `presence ${(item.parsed.x - 0.5 / bins).toFixed(2)} – ${(item.parsed.x + 0.5 / bins).toFixed(2)}`,
      label: (item) => `${item.parsed.y} pairs`,
    },
  };
  return {
    type: "bar",
    data: { datasets: [{ data: points, backgroundColor: colour("plot-1"), barPercentage: 1, categoryPercentage: 0.92 }] },
    options,
    plugins: [bandBehind(data)],
  };
}

// The histogram arrives after the page: see views/queue.py.
document.addEventListener("htmx:afterSettle", () => {
  const data = readJson("histogram-data");
  const canvas = document.getElementById("histogram");
  if (data && !canvas.dataset.drawn) keepChart(canvas, () => configure(data));
  if (data) canvas.dataset.drawn = "yes";
});
