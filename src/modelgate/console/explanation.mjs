// Why: the contributions of the columns to a prediction, from the base value to the predicted number.

import { make, muted } from "./dom.mjs";
import { track } from "./plots.mjs";
import { formatValue, percent, signed } from "./text.mjs";

// By unit: the name of the sum, and what a contribution is.
const SPACES = {
  probability: { sum: "Probability", about: "Each input raises or lowers the probability." },
  margin: { sum: "Score", about: "Each input raises or lowers the score from which the probability is computed." },
  value: { sum: "Prediction", about: "Each input raises or lowers the predicted number." },
  link: { sum: "Logarithm", about: "Each input raises or lowers the logarithm of the predicted number." },
};

// Return the explanation of an output in a native response: its bars, base value and total; null if it has none.
export function readExplanation(json, output, isOnly) {
  const own = isOnly ? json : json.outputs?.[output];
  if (!own?.explanations || !json.explanation) return null;
  const { method, space, base_values: bases } = json.explanation;
  const label = String(own.explanation_label);
  const base = (isOnly ? bases : bases[output])?.[label];
  if (!Number.isFinite(base)) return null;
  const bars = own.explanations.map(({ feature, value, strength }) => ({ name: feature, value, strength }));
  const rest = own.remaining_strength ?? 0;
  const total = base + rest + bars.reduce((sum, { strength }) => sum + strength, 0);
  return { method, space, label, base, bars, rest, total };
}

// The column with the strongest contribution; undefined without contributions.
export const strongest = (explanation) => explanation?.bars[0]?.name;

// The two inputs that matter most, as a sentence; "" without contributions.
export function explanationSentence({ label, bars }) {
  const named = bars.slice(0, 2).map(({ name, value, strength }) =>
    `${name} (${value === null ? "empty" : formatValue(value, 4)}) ${strength >= 0 ? "raises" : "lowers"} it`);
  return named.length ? `What matters most for ${label}: ${named.join(", ")}.` : "";
}

export function explanationView(explanation, columnCount) {
  const { method, space, label, base, bars, rest, total } = explanation;
  const text = space === "probability" ? percent : (value) => formatValue(value, 3).replace(/^-/, "−");
  const others = columnCount - bars.length;
  const listed = others > 0 ? [...bars, { name: `${others} other input${others === 1 ? "" : "s"}`, value: undefined, strength: rest }] : bars;
  const strengths = [0, ...listed.map(({ strength }) => strength)];
  const [low, high] = [Math.min(...strengths), Math.max(...strengths)];
  const row = ({ name, value, strength }) => make("li", {},
    make("span", { class: "label", title: name }, name),
    make("span", { class: "cell" }, value === undefined ? "" : value === null ? "empty" : formatValue(value, 4)),
    track(low, high, strength, strength < 0 ? "minus" : "plus"),
    make("span", { class: "share" }, signed(strength, text)));
  const sum = (name, value) => make("li", { class: "sum" }, make("span", { class: "label" }, name), make("span", { class: "share" }, text(value)));
  return make("div", { class: "why" },
    make("p", { class: "small" }, explanationSentence(explanation)),
    make("ul", { class: "contributions", "aria-label": `Contributions to ${label}` },
      sum("Base value", base), ...listed.map(row), sum(`${SPACES[space].sum} of ${label}`, total)),
    muted(`${SPACES[space].about} The base value is the mean for the background rows, usually a sample of the training rows. Method: ${method}.`));
}
