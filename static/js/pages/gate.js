// A gate decision's plots: bars of the three models, and the gain with its interval.
import { chartOptions, colour, keepChart, readJson } from "./charts.js";

function gateBars(data) {
  const roles = ["champion", "challenger", "as shipped"];
  const fills = ["plot-3", "plot-1", "plot-2"];
  return {
    type: "bar",
    data: {
      labels: data.metrics.map((metric) => metric.name),
      datasets: roles.map((role, place) => ({
        label: role,
        data: data.metrics.map((metric) => (metric.values[place] === null ? null : 100 * metric.values[place])),
        backgroundColor: colour(fills[place]),
      })),
    },
    options: chartOptions({ y: "points of 100" }),
  };
}

// The gain as a dot, its interval as a bar, and what the gate asks for as a line.
function drawInterval(data) {
  return {
    id: "interval",
    afterDatasetsDraw({ ctx, chartArea, scales }) {
      const at = (value) => scales.x.getPixelForValue(100 * value);
      const middle = (chartArea.top + chartArea.bottom) / 2;
      ctx.save();
      for (const [value, token, dash] of [
        [0, "line-strong", []],
        [data.asked, "warn", [5, 4]],
      ]) {
        ctx.strokeStyle = colour(token);
        ctx.setLineDash(dash);
        ctx.lineWidth = 1.5;
        ctx.beginPath();
        ctx.moveTo(at(value), chartArea.top);
        ctx.lineTo(at(value), chartArea.bottom);
        ctx.stroke();
      }
      ctx.setLineDash([]);
      ctx.strokeStyle = ctx.fillStyle = colour("plot-1");
      ctx.lineWidth = 5;
      ctx.beginPath();
      ctx.moveTo(at(data.low), middle);
      ctx.lineTo(at(data.high), middle);
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(at(data.gain), middle, 7, 0, 2 * Math.PI);
      ctx.fill();
      ctx.restore();
    },
  };
}

function gateInterval(data) {
  const ends = [data.low, data.high, data.gain, 0, data.asked].map((value) => 100 * value);
  const margin = Math.max(0.5, (Math.max(...ends) - Math.min(...ends)) * 0.08);
  const options = chartOptions({
    x: `gain in CGF1 points (dashed: more than ${(100 * data.asked).toFixed(1)} is asked for)`,
    legend: false,
    xMore: { type: "linear", min: Math.min(...ends) - margin, max: Math.max(...ends) + margin },
    yMore: { display: false, min: 0, max: 1 },
  });
  options.plugins.tooltip = { enabled: false };
  return { type: "scatter", data: { datasets: [{ data: [] }] }, options, plugins: [drawInterval(data)] };
}

const gate = readJson("gate-data");
if (gate) keepChart(document.getElementById("gate-chart"), () => gateBars(gate));
if (gate && Number.isFinite(gate.low)) keepChart(document.getElementById("gate-interval"), () => gateInterval(gate));
