// Charts, drawn by uPlot from the numbers that stand in the page; and the board on a phone. Without this script tables
// say the same, and all columns of the board are open.
"use strict";

const DAY = 86400;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (value) => {
  for (const [unit, mark] of [[1e9, " bn"], [1e6, " M"], [1e3, " k"]]) {
    if (Math.abs(value) >= unit) return `${+(value / unit).toPrecision(3)}${mark}`;
  }
  return String(value);
};
const days = (list) => list.map((day) => Date.parse(`${day}T00:00:00Z`) / 1000);
const axis = (more) => ({
  stroke: style("--soft"), grid: { stroke: style("--grid"), width: 1 }, ticks: { stroke: style("--grid"), width: 1 }, ...more,
});
const day = (mark) => new Date(mark * 1000).toISOString().slice(0, 10);
const ROOM = 92; // pixels from date to date, which are some 70 wide
const dates = (more) => axis({
  space: ROOM,
  incrs: [1, 2, 3, 5, 7, 10, 15, 30, 60, 90, 120, 180, 365, 730, 1825, 3650].map((days) => days * DAY), // no day twice
  values: (plot, marks) => marks.map(day),
  ...more,
});
const told = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
const line = (label, color, scale, more) => ({
  label, stroke: style(color), width: 2, scale, points: { show: false }, value: (plot, value) => told(value), ...more,
});

const kinds = {
  volume: (data) => ({
    data: [days(data.x), ...data.series.map((one) => one.values)],
    scales: { x: { time: true }, exams: { range: fromZero }, images: { range: (plot, low, high) => fromZero(plot, low, high * 1.35) } },
    series: [
      { label: "Day", value: (plot, value) => (value === null ? "–" : day(value)) },
      line("Exams", "--first", "exams"),
      line("Images", "--second", "images", { dash: [6, 4] }),
    ],
    axes: [
      dates(),
      axis({ scale: "exams", size: 54, stroke: style("--first"), values: (plot, marks) => marks.map(short) }),
      axis({ scale: "images", side: 1, size: 54, stroke: style("--second"), grid: { show: false }, values: (plot, marks) => marks.map(short) }),
    ],
  }),
  weeks: (data) => {
    const x = days(data.x);
    const mondays = (plot) => {
      const apart = Math.ceil(ROOM / (plot.valToPos(x[1], "x") - plot.valToPos(x[0], "x")));
      return x.filter((_, number) => (x.length - 1 - number) % apart === 0);
    };
    const side = (align) => uPlot.paths.bars({ size: [0.42, 40], align });
    return {
      data: [x, ...data.series.map((one) => one.values)],
      padding: [null, 40, null, null], // half of the last date
      scales: { x: { time: true, range: [x[0] - 4 * DAY, x[x.length - 1] + 4 * DAY] }, y: { range: fromZero } },
      series: [
        { label: "Week of", value: (plot, value) => (value === null ? "–" : day(value)) },
        line("Opened", "--second", "y", { fill: style("--second"), width: 0, paths: side(-1) }),
        line("Closed", "--first", "y", { fill: style("--first"), width: 0, paths: side(1) }),
      ],
      axes: [dates({ splits: mondays }), axis({ size: 48, values: (plot, marks) => marks.map((mark) => (Number.isInteger(mark) ? short(mark) : "")) })],
    };
  },
  fixing: (data) => {
    const stepped = uPlot.paths.stepped({ align: 1 });
    const edge = (label) => line(label, "--band", "y", { width: 1, paths: stepped });
    return {
      data: [data.x, ...data.series.map((one) => one.values)],
      scales: { x: { time: false }, y: { range: [0, 100] } },
      series: [
        { label: "After", value: (plot, value) => (value === null ? "–" : `${value} days`) },
        line("Still open, %", "--first", "y", { paths: stepped }),
        edge("at least"), edge("at most"),
      ],
      bands: [{ series: [3, 2], fill: style("--band") }],
      axes: [axis({ values: (plot, marks) => marks.map((mark) => `${mark} d`) }), axis({ size: 58, values: (plot, marks) => marks.map((mark) => `${mark} %`) })],
    };
  },
};
function fromZero(plot, low, high) { return [0, Math.max(1, high) * 1.08]; }

const HEIGHT = 224;
const drawn = new Map();
function draw(place) {
  const data = JSON.parse(place.dataset.chart);
  const { data: points, ...options } = kinds[data.kind](data);
  drawn.get(place)?.destroy();
  const size = { width: place.clientWidth, height: HEIGHT };
  const plot = new uPlot({ ...size, cursor: { drag: { x: false, y: false } }, ...options }, points, place);
  const latest = () => plot.setLegend({ idx: points[0].length - 1 });
  setTimeout(latest); // where nobody points at another
  plot.over.addEventListener("mouseleave", () => setTimeout(latest));
  drawn.set(place, plot);
}
function drawAll() {
  if (typeof uPlot === "undefined") return;
  for (const place of document.querySelectorAll("[data-chart]")) draw(place);
}
drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let waiting = 0;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 120); });

// On a phone the columns of the board lie below each other: only the first with something in it is open.
const narrow = matchMedia("(max-width: 47rem)");
function fold() {
  const columns = [...document.querySelectorAll("[data-column]")];
  const first = columns.find((one) => one.querySelector("li.card"));
  for (const one of columns) one.open = !narrow.matches || one === first;
}
fold();
narrow.addEventListener("change", fold);
