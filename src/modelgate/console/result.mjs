// Show a response: the prediction or the problem, its explanation, and facts about the request.

import { limits, phases } from "./answers.mjs";
import { make, muted, svg } from "./dom.mjs";
import { explanationView, readExplanation } from "./explanation.mjs";
import { ends, meter } from "./plots.mjs";
import { extent, linear } from "./scales.mjs";
import { count, formatValue, percent, present, rounded, span } from "./text.mjs";

export const MAX_BARS = 20;

// `json` is the response. Only the wire format native has members besides the prediction.
// `remark` says which probabilities the wire format lacks.
export function output(target, summary, json, isOnly, remark) {
  const { name, value, shares, confidence } = target;
  const bars = shares ? [...shares].sort((a, b) => b[1] - a[1]) : confidence === null ? [] : [[value, confidence]];
  const more = bars.length - MAX_BARS;
  const intervals = (isOnly ? json : json?.outputs?.[name])?.intervals;
  return make("div", { class: "output" },
    muted(name),
    make("p", { class: "value", title: String(value) }, rounded(value)),
    intervals ? interval(value, intervals, summary) : null,
    bars.length ? make("ul", { class: "bars" }, ...bars.slice(0, MAX_BARS).map((share) => bar(share, value))) : null,
    more > 0 ? muted(`and ${count(more)} less probable`) : null,
    shares || !remark ? null : muted(remark));
}

function bar([label, share], value) {
  return make("li", { class: String(label) === String(value) ? "chosen" : "" },
    make("span", { class: "label", title: String(label) }, String(label)),
    meter(share),
    make("span", { class: "share" }, percent(share)));
}

// The interval of the first level, on the range of the target in the training data.
function interval(value, intervals, summary) {
  const [level, { low, high }] = Object.entries(intervals)[0];
  const range = extent([low, high, summary?.minimum ?? low, summary?.maximum ?? high]);
  const x = linear(range, [8, 392]);
  const text = (number) => formatValue(number, 4);
  return make("div", { class: "interval" },
    svg("svg", { viewBox: "0 0 400 22", "aria-hidden": "true", preserveAspectRatio: "none" },
      svg("line", { class: "rail", x1: 8, x2: 392, y1: 11, y2: 11 }),
      svg("line", { class: "spread", x1: x(low), x2: x(high), y1: 11, y2: 11 }),
      svg("line", { class: "value-mark", x1: x(value), x2: x(value), y1: 3, y2: 19 })),
    ends(text(range[0]), text(range[1])),
    make("p", { class: "small" }, `Interval of ${level} %: ${text(low)} to ${text(high)}`));
}

// The explanation of each output; an empty list if the response has none.
export function explanations(json, targets, columnCount) {
  const isOnly = targets.length === 1;
  return targets.map(({ name }) => readExplanation(json, name, isOnly)).filter(Boolean)
    .map((explanation) => ({ explanation, view: explanationView(explanation, columnCount) }));
}

export function problem({ title, message, advice }) {
  return make("div", { class: "problem" },
    make("p", { class: "strong" }, title), message ? make("p", {}, message) : null, make("p", { class: "muted" }, advice));
}

// Facts in the header fields of a response: time, limits, the model's cache and the request id.
export function facts(headers, times) {
  const parts = phases(headers);
  const total = parts.find((phase) => phase.name === "total");
  const sorted = [...times].sort((a, b) => a - b);
  const median = `median of ${count(times.length)}: ${sorted[times.length >> 1].toFixed(0)} ms`;
  const hit = headers.get("x-model-cache-hit") ?? headers.get("x-datarobot-model-cache-hit");
  const id = headers.get("x-request-id");
  const version = headers.get("x-model-version");
  const fact = (name, value, aside) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, aside ? make("span", { class: "muted" }, ` · ${aside}`) : ""));
  return [timing(parts), make("dl", {}, ...present([
    fact("Time", `${times.at(-1).toFixed(0)} ms`, present([
      total ? `${total.milliseconds.toFixed(1)} ms in the server` : "", times.length > 2 ? median : ""]).join(", ")),
    ...limits(headers).map(({ window, remaining, limit, seconds }) =>
      fact("Limit", `${count(remaining)} of ${count(limit)} left`, present([window, `resets in ${span(seconds)}`]).join(", "))),
    version === null ? null : fact("Version", version),
    hit === null ? null : fact("Model", hit === "true" ? "from the cache" : "loaded for this request"),
    id === null ? null : fact("Request id", make("code", {}, id)),
  ]))];
}

export function timing(phases) {
  const parts = phases.filter((phase) => phase.name !== "total");
  if (!parts.length) return null;
  return make("div", { class: "timing" },
    make("div", { class: "stack", "aria-hidden": "true" },
      // Scaled up, as a total flex-grow below 1 would not fill the line.
      ...parts.map(({ milliseconds }) => make("span", { style: { flexGrow: milliseconds * 1000 } }))),
    make("ul", { "aria-label": "Time in the server, by phase" },
      ...parts.map(({ name, about, milliseconds }) =>
        make("li", {}, `${name}${about && ` (${about})`} `, make("b", {}, `${milliseconds.toFixed(2)} ms`)))));
}
