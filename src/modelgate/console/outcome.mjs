// The predictions for a file: the counts of classes or a histogram of numbers, the confidence, and columns for the table.

import { make, muted } from "./dom.mjs";
import { ends, histogram, meter } from "./plots.mjs";
import { groupValues, median } from "./rows.mjs";
import { count, percent, plural, rounded } from "./text.mjs";

const MAX_GROUPS = 12;
const CONFIDENCE_BINS = 40;
const MAX_COLOURS = 6;

// The probability of the predicted class; null if the response has none, as for a prediction that a rule has replaced.
export function confidenceOf({ value, shares, confidence }) {
  return shares?.find(([label]) => String(label) === String(value))?.[1] ?? confidence;
}

// Columns of the table for the predictions of `results`, an array with the outputs of each scored row.
export function outcomeColumns(results, targets) {
  const [first] = results.filter(Boolean);
  return (first ?? []).flatMap(({ name, shares, confidence }, place) => {
    const read = (index, part) => (results[index] ? part(results[index][place]) : null);
    const value = (index) => read(index, (output) => output.value);
    const classes = targets[place]?.classes;
    const column = { name, value, style: "predicted", cell: (index) => make("b", {}, value(index) === null ? "" : rounded(value(index))) };
    const confident = {
      name: `${name} confidence`, width: 22, isSearched: false, style: "predicted",
      value: (index) => read(index, confidenceOf),
      cell: (index) => read(index, (output) => strip(output, classes)) ?? "",
    };
    return shares || confidence !== null ? [column, confident] : [column];
  });
}

// The share of each class as a part of a bar, and the probability of the predicted one.
function strip(output, classes) {
  const confidence = confidenceOf(output);
  const parts = output.shares && output.shares.length <= MAX_COLOURS ? output.shares : [[output.value, confidence ?? 0]];
  const title = parts.map(([label, share]) => `${label} ${percent(share)}`).join(", ");
  return make("span", { class: "strip", title },
    make("span", { class: "stacked", "aria-hidden": "true" },
      ...parts.map(([label, share], index) => make("span", { class: colour(classes ? placeOfClass(label, classes) : index), style: { width: `${share * 100}%` } }))),
    confidence === null ? "" : percent(confidence));
}

const colour = (place) => `c${place % MAX_COLOURS}`;
const placeOfClass = (label, classes) => Math.max(0, (classes ?? []).findIndex((known) => String(known) === String(label)));

// The predictions of each output in groups, as [{name, classes, place, groups}]. A group is {label, count, hasRow(index)}.
export function outcomeGroups(results, targets) {
  return targets.map(({ name, classes }, place) => {
    const groups = groupValues(results.filter(Boolean).map((outputs) => outputs[place].value), classes);
    return { name, classes, place, groups: groups.map((group) => ({
      ...group,
      label: group.label ?? (group.from === group.to ? rounded(group.from) : `${rounded(group.from)} to ${rounded(group.to)}`),
      hasRow: (index) => Boolean(results[index]) && group.has(results[index][place].value),
    })) };
  });
}

// Show the predictions of one output. `choose(place, index)` shows the rows of one of its groups.
export function outcomeView(results, { name, classes, place, groups }, choose) {
  const outputs = results.filter(Boolean).map((all) => all[place]);
  const isNumeric = groups.length > 0 && groups[0].from !== undefined;
  const confidences = outputs.map(confidenceOf).filter((share) => share !== null);
  return make("figure", { class: "outcome" },
    make("figcaption", {}, make("b", {}, name), make("span", { class: "muted" }, isNumeric ? numbersInWords(outputs) : plural(outputs.length, "prediction"))),
    make("div", { class: "outcome-parts" },
      isNumeric ? valueHistogram(groups) : classCounts(groups, classes, outputs.length, (index) => choose(place, index)),
      confidences.length ? confidenceStrip(confidences) : null));
}

function numbersInWords(outputs) {
  const values = outputs.map(({ value }) => value).filter(Number.isFinite);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return `mean ${rounded(mean)}, median ${rounded(median(values))}`;
}

function valueHistogram(groups) {
  const text = groups.map(({ label, count: size }) => `${label}: ${count(size)}`).join("; ");
  return make("div", { class: "wide-histogram", role: "img", "aria-label": `Predictions by value: ${text}` },
    histogram(groups.map(({ count: size }) => size)), ends(rounded(groups[0].from), rounded(groups.at(-1).to)));
}

function classCounts(groups, classes, total, choose) {
  const item = ({ label, count: size }, index) => make("li", {},
    make("button", { type: "button", class: "label", title: `Show the rows with ${label}`, on: { click: () => choose(index) } }, label),
    meter(size / Math.max(total, 1), "", colour(placeOfClass(label, classes))),
    make("span", { class: "share" }, `${count(size)} · ${percent(size / Math.max(total, 1))}`));
  return make("div", {},
    make("ul", { class: "bars counts" }, ...groups.slice(0, MAX_GROUPS).map(item)),
    groups.length > MAX_GROUPS ? muted(`and ${count(groups.length - MAX_GROUPS)} more`) : null);
}

function confidenceStrip(confidences) {
  const counts = new Array(CONFIDENCE_BINS).fill(0);
  for (const share of confidences) counts[Math.min(Math.floor(share * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)] += 1;
  const middle = `median ${percent(median(confidences))}`;
  return make("div", { class: "wide-histogram", role: "img", "aria-label": `Confidence of the predictions: ${middle}` },
    muted(`Confidence, ${middle}`), histogram(counts), ends("0 %", "100 %"));
}
