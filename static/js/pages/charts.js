// Chart.js in the page's own colours; charts are drawn anew when light and dark change places.

/** A colour of css/tokens.css as the browser resolves it now (light-dark() included). */
export function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

export function readJson(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
}

const axis = (title, more = {}) => ({
  title: { display: Boolean(title), text: title, color: colour("ink-soft") },
  ticks: { color: colour("ink-soft"), maxRotation: 0 },
  grid: { color: colour("line") },
  border: { color: colour("line-strong") },
  ...more,
});

// What stands before a name in the legend: the line as it is drawn, or a block of the bar's colour.
export const STROKES = { usePointStyle: true, pointStyle: "line", pointStyleWidth: 34 };
export const BLOCKS = { boxWidth: 14, boxHeight: 10 };

const FEW = 40;

/** One line of a chart; `dash` tells it apart without its colour, too. Few points are marked. */
export const lineOf = (label, data, { token, dash = [], marks = data.length <= FEW }) => ({
  label,
  data,
  borderColor: colour(token),
  backgroundColor: colour(token),
  borderDash: dash,
  borderWidth: 2,
  pointRadius: marks ? 2.5 : 0,
});

/** Options that every chart shares; `x` and `y` are axis titles. */
export function chartOptions({ x, y, legend = true, key = BLOCKS, xMore = {}, yMore = {} }) {
  return {
    responsive: true,
    maintainAspectRatio: false,
    animation: false,
    interaction: { mode: "index", intersect: false },
    plugins: { legend: { display: legend, labels: { color: colour("ink"), ...key } } },
    scales: { x: axis(x, xMore), y: axis(y, { beginAtZero: true, ...yMore }) },
  };
}

/** Draw with `configure()`, and again whenever the theme changes. Returns a function that redraws. */
export function keepChart(canvas, configure) {
  let chart = null;
  const draw = () => {
    chart?.destroy();
    window.Chart.defaults.font.family = getComputedStyle(document.documentElement).fontFamily;
    chart = new window.Chart(canvas, configure());
  };
  draw();
  document.addEventListener("roost:theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  return draw;
}
