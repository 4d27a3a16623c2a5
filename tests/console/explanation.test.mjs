import assert from "node:assert/strict";
import { test } from "node:test";
import { explanationSentence, readExplanation, strongest } from "../../src/modelgate/console/explanation.mjs";

const ROW = {
  explanations: [{ feature: "age", value: 41, strength: 2 }, { feature: "plan", value: null, strength: -0.5 }],
  explanation_label: true,
  remaining_strength: 0.25,
};
const EXPLANATION = { method: "linear", space: "margin", base_values: { true: -1 } };

test("base value, contributions and the rest add up to the total", () => {
  const { base, rest, total, bars } = readExplanation({ ...ROW, explanation: EXPLANATION }, "churn", true);

  assert.deepEqual([-1, 0.25, 0.75], [base, rest, total]);
  assert.deepEqual(["age", 41, 2], [bars[0].name, bars[0].value, bars[0].strength]);
});

test("each of several outputs has its own explanation", () => {
  const json = { outputs: { a: { prediction: 1 }, b: ROW }, explanation: { ...EXPLANATION, base_values: { b: { true: 4 } } } };

  assert.equal(4, readExplanation(json, "b", false).base);
  assert.equal(null, readExplanation(json, "a", false));
});

test("a response without explanations has none", () => {
  assert.equal(null, readExplanation({ prediction: 3 }, "y", true));
});

test("the strongest inputs are a sentence", () => {
  const explanation = readExplanation({ ...ROW, explanation: EXPLANATION }, "churn", true);

  assert.equal("age", strongest(explanation));
  assert.equal("What matters most for true: age (41) raises it, plan (empty) lowers it.", explanationSentence(explanation));
  assert.equal("", explanationSentence({ label: "yes", bars: [] }));
});
