// Geometry of plots: scales, ticks and paths. Pure functions of numbers.
//
// The plots are SVG from a few functions of our own instead of a library. They need a line, a band, a bar and a cell. Small
// libraries such as uPlot and Chart.js draw on a canvas, which neither follows the style sheet nor can be read by a
// screen reader, and would be the largest part of the page.

// Map numbers from [low, high] to [from, to]. All numbers are in the middle if low equals high.
export function linear([low, high], [from, to]) {
  return (value) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : (from + to) / 2);
}

export function extent(values) {
  const finite = values.filter(Number.isFinite);
  return finite.length ? [finite.reduce((a, b) => Math.min(a, b)), finite.reduce((a, b) => Math.max(a, b))] : [0, 1];
}

// About `wanted` round numbers in [low, high], at distances of 1, 2 or 5 times a power of ten.
export function ticks([low, high], wanted = 4) {
  if (!(high > low) || !Number.isFinite(high - low)) return [low];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

const point = ([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`;

export const linePath = (points) => (points.length ? `M${points.map(point).join("L")}` : "");

export const areaPath = (upper, lower) => `${linePath([...upper, ...[...lower].reverse()])}Z`;

// The outline of a histogram in a box of the given size.
export function histogramPath(counts, width, height) {
  const most = Math.max(...counts);
  const bar = width / counts.length;
  const top = (count) => height - (count / most) * height;
  const steps = counts.flatMap((count, bin) => [[bin * bar, top(count)], [(bin + 1) * bar, top(count)]]);
  return `M0,${height}L${steps.map(point).join("L")}L${width},${height}Z`;
}

// The value of a line at x, between its points.
export function valueAt(xs, ys, x) {
  const right = xs.findIndex((at) => at >= x);
  if (right <= 0) return ys[right === 0 ? 0 : ys.length - 1];
  const share = (x - xs[right - 1]) / (xs[right] - xs[right - 1]);
  return ys[right - 1] + share * (ys[right] - ys[right - 1]);
}
