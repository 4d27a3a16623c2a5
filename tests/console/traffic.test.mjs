import assert from "node:assert/strict";
import { test } from "node:test";
import { armSentence, driftRows, driftSentence, duration, errorText, newestModels, windowToJudge, predictionShares, splitAtGaps, summarize, trafficSentence } from "../../src/modelgate/console/traffic.mjs";

const minutes = (last = 0) => [...new Array(59).fill(0), last];
const version = (name, answered, rejected = 0, failed = 0, p95 = null) =>
  ({ version: name, answered: minutes(answered), rejected: minutes(rejected), failed: minutes(failed), cancelled: minutes(), median: p95, p95 });

test("durations have two digits", () => {
  assert.deepEqual(["0.42 ms", "12 ms", "1.3 s"], [0.000421, 0.0123, 1.26].map(duration));
});

test("traffic is summed by minute and by version, the largest first", () => {
  const { minutes: all, byVersion, ...totals } = summarize({ versions: [version("", 0, 5), version("1", 10), version("2", 30, 0, 2)] });
  assert.deepEqual({ answered: 40, rejected: 5, failed: 2 }, totals);
  assert.deepEqual([60, [40, 5, 2]], [all.length, all.at(-1)]);
  assert.deepEqual([["2", 0.75], ["1", 0.25]], byVersion.map(({ version, share }) => [version, share]));
});

test("traffic is a sentence", () => {
  const sentence = (...versions) => trafficSentence(summarize({ versions }));
  assert.equal("No requests for predictions in the last hour.", sentence());
  assert.equal("1 request in the last hour: none rejected, none failed. 95 % were answered within 4 ms.", sentence(version("1", 1, 0, 0, 0.004)));
  assert.equal("4 requests in the last hour: 3 rejected (75.0 %), 1 failed (25.0 %).", sentence(version("1", 0, 3, 1)));
});

test("a gap ends a line", () => {
  assert.deepEqual([[[1, 5]], [[3, 6], [4, 7]]], splitAtGaps([null, 5, null, 6, 7]));
  assert.deepEqual([], splitAtGaps([null, null]));
});

test("predictions are compared with training, or else with the first window", () => {
  const counts = { kind: "level", bins: ["a", "b"], label: null, counts: [3, 1, 0], training: [1, 1, 0], baseline: [4, 0, 0] };
  assert.deepEqual([["a", 0.75, 0.5], ["b", 0.25, 0.5]], predictionShares(counts).map(({ name, now, before }) => [name, now, before]));
  assert.equal(1, predictionShares({ ...counts, training: null })[0].before);
  assert.equal(null, predictionShares({ ...counts, training: null, baseline: null })[0].before);
});

test("numbers have a range below, between and above the edges", () => {
  const counts = { kind: "number", bins: [0, 0.5, 1], label: null, counts: [1, 2, 3, 4], training: null, baseline: null };
  assert.deepEqual(["below 0", "0 to 0.5", "0.5 to 1", "above 1"], predictionShares(counts).map(({ name }) => name));
  assert.deepEqual(["0 % to 50 %", "50 % to 100 %"], predictionShares({ ...counts, label: "yes", counts: [0, 2, 3, 0] }).map(({ name }) => name));
});

test("the newest model of each version that has predicted is shown", () => {
  const models = [["1", "old"], ["2", "first"], ["1", "new"]].map(([version, id]) => ({ version, id, windows: [{ rows: 1 }] }));
  assert.deepEqual([["1", "new"], ["2", "first"]], [...newestModels([...models, { version: "3", windows: [] }])].map(([version, { id }]) => [version, id]));
});

test("the last window with enough rows is judged", () => {
  const windows = [{ rows: 600 }, { rows: 700 }, { rows: 20 }];
  assert.equal(700, windowToJudge({ windows }, 500).rows);
  assert.equal(20, windowToJudge({ windows: windows.slice(2) }, 500).rows);
});

test("inputs that have drifted are first, and say what has drifted", () => {
  const drift = { rows: 1200, psi: 0.0123, psi_limit: 0.1, missing: 0, missing_in_training: 0.01, unseen: null, out_of_range: 0.002, drifted: [] };
  const rows = driftRows({ columns: { age: drift, plan: { ...drift, psi: 0.5, missing: 0.2, drifted: ["psi", "missing"] } } }, 500);
  assert.deepEqual(["plan", "age"], rows.map(({ name }) => name));
  assert.deepEqual(["values have shifted, different share of missing values (20.0 %)", "as in training"], rows.map(({ finding }) => finding));
  assert.deepEqual(["1,200", "0.012 (0.1)"], rows[1].cells);
  const few = { rows: 3, psi: null, psi_limit: null, missing: null, missing_in_training: null, unseen: null, out_of_range: null, drifted: [] };
  const [row] = driftRows({ columns: { age: few } }, 500);
  assert.deepEqual(["too few values yet: 3 of 500", ["3", ""]], [row.finding, row.cells]);
});

test("drift is a sentence that names the first inputs", () => {
  const rows = (drifted, others) => [...drifted].map((name) => ({ name, isDrifted: true })).concat([...others].map((name) => ({ name, isDrifted: false })));
  const sentence = (drifted, others, count = 900) => driftSentence(rows(drifted, others), { rows: count }, 500);
  assert.equal("1 row so far: 500 are needed to compare them with the training data.", sentence("", "ab", 1));
  assert.equal("All 2 inputs are as in the training data.", sentence("", "ab"));
  assert.equal("The input is as in the training data.", sentence("", "a"));
  assert.equal("1 of 2 inputs differs from the training data: a.", sentence("a", "b"));
  assert.equal("5 of 5 inputs differ from the training data: a, b, c, d, e.", sentence("abcde", ""));
  assert.equal("7 of 8 inputs differ from the training data: a, b, c, d, e and 2 more.", sentence("abcdefg", "h"));
});

test("two versions are compared in sentences", () => {
  const arm = { versions: ["1", "2"], outcomes: [200, 1300], measure: "error_rate", difference: -0.031, low: -0.05, high: -0.01, winner: "2" };
  assert.equal("Version 2 is better. The error of version 2 is 3.1 percentage points smaller than that of version 1 (interval: −5 to −1).", armSentence(arm));
  assert.match(armSentence({ ...arm, winner: null }), /^It is not certain yet which version is better\./);
  const numbers = { ...arm, measure: "absolute_error", difference: 0.5, low: 0.25, high: 0.75, winner: "1" };
  assert.equal("Version 1 is better. The error of version 2 is 0.5 larger than that of version 1 (interval: 0.25 to 0.75).", armSentence(numbers));
  const few = "Versions 1 and 2 cannot be compared yet: of the time when both served, 200 and 1,300 outcomes are known.";
  assert.equal(`${few} Each also needs at least ten wrong and ten right predictions.`, armSentence({ ...arm, difference: null }));
  assert.equal(few, armSentence({ ...numbers, difference: null }));
});

test("an error is a share of wrong labels, or a distance", () => {
  assert.equal("2.5 % wrong", errorText({ measure: "error_rate", error: 0.025 }));
  assert.equal("off by 3.457 on average", errorText({ measure: "absolute_error", error: 3.4567 }));
  assert.equal("", errorText({ measure: "error_rate", error: null }));
});
