// How a deployment has been doing: pure functions of the reports on its traffic, drift and outcomes.

import { count, formatValue, percent, plural, rounded } from "./text.mjs";

const MAX_NAMED = 5;
const MEASURES = {
  psi: "values have shifted",
  missing: "different share of missing values",
  unseen: "values that no training row has",
  out_of_range: "values outside of the training range",
};

const sum = (values) => values.reduce((total, value) => total + value, 0);

// "0.42 ms", "12 ms" or "1.2 s".
export function duration(seconds) {
  if (seconds >= 1) return `${formatValue(seconds, 2)} s`;
  return `${formatValue(seconds * 1000, 2)} ms`;
}

// Requests by minute, and by version with the largest first. A request that was rejected before a model was chosen has none.
export function summarize({ versions }) {
  const minutes = Array.from({ length: 60 }, (_, minute) =>
    ["answered", "rejected", "failed"].map((name) => sum(versions.map((version) => version[name][minute]))));
  const totals = [0, 1, 2].map((place) => sum(minutes.map((minute) => minute[place])));
  const answered = totals[0];
  const byVersion = versions.map(({ version, answered: own, failed, median, p95 }) =>
    ({ version, answered: sum(own), failed: sum(failed), share: answered ? sum(own) / answered : 0, median, p95 }))
    .filter((version) => version.answered + version.failed)
    .sort((one, other) => other.answered - one.answered);
  return { minutes, answered, rejected: totals[1], failed: totals[2], byVersion };
}

export function trafficSentence({ answered, rejected, failed, byVersion }) {
  const total = answered + rejected + failed;
  if (!total) return "No requests for predictions in the last hour.";
  const of = (number, word) => (number ? `${count(number)} ${word} (${percent(number / total)})` : `none ${word}`);
  const slowest = Math.max(...byVersion.map(({ p95 }) => p95 ?? 0));
  const speed = slowest ? ` 95 % were answered within ${duration(slowest)}.` : "";
  return `${plural(total, "request")} in the last hour: ${of(rejected, "rejected")}, ${of(failed, "failed")}.${speed}`;
}

// Split values with gaps into lines of [index, value].
export function splitAtGaps(values) {
  const lines = [[]];
  values.forEach((value, index) => (value === null ? lines.push([]) : lines.at(-1).push([index, value])));
  return lines.filter((line) => line.length);
}

// The share of the predictions in each bin: now, and in training or else in the first complete window.
export function predictionShares({ kind, bins, label, counts, training, baseline }) {
  const text = label === null ? rounded : (value) => `${formatValue(value * 100)} %`;
  const names = kind === "level" ? [...bins.map(String), "other"]
    : [`below ${text(bins[0])}`, ...bins.slice(1).map((high, index) => `${text(bins[index])} to ${text(high)}`), `above ${text(bins.at(-1))}`];
  const before = training ?? baseline;
  const share = (numbers, bin) => (numbers && sum(numbers) ? numbers[bin] / sum(numbers) : null);
  return names.map((name, bin) => ({ name, now: share(counts, bin) ?? 0, before: share(before, bin) }))
    .filter(({ now, before }) => now || before);
}

// The newest model of each version that has predicted: a version may have been trained again under the same name.
export const newestModels = (models) => new Map(models.filter(({ windows }) => windows.length).map((model) => [model.version, model]));

// The last window with enough rows, or else the last one.
export function windowToJudge({ windows }, least) {
  return windows.findLast(({ rows }) => rows >= least) ?? windows.at(-1);
}

// A row for each column, those that have drifted first: its name, what was found, and the numbers.
export function driftRows({ columns }, least) {
  return Object.entries(columns).map(([name, drift]) => {
    const { rows, drifted, psi, psi_limit: limit } = drift;
    const finding = rows < least ? `too few values yet: ${count(rows)} of ${count(least)}`
      : drifted.map((measure) => `${MEASURES[measure]}${measure === "psi" ? "" : ` (${percent(drift[measure])})`}`).join(", ") || "as in training";
    const shift = psi === null ? "" : `${formatValue(psi, 2)} (${formatValue(limit, 2)})`;
    return { name, finding, isDrifted: drifted.length > 0, cells: [count(rows), shift] };
  }).sort((one, other) => other.isDrifted - one.isDrifted);
}

// What has drifted, in a sentence that names the first few inputs.
export function driftSentence(rows, window, least) {
  if (window.rows < least) return `${plural(window.rows, "row")} so far: ${count(least)} are needed to compare them with the training data.`;
  const names = rows.filter(({ isDrifted }) => isDrifted).map(({ name }) => name);
  const inputs = plural(rows.length, "input");
  if (!names.length) return rows.length === 1 ? "The input is as in the training data." : `All ${inputs} are as in the training data.`;
  const others = names.length > MAX_NAMED ? ` and ${count(names.length - MAX_NAMED)} more` : "";
  return `${count(names.length)} of ${inputs} ${names.length > 1 ? "differ" : "differs"} from the training data: ${names.slice(0, MAX_NAMED).join(", ")}${others}.`;
}

// Compare two versions by their outcomes, in two sentences.
export function armSentence({ versions: [one, other], outcomes, difference, low, high, winner, measure }) {
  const isShare = measure === "error_rate";
  if (difference === null) {
    const wrong = isShare ? " Each also needs at least ten wrong and ten right predictions." : "";
    return `Versions ${one} and ${other} cannot be compared yet: of the time when both served, ${outcomes.map(count).join(" and ")} outcomes are known.${wrong}`;
  }
  const text = (number) => formatValue(isShare ? number * 100 : number, 2).replace("-", "−");
  const size = `${text(Math.abs(difference))}${isShare ? " percentage points" : ""} ${difference < 0 ? "smaller" : "larger"}`;
  return `${winner ? `Version ${winner} is better.` : "It is not certain yet which version is better."} The error of version ${other} is ${size} than that of version ${one} (interval: ${text(low)} to ${text(high)}).`;
}

export const errorText = ({ measure, error }) => (error === null ? "" : measure === "error_rate" ? `${percent(error)} wrong` : `off by ${rounded(error)} on average`);
