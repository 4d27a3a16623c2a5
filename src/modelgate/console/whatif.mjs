// What if: how the prediction changes with one input or with two, and the smallest change that gives another class.

import { predictions } from "./answers.mjs";
import { changeSentence, distanceSentence, smallestChanges, variations } from "./changes.mjs";
import { $, make, muted, option, show } from "./dom.mjs";
import { enteredRow, isIncomplete } from "./form.mjs";
import { nativeCall, nativeSample, request, send, state } from "./gate.mjs";
import { heatMap, linePlot } from "./plots.mjs";
import { explain } from "./problems.mjs";
import { problem } from "./result.mjs";
import { extent, valueAt } from "./scales.mjs";
import { gridOf } from "./training.mjs";
import { count, formatValue, percent, plural } from "./text.mjs";

const MAX_LINES = 6;
const HEAT_POINTS = 15;
const SHOWN_CHANGES = 3;

// What is drawn: the kind, the request that it is for, and a function that draws it for a row.
let drawn = { key: "", draw: null };

export function offerWhatIf({ input, output, time_series }) {
  const columns = input.filter(({ type }) => !["image", "tensor"].includes(type));
  $("what-if").hidden = time_series || !columns.length || !nativeSample();
  const names = columns.map(({ name }) => option(name));
  show("vary", option("", "Choose an input"), ...names);
  const varied = columns.filter((column) => gridOf(column, state.training.columns[column.name], 2).length > 1);
  show("vary-also", option("", "nothing else"), ...varied.map(({ name }) => option(name)));
  $("vary-also").parentElement.hidden = varied.length < 2;
  const classes = output.length === 1 ? output[0].classes : null;
  show("class", ...(classes ?? []).map((label) => option(label)));
  $("smallest").hidden = !classes || !varied.length;
  drawn = { key: "", draw: null };
  show("what-if-plot");
  show("changes");
}

// Select the column to vary until the reader selects one: `name`, or the first column with known values.
export function suggestColumn(name) {
  const varied = [...$("vary-also").options].map(({ value }) => value).filter(Boolean);
  if (!$("what-if").hidden && !$("vary").value && varied.length) $("vary").value = varied.includes(name) ? name : varied[0];
}

// Map the probability of a class until the reader chooses another.
export function suggestClass(label) {
  const isKnown = [...$("class").options].some(({ value }) => value === String(label));
  if (isKnown && !$("class").dataset.chosen) $("class").value = String(label);
}

// Draw the chosen plot for the row in the form. Nothing is requested if only the varied inputs have changed.
// Return the response if the plot could not be drawn.
export async function updatePlot() {
  const [first, second] = [$("vary").value, $("vary-also").value];
  const isMap = Boolean(second) && second !== first;
  $("class").parentElement.hidden = !isMap || !$("class").options.length;
  if (!first) {
    drawn = { key: "", draw: null };
    show("what-if-plot");
    return null;
  }
  const { input } = state.deployment;
  const row = enteredRow(input);
  if (isIncomplete(input, row)) return null;
  const others = input.filter(({ name }) => name !== first && !(isMap && name === second)).map(({ name }) => row[name] ?? null);
  const key = JSON.stringify([first, isMap && second, others]);
  if (key !== drawn.key || !drawn.draw) {
    const column = (name) => input.find((known) => known.name === name);
    const answer = isMap ? await fetchMap(column(first), column(second), row) : await fetchCurve(column(first), row);
    if (first !== $("vary").value || second !== $("vary-also").value) return null;
    if (answer.status !== 200) {
      drawn = { key: "", draw: null };
      show("what-if-plot", problem(explain(answer, input)));
      return answer;
    }
    drawn = { key, draw: answer.draw };
  }
  redraw();
  return null;
}

// Draw again what was requested: for another row, class or width.
export function redraw() {
  if (drawn.draw) show("what-if-plot", ...drawn.draw(enteredRow(state.deployment.input), plotWidth()));
}

const plotWidth = () => Math.max(260, Math.floor($("what-if-plot").clientWidth));

async function fetchCurve(column, row) {
  const grid = gridOf(column, state.training.columns[column.name]);
  const value = row[column.name];
  const isOutside = typeof value === "number" && grid.length && (value < grid[0] || value > grid.at(-1));
  const body = { column: column.name, row, ...(grid.length ? { grid: isOutside ? [...grid, value].sort((a, b) => a - b) : grid } : {}) };
  const answer = await send(nativeCall("/curves", body));
  if (answer.status !== 200) return answer;
  const { grid: points, curve } = answer.json;
  const draw = (row, width) => state.deployment.output.flatMap(({ name }) =>
    curveView((curve.outputs || { [name]: curve })[name] || {}, name, column, points, row[column.name], width));
  return { status: 200, draw };
}

// A number is one line; a classifier has a line for the probability of each class. Levels are a list.
function curveView({ prediction = [], probabilities }, name, column, grid, value, width) {
  const series = probabilities ? Object.entries(probabilities) : [[name, prediction]];
  const isNumeric = [...grid, ...series.flatMap(([, values]) => values)].every((number) => typeof number === "number");
  const text = probabilities ? percent : formatValue;
  if (!isNumeric || grid.length < 2) return [levelList(name, grid, prediction, probabilities, value)];
  const shown = [...series].sort((a, b) => Math.max(...b[1]) - Math.max(...a[1])).slice(0, MAX_LINES);
  const lines = series.filter((line) => shown.includes(line))
    .map(([label, values], index) => ({ label, values, style: `c${index}`, points: grid.map((x, place) => [x, values[place]]) }));
  const isInside = typeof value === "number" && value >= grid[0] && value <= grid.at(-1);
  const range = ([low, high]) => `${text(low)} to ${text(high)}`;
  const label = lines.map((line) => `${probabilities ? `Probability of ${line.label}` : line.label}: ${range(extent(line.values))}`).join("; ")
    + `; for ${column.name} from ${formatValue(grid[0])} to ${formatValue(grid.at(-1))}`;
  return [make("figure", {},
    make("figcaption", {}, legend(lines, Boolean(probabilities)), make("span", { class: "muted" }, isInside ? `now: ${column.name} ${formatValue(value)}` : "")),
    linePlot({
      width, label, lines, xs: [grid[0], grid.at(-1)], ys: probabilities ? [0, 1] : undefined,
      yText: probabilities ? (share) => `${Math.round(share * 100)} %` : formatValue,
      mark: isInside ? value : null, dots: isInside ? lines.map((line) => ({ at: [value, valueAt(grid, line.values, value)], style: line.style })) : [],
    }),
    make("p", { class: "axis" }, column.name),
    series.length > MAX_LINES ? muted(`${count(series.length - MAX_LINES)} less probable classes are not shown`) : null)];
}

const legend = (lines, isClass) => make("span", { class: "legend" },
  ...lines.map(({ label, style }) => make("span", {}, make("i", { class: style, "aria-hidden": "true" }), isClass ? String(label) : `Prediction of ${label}`)));

function levelList(name, grid, prediction, probabilities, value) {
  const labels = Object.keys(probabilities || {}).slice(0, MAX_LINES);
  const isCurrent = (level) => level === value;
  const shares = (index) => make("span", { class: "stacked", "aria-hidden": "true" },
    ...labels.map((label, order) => make("span", { class: `c${order}`, style: { width: `${probabilities[label][index] * 100}%` } })));
  const number = (index) => (typeof prediction[index] === "number" ? formatValue(prediction[index]) : String(prediction[index]));
  const text = (index) => (probabilities ? `${prediction[index]}, ${percent(probabilities[String(prediction[index])]?.[index] ?? 0)}` : number(index));
  return make("figure", {},
    labels.length ? make("figcaption", {}, legend(labels.map((label, order) => ({ label, style: `c${order}` })), true)) : make("figcaption", {}, name),
    make("dl", { class: "levels" }, ...grid.map((level, index) => make("div", { class: isCurrent(level) ? "current" : "" },
      make("dt", {}, formatValue(level)), make("dd", {}, labels.length ? shares(index) : null, text(index), isCurrent(level) ? make("span", { class: "muted" }, " · now") : null)))));
}

// Score synthetic rows in the wire format native, in one request. They do not count in drift and accuracy.
async function scoreRows(rows) {
  const call = request(rows, state.key, nativeSample());
  call.url += "?hypothetical=true";
  const answer = await send(call);
  if (answer.status !== 200) return { answer };
  return { answer, scored: predictions("native", answer.json, state.deployment.output, call.single) };
}

async function fetchMap(first, second, row) {
  const [across, up] = [first, second].map((column) => gridOf(column, state.training.columns[column.name], HEAT_POINTS));
  const rows = up.flatMap((b) => across.map((a) => ({ __proto__: null, ...row, [first.name]: a, [second.name]: b })));
  const { answer, scored } = await scoreRows(rows);
  if (!scored) return answer;
  const place = (grid, value) => {
    if (typeof value !== "number") return grid.includes(value) ? grid.indexOf(value) : null;
    const step = (grid.at(-1) - grid[0]) / (grid.length - 1);
    return value < grid[0] || value > grid.at(-1) ? null : (value - grid[0]) / step;
  };
  const draw = (row, width) => {
    const label = $("class").value;
    const read = ([{ value, shares }]) => (shares ? shares.find(([name]) => String(name) === label)?.[1] : Number(value));
    const values = up.map((_, line) => across.map((_, index) => read(scored[line * across.length + index])));
    const isShare = Boolean(scored[0][0].shares);
    const text = isShare ? percent : formatValue;
    if (!values.flat().every(Number.isFinite)) return [muted("This model returns no numbers to draw: choose one input.")];
    const [low, high] = extent(values.flat());
    const name = isShare ? `Probability of ${label}` : scored[0][0].name;
    return [make("figure", {},
      make("figcaption", {}, make("span", {}, name), make("span", { class: "scale" }, text(low), make("i", { "aria-hidden": "true" }), text(high))),
      heatMap({
        width, values, text, label: `${name}, ${text(low)} to ${text(high)}, by ${first.name} and ${second.name}`,
        x: { grid: across, name: first.name, at: place(across, row[first.name]) }, y: { grid: up, name: second.name, at: place(up, row[second.name]) },
      }),
      make("p", { class: "axis" }, `across: ${first.name} · up: ${second.name} · the circle is the row in the form`))];
  };
  return { status: 200, draw };
}

// Find the smallest change of one input that gives another class, and describe it.
export async function findSmallestChange() {
  const { input } = state.deployment;
  const row = enteredRow(input);
  const tried = variations(input, state.training.columns, row);
  show("changes", muted(`Trying ${plural(tried.length, "row")} …`));
  const { answer, scored } = await scoreRows([row, ...tried.map((variation) => variation.row)]);
  if (!scored) return show("changes", answer.status === 200 ? muted("This page cannot read the response.") : problem(explain(answer, input)));
  const [current, ...predicted] = scored.map(([{ value }]) => value);
  const changes = smallestChanges(tried, predicted, state.training.columns, row, current).slice(0, SHOWN_CHANGES);
  const none = `None of ${plural(tried.length, "change")} of a single input gives another class than ${current}.`;
  const item = (change) => make("li", {}, changeSentence(change), " ", make("span", { class: "muted" }, distanceSentence(change, state.training.columns[change.column.name])));
  show("changes", changes.length ? make("ol", {}, ...changes.map(item)) : make("p", {}, none),
    muted(`Found among ${plural(tried.length, "row")} in which one input differs from the form. A smaller change between two of them may do, too.`));
}

// The sentences are about the row for which they were found.
export function forgetChanges() {
  if ($("changes").childElementCount) show("changes", muted("The row has changed: find the change again."));
}
