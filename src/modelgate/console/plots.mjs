// Draw plots: lines with axes, a heat map, and small histograms.

import { make, svg } from "./dom.mjs";
import { areaPath, extent, histogramPath, linear, linePath, ticks } from "./scales.mjs";
import { formatValue } from "./text.mjs";

const MARGIN = { top: 10, right: 14, bottom: 26, left: 52 };

export function histogram(counts) {
  return svg("svg", { class: "histogram", viewBox: "0 0 200 28", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { d: histogramPath(counts, 200, 28) }));
}

// A box with axes. Ticks are [position in data, text]; `x` and `y` map data to pixels.
function axes({ width, height, x, y, xTicks, yTicks }) {
  const bottom = height - MARGIN.bottom;
  const anchor = (position) => (position < MARGIN.left + 20 ? "start" : position > width - MARGIN.right - 20 ? "end" : "middle");
  return [
    ...yTicks.map(([value, text]) => svg("g", {},
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
      svg("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, text))),
    ...xTicks.map(([value, text]) => svg("text", { x: x(value), y: bottom + 18, "text-anchor": anchor(x(value)) }, text)),
  ];
}

// Draw lines. `lines` are {points, style}, `bands` are {upper, lower}, `mark` is a vertical line with a dot on each of `dots`.
export function linePlot({ width, height = 220, label, xs, ys, xTicks, yText = formatValue, lines, bands = [], mark = null, dots = [] }) {
  const values = ys ?? extent([...lines, ...bands.map(({ upper, lower }) => ({ points: [...upper, ...lower] }))]
    .flatMap(({ points }) => points.map(([, value]) => value)));
  const x = linear(xs, [MARGIN.left, width - MARGIN.right]);
  const y = linear(values, [height - MARGIN.bottom, MARGIN.top]);
  const place = (points) => points.map(([a, b]) => [x(a), y(b)]);
  const yTicks = ticks(values).map((value) => [value, yText(value)]);
  return svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ...axes({ width, height, x, y, xTicks: xTicks ?? ticks(xs, Math.max(3, Math.floor(width / 110))).map((value) => [value, formatValue(value)]), yTicks }),
    ...bands.map(({ upper, lower }) => svg("path", { class: "band", d: areaPath(place(upper), place(lower)) })),
    mark === null ? null : svg("line", { class: "now", x1: x(mark), x2: x(mark), y1: MARGIN.top, y2: height - MARGIN.bottom }),
    ...lines.map(({ points, style }) => svg("path", { class: `line ${style}`, d: linePath(place(points)) })),
    ...dots.map(({ at, style }) => svg("circle", { class: `dot ${style}`, cx: x(at[0]), cy: y(at[1]), r: 4.5 })));
}

// Draw a bar for each of `stacks`, which are arrays of numbers.
export function stackedBars({ width, height, label, stacks, styles, xTicks }) {
  const top = Math.max(1, ...stacks.map((parts) => parts.reduce((total, part) => total + part, 0)));
  const x = linear([0, stacks.length - 1], [MARGIN.left + 3, width - MARGIN.right - 3]);
  const y = linear([0, top], [height - MARGIN.bottom, MARGIN.top]);
  const bar = (width - MARGIN.left - MARGIN.right) / stacks.length - 1;
  return svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ...axes({ width, height, x, y, xTicks, yTicks: ticks([0, top], 3).filter(Number.isInteger).map((value) => [value, value]) }),
    ...stacks.flatMap((parts, index) => {
      let below = 0;
      return parts.map((part, place) => svg("rect", { class: styles[place], x: (x(index) - bar / 2).toFixed(1), width: bar.toFixed(1),
        y: y((below += part)).toFixed(1), height: (y(0) - y(part)).toFixed(1) })).filter((_, place) => parts[place]);
    }));
}

// Draw a heat map of `values[row][column]`, the rows from the bottom. `x` and `y` are {grid, name, at}; `at` is the place
// of the mark as an index, which may lie between two cells.
export function heatMap({ width, height = 320, label, x, y, values, text }) {
  const [low, high] = extent(values.flat());
  const cell = [(width - MARGIN.left - MARGIN.right) / x.grid.length, (height - MARGIN.top - MARGIN.bottom) / y.grid.length];
  const left = (index) => MARGIN.left + index * cell[0];
  const top = (index) => height - MARGIN.bottom - (index + 1) * cell[1];
  const tint = (value) => (high > low ? 0.06 + 0.94 * ((value - low) / (high - low)) : 0.5).toFixed(3);
  const shown = (grid, room) => grid.map((_, index) => index).filter((index) => index % Math.ceil(grid.length / room) === 0);
  return svg("svg", { class: "plot heat", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ...values.flatMap((row, line) => row.map((value, index) => svg("rect",
      { x: Math.round(left(index)), y: Math.round(top(line)), width: Math.round(left(index + 1)) - Math.round(left(index)), height: Math.round(top(line - 1)) - Math.round(top(line)), "fill-opacity": tint(value) },
      svg("title", {}, `${x.name} ${formatValue(x.grid[index], 4)}, ${y.name} ${formatValue(y.grid[line], 4)}: ${text(value)}`)))),
    ...shown(x.grid, Math.floor(width / 90)).map((index) => svg("text", { x: left(index + 0.5), y: height - 8, "text-anchor": "middle" }, formatValue(x.grid[index], 4))),
    ...shown(y.grid, 6).map((index) => svg("text", { x: MARGIN.left - 8, y: top(index - 0.5) + 4, "text-anchor": "end" }, formatValue(y.grid[index], 4))),
    ...(x.at === null || y.at === null ? [] : ["halo", "here"].map((style) =>
      svg("circle", { class: style, cx: left(x.at + 0.5), cy: top(y.at - 0.5), r: 6 }))));
}

// A bar for a share.
export const meter = (share, style = "", barStyle = "") =>
  make("span", { class: `track ${style}`, "aria-hidden": "true" }, make("span", { class: barStyle, style: { width: `${share * 100}%` } }));

// The ends of a scale, below it.
export const ends = (low, high) => make("div", { class: "ends", "aria-hidden": "true" }, make("span", {}, low), make("span", {}, high));

// An entry of a legend.
export const key = (style, label) => make("span", {}, make("i", { class: style, "aria-hidden": "true" }), label);

// A bar for a number in a range that may be negative, as [from, to] in percent of the width.
export function track(low, high, value, style = "") {
  const at = linear([low, high], [0, 100]);
  const [from, to] = [at(0), at(value)].sort((a, b) => a - b);
  return make("span", { class: "track signed", "aria-hidden": "true" },
    make("span", { class: style, style: { left: `${from}%`, width: `${Math.max(to - from, 0.4)}%` } }),
    make("i", { style: { left: `${at(0)}%` } }));
}
