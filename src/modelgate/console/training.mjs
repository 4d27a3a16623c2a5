// The training data of a model: ranges and grids of columns, and where a value lies. `GET …/training` returns the
// aggregates; a column without them has no range.

import { formatValue, percent } from "./text.mjs";

const GRID_POINTS = 41;
const STORED_LEVELS = 50;

// A model without a package has no training data that this page knows.
export const NO_TRAINING = { rows: 0, columns: {}, targets: {}, examples: [] };

// The range of a numeric column in the training data, within its bounds; null if it is not known.
export function trainingRange(column, summary) {
  if (!["number", "integer"].includes(column.type) || !summary || summary.minimum === undefined) return null;
  const low = Math.max(summary.minimum, column.minimum ?? -Infinity);
  const high = Math.min(summary.maximum, column.maximum ?? Infinity);
  return low < high && Number.isFinite(high - low) ? { low, high } : null;
}

// Values of a column to vary it by: its levels, or numbers at equal distances in the training range.
export function gridOf(column, summary, points = GRID_POINTS) {
  if (column.levels) return column.levels;
  if (column.type === "boolean") return [false, true];
  const range = trainingRange(column, summary);
  if (!range) return [];
  const step = (range.high - range.low) / Math.max(points - 1, 1);
  const numbers = Array.from({ length: points }, (_, index) => Math.min(range.low + step * index, range.high));
  return column.type === "integer" ? [...new Set(numbers.map(Math.round))] : numbers.map(shorten);
}

// A number of a grid, without the digits that only rounding errors have.
const shorten = (number) => Number(number.toPrecision(6));

// The step of a slider: a hundredth of the range, rounded down to 1, 2 or 5 times a power of ten.
export function sliderStep({ low, high }, isInteger) {
  const fine = (high - low) / 100;
  const power = 10 ** Math.floor(Math.log10(fine));
  const step = [5, 2, 1].map((factor) => factor * power).find((size) => size <= fine * 1.000001);
  return isInteger ? Math.max(1, Math.round(step)) : step;
}

// Where a value lies in the training data, as {text, unusual}; null if that is not known.
export function placeOf(column, summary, value, rows) {
  if (!summary || value === undefined) return null;
  if (typeof value === "number") {
    const { minimum, maximum } = summary;
    if (minimum === undefined) return null;
    if (value < minimum) return { text: `below all training values, which start at ${formatValue(minimum, 4)}`, unusual: true };
    if (value > maximum) return { text: `above all training values, which end at ${formatValue(maximum, 4)}`, unusual: true };
    return null;
  }
  if (!summary.levels || value === null || !rows) return null;
  const [, count] = summary.levels.find(([level]) => level === value) ?? [value, 0];
  if (count) return { text: `${percent(count / rows)} of the training rows`, unusual: false };
  return summary.levels.length < STORED_LEVELS ? { text: "no training row has this value", unusual: true } : null;
}

// The same, from the place that a response gives (`?context=true`).
export function placeInResponse(place) {
  if (place?.outside) return { text: `${place.outside} all training values`, unusual: true };
  return place?.unseen ? { text: "no training row has this value", unusual: true } : null;
}

// The share of the training values between two numbers, from a histogram; null without one.
export function shareBetween(summary, one, other) {
  if (!summary?.histogram) return null;
  const { histogram, minimum, maximum } = summary;
  const total = histogram.reduce((sum, size) => sum + size, 0);
  const width = (maximum - minimum) / histogram.length;
  const below = (value) => histogram.reduce((sum, size, bin) =>
    sum + size * Math.min(Math.max((value - minimum) / width - bin, 0), 1), 0);
  return Math.abs(below(other) - below(one)) / total;
}

// A typical row: the median or the most frequent level where it is known, else the example of the schema.
export function typicalValue(column, summary, example) {
  const value = summary?.levels?.[0]?.[0] ?? summary?.median;
  if (value === undefined || (column.levels && !column.levels.includes(value))) return example;
  return typeof value === "number" ? Number(formatValue(column.type === "integer" ? Math.round(value) : value)) : value;
}
