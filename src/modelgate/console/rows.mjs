// Rows of a table: sorted, filtered and grouped, and which of them are visible. Pure functions of rows' indexes.

const OVERSCAN = 8;
const BINS = 20;
// Browsers limit the height of an element: Firefox to 17,895,697 pixels.
export const MAX_HEIGHT = 15_000_000;

const COLLATOR = new Intl.Collator("en", { numeric: true });

// Return the indexes in the order of their values: numbers by size, other values as text, and empty ones last.
export function sortRows(indexes, valueOf, isDescending = false) {
  const filled = [];
  const empty = [];
  for (const index of indexes) {
    const value = valueOf(index);
    (value === null || value === undefined || value === "" ? empty : filled).push({ index, value });
  }
  const isNumeric = filled.every(({ value }) => Number.isFinite(Number(value)));
  const sign = isDescending ? -1 : 1;
  for (const row of filled) row.value = isNumeric ? Number(row.value) : String(row.value);
  filled.sort(isNumeric ? (one, other) => sign * (one.value - other.value) : (one, other) => sign * COLLATOR.compare(one.value, other.value));
  return [...filled, ...empty].map(({ index }) => index);
}

// Return the indexes of rows with a cell that contains the text. Case is ignored.
export function searchRows(indexes, cellsOf, text) {
  const wanted = text.trim().toLowerCase();
  return wanted ? indexes.filter((index) => cellsOf(index).some((cell) => String(cell ?? "").toLowerCase().includes(wanted))) : indexes;
}

// The rows to draw, [first, last), and the heights of the empty space before and after them. If the rows are higher
// together than an element may be, the scroll bar moves over them faster.
export function visibleRows({ scrollTop, viewport, rowHeight, total }) {
  const height = Math.min(total * rowHeight, MAX_HEIGHT);
  const isScaled = total * rowHeight > MAX_HEIGHT;
  const share = Math.min(Math.max(scrollTop / Math.max(height - viewport, 1), 0), 1);
  const top = isScaled ? Math.round(share * (total - Math.floor(viewport / rowHeight))) : Math.floor(Math.max(scrollTop, 0) / rowHeight);
  // In steps, so that the same rows are drawn while the view moves by a few.
  const step = Math.floor(top / OVERSCAN) * OVERSCAN;
  const first = Math.min(Math.max(step - OVERSCAN, 0), total);
  const last = Math.min(step + Math.ceil(viewport / rowHeight) + 2 * OVERSCAN, total);
  const drawn = (last - first) * rowHeight;
  const before = isScaled ? Math.min(Math.max(scrollTop - (top - first) * rowHeight, 0), height - drawn) : first * rowHeight;
  return { first, last, before, after: Math.max(height - before - drawn, 0) };
}

// Group predictions: by class, the most frequent first, or numbers by equal ranges. A group is {label, count, has}.
export function groupValues(values, classes) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!classes && known.length && known.every((value) => typeof value === "number")) return groupNumbers(known);
  const counts = new Map((classes ?? []).map((label) => [String(label), 0]));
  for (const value of known) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1])
    .map(([label, count]) => ({ label, count, has: (value) => value !== undefined && String(value) === label }));
}

function groupNumbers(values) {
  const [low, high] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const bins = low < high ? BINS : 1;
  const edge = (bin) => (bin === bins ? high : low + ((high - low) / bins) * bin);
  const binOf = (value) => Math.min(Math.floor(((value - low) / (high - low || 1)) * bins), bins - 1);
  const counts = new Array(bins).fill(0);
  for (const value of values) counts[binOf(value)] += 1;
  return counts.map((count, bin) => ({
    from: edge(bin), to: edge(bin + 1), count,
    has: (value) => typeof value === "number" && value >= low && value <= high && binOf(value) === bin,
  }));
}

// The median; null if there are no values.
export function median(values) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
