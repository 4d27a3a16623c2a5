// The form: a field for each column, with the place of its value in the training data, and the row that was entered.

import { $, make, option } from "./dom.mjs";
import { ends, histogram } from "./plots.mjs";
import { byName, example, parseValue } from "./requests.mjs";
import { placeOf, sliderStep, trainingRange, typicalValue } from "./training.mjs";
import { formatValue, present } from "./text.mjs";

// This rule is not shown, because it only repeats that the column contains numbers.
const USUAL_RULE = "must be a number";
const KEY_STEPS = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

export function field(column, index) {
  const id = `field-${index}`;
  const control = (column.levels && !column.accepts_other_levels) || column.type === "boolean" ? select(column) : input(column, id);
  const attributes = { id, "aria-describedby": `${id}-kind ${id}-hint ${id}-place ${id}-error`, "aria-required": String(column.required) };
  Object.entries(attributes).forEach((attribute) => control.setAttribute(...attribute));
  return make("div", { class: "field" },
    make("div", { class: "name" },
      make("label", { for: id }, column.name),
      make("span", { class: "muted", id: `${id}-kind` }, kind(column))),
    control,
    column.type === "image" ? make("img", { class: "photo", id: `${id}-photo`, alt: `Image in ${column.name}`, hidden: "" }) : "",
    column.type === "image" ? filePicker(column, control) : "",
    control.getAttribute("list") ? make("datalist", { id: `${id}-levels` }, ...column.levels.map((level) => option(level))) : "",
    make("div", { class: "range", id: `${id}-range` }),
    make("p", { class: "hint", id: `${id}-hint` }, hint(column)),
    make("p", { class: "place", id: `${id}-place` }),
    make("p", { class: "error", id: `${id}-error` }));
}

function kind({ required, nullable }) {
  return present([required ? "" : "optional", nullable ? "may be empty" : ""]).join(", ");
}

// The rule has the server's wording, like its errors. A select shows the levels instead.
function hint({ type, levels, rule, description, default: defaultValue }) {
  return present([
    description,
    levels || type === "boolean" || rule === USUAL_RULE ? "" : rule,
    defaultValue === undefined ? "" : `default: ${defaultValue}`,
  ]).join(" · ");
}

function input(column, id) {
  return make("input", {
    type: "text",
    list: column.levels ? `${id}-levels` : null,
    autocomplete: "off",
    spellcheck: "false",
    inputmode: { number: "decimal", integer: "numeric" }[column.type] || "text",
    maxlength: column.max_length ?? null,
    placeholder: column.example === undefined ? null : formatValue(column.example),
  });
}

// A file that is chosen becomes a data URL in the text field.
function filePicker({ name }, control) {
  const read = ({ target: { files: [file] } }) => {
    if (!file) return;
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      control.value = reader.result;
      control.dispatchEvent(new Event("input", { bubbles: true }));
    });
    reader.readAsDataURL(file);
  };
  return make("input", { type: "file", accept: "image/*", "aria-label": `Image file for ${name}`, on: { change: read } });
}

function select(column) {
  const emptyLabel = column.default !== undefined ? "—" : column.nullable ? "empty" : column.required ? "Choose…" : "—";
  return make("select", { autocomplete: "off" },
    option("", emptyLabel), ...(column.levels || [true, false]).map((level) => option(level)));
}

const control = (index) => $(`field-${index}`);

// Add sliders over the training range. A screen reader and the keyboard use the text field, which the arrow keys change.
export function addSliders(columns, summaries) {
  columns.forEach((column, index) => {
    const range = trainingRange(column, summaries[column.name]);
    if (!range) return;
    const step = sliderStep(range, column.type === "integer");
    const slider = make("input", { type: "range", min: range.low, max: range.high, step: "any", tabindex: "-1", "aria-hidden": "true", autocomplete: "off" });
    const set = (number) => {
      const rounded = Number((Math.round(number / step) * step).toPrecision(10));
      control(index).value = String(Math.min(Math.max(rounded, range.low), range.high));
      control(index).dispatchEvent(new Event("input", { bubbles: true }));
    };
    slider.addEventListener("input", (event) => (event.stopPropagation(), set(Number(slider.value))));
    control(index).addEventListener("keydown", (event) => {
      const steps = KEY_STEPS[event.key];
      const number = Number(control(index).value);
      if (!steps || !Number.isFinite(number)) return;
      event.preventDefault();
      set(number + steps * step);
    });
    const { histogram: counts } = summaries[column.name];
    $(`field-${index}-range`).replaceChildren(...present([counts ? histogram(counts) : "", slider,
      ends(formatValue(range.low, 4), formatValue(range.high, 4))]));
  });
}

// Show the value of a field in its slider, and mark it if the training data has no such value.
export function showPlace(column, index, training, seen = null) {
  const summary = training.columns[column.name];
  const text = control(index).value;
  const value = text === "" ? undefined : parseValue(column, text);
  const place = placeOf(column, summary, value, training.rows) ?? seen;
  const slider = $(`field-${index}-range`).querySelector("input");
  if (slider && typeof value === "number") slider.value = value;
  slider?.classList.toggle("blank", typeof value !== "number");
  if (column.type === "image") showPhoto($(`field-${index}-photo`), text);
  $(`field-${index}-place`).textContent = place?.text ?? "";
  $(`field-${index}-place`).classList.toggle("unusual", Boolean(place?.unusual));
}

// Base64 text without the prefix of a data URL has no type, so it is not shown.
function showPhoto(image, text) {
  image.hidden = !/^data:image\/[\w.+-]+;base64,/.test(text);
  if (!image.hidden) image.src = text;
}

// The row in the form. An empty field is null if the column is nullable and has no default; otherwise it is not sent.
export function enteredRow(columns) {
  const row = byName([]);
  columns.forEach((column, index) => {
    const { value } = control(index);
    if (value !== "") row[column.name] = parseValue(column, value);
    else if (column.nullable && column.default === undefined) row[column.name] = null;
  });
  return row;
}

// Whether a required column is empty, so that a request would be rejected.
export const isIncomplete = (columns, row) => columns.some(({ name, required }) => required && !(name in row));

// The row for the example code: required columns that are empty in the form have their example value.
export function codeRow(columns) {
  const row = enteredRow(columns);
  const empty = columns.filter(({ name, required }) => required && !(name in row));
  const value = (column) => (empty.includes(column) ? example(column) : row[column.name]);
  const sent = columns.filter((column) => column.name in row || empty.includes(column));
  return { row: byName(sent.map((column) => [column.name, value(column)])), usesExamples: empty.length > 0 };
}

export function typicalRow(columns, summaries) {
  return byName(columns.map((column) => [column.name, typicalValue(column, summaries[column.name], example(column))]));
}

// Columns that `row` lacks become empty.
export function fillIn(columns, row, training) {
  columns.forEach((column, index) => {
    const value = row[column.name] ?? null;
    const text = value === null ? "" : typeof value === "number" ? String(value) : formatValue(value);
    const { options } = control(index);
    // A row from a link or a file may have a level that the model does not know: it is shown, and marked.
    if (options && ![...options].some((known) => known.value === text)) control(index).append(option(text));
    control(index).value = text;
    showPlace(column, index, training);
  });
  showErrors(columns, new Map());
}

// Show the error of each field. `isFocused` also focuses the first invalid one.
export function showErrors(columns, errors, isFocused = false) {
  columns.forEach(({ name }, index) => {
    control(index).setAttribute("aria-invalid", String(errors.has(name)));
    const line = $(`field-${index}-error`);
    const text = errors.get(name) ?? "";
    if (line.textContent !== text) line.textContent = text;
  });
  const first = columns.findIndex(({ name }) => errors.has(name));
  if (isFocused && first >= 0) control(first).focus();
}
