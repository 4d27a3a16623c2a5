// The smallest change of one input that changes the predicted class, found on a grid.

import { gridOf, shareBetween, trainingRange } from "./training.mjs";
import { count, formatValue, percent } from "./text.mjs";

const MAX_ROWS = 1000;
const MAX_POINTS = 41;

// Return the rows to try: `row` with one column changed, as [{column, value, row}].
export function variations(columns, summaries, row) {
  const varied = columns.filter((column) => gridOf(column, summaries[column.name], 2).length > 1);
  const points = Math.min(MAX_POINTS, Math.max(2, Math.floor(MAX_ROWS / Math.max(varied.length, 1))));
  return varied.flatMap((column) => gridOf(column, summaries[column.name], points)
    .filter((value) => value !== row[column.name])
    .map((value) => ({ column, value, row: { __proto__: null, ...row, [column.name]: value } })))
    .slice(0, MAX_ROWS);
}

// The size of a change: the share of the training values that lie between two numbers or, without a histogram, the share
// of the training range. Null for levels, which have no distance.
export function distance(column, summary, from, to) {
  if (typeof from !== "number" || typeof to !== "number" || column.levels) return null;
  const { low, high } = trainingRange(column, summary);
  return shareBetween(summary, from, to) ?? Math.abs(to - from) / (high - low);
}

// Return, for each column, the smallest change after which the prediction is not `current`. Numbers come first,
// by distance, then levels.
export function smallestChanges(tried, predicted, summaries, row, current) {
  const best = new Map();
  tried.forEach(({ column, value }, index) => {
    if (predicted[index] === current) return;
    const from = row[column.name];
    const change = { column, from, to: value, predicted: predicted[index], distance: distance(column, summaries[column.name], from, value) };
    const known = best.get(column.name);
    const isCloser = !known || (change.distance ?? Infinity) < (known.distance ?? Infinity)
      || (change.distance === known.distance && Math.abs(value - from) < Math.abs(known.to - from));
    if (isCloser) best.set(column.name, change);
  });
  return [...best.values()].sort((a, b) => (a.distance ?? Infinity) - (b.distance ?? Infinity) || 0);
}

// "If proline were 560 instead of 1,065, the prediction would be cultivar-2."
export function changeSentence({ column, from, to, predicted }) {
  const text = (value) => (typeof value === "number" ? plain(value) : value === undefined || value === null ? "empty" : String(value));
  return `If ${column.name} were ${text(to)} instead of ${text(from)}, the prediction would be ${predicted}.`;
}

// "12.0 % of the training values lie between the two."
export function distanceSentence({ distance: share }, summary) {
  if (share === null) return "This is another level, which has no distance.";
  if (share === 0) return "No training value lies between the two.";
  return summary?.histogram ? `${percent(share)} of the training values lie between the two.` : `It is ${percent(share)} of the training range.`;
}

const plain = (number) => (Number.isInteger(number) && Math.abs(number) >= 10_000 ? count(number) : formatValue(number, 4));
