// The form: a field for each column, and the row that was entered.

function field(column, index) {
  const id = `field-${index}`;
  const control = column.levels || column.type === "boolean" ? select(column) : input(column);
  const attributes = { id, "aria-describedby": `${id}-kind ${id}-hint ${id}-error`, "aria-required": String(column.required) };
  Object.entries(attributes).forEach((attribute) => control.setAttribute(...attribute));
  return make("div", { class: "field" },
    make("div", { class: "name" },
      make("label", { for: id }, column.name),
      make("span", { class: "muted", id: `${id}-kind` }, kind(column))),
    control,
    column.type === "image" ? filePicker(column, control) : "",
    make("p", { class: "hint", id: `${id}-hint` }, hint(column)),
    make("p", { class: "error", id: `${id}-error` }));
}

function kind({ required, nullable }) {
  return present([required ? "" : "optional", nullable ? "null allowed" : ""]).join(", ");
}

// The rule has the server's wording, like its errors. A select shows the levels instead.
function hint({ type, levels, rule, description, default: defaultValue }) {
  return present([
    description,
    levels || type === "boolean" ? "" : rule,
    defaultValue === undefined ? "" : `default: ${defaultValue}`,
  ]).join(" · ");
}

function input(column) {
  return make("input", {
    type: "text",
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
  const emptyLabel = column.default !== undefined ? "—" : column.nullable ? "null" : column.required ? "Choose…" : "—";
  const option = (level) => make("option", { value: String(level) }, String(level));
  return make("select", { autocomplete: "off" },
    make("option", { value: "" }, emptyLabel), ...(column.levels || [true, false]).map(option));
}

const control = (index) => $(`field-${index}`);

// The row in the form. An empty field is null if the column is nullable and has no default; otherwise it is not sent.
function enteredRow(columns) {
  const row = byName([]);
  columns.forEach((column, index) => {
    const { value } = control(index);
    if (value !== "") row[column.name] = parseValue(column, value);
    else if (column.nullable && column.default === undefined) row[column.name] = null;
  });
  return row;
}

// The row for the example code: required columns that are empty in the form have their example value.
function codeRow(columns) {
  const row = enteredRow(columns);
  const empty = columns.filter(({ name, required }) => required && !(name in row));
  const value = (column) => (empty.includes(column) ? example(column) : row[column.name]);
  const sent = columns.filter((column) => column.name in row || empty.includes(column));
  return { row: byName(sent.map((column) => [column.name, value(column)])), usesExamples: empty.length > 0 };
}

function fillIn(columns, valueOf) {
  columns.forEach((column, index) => {
    const value = valueOf(column);
    control(index).value = value === null ? "" : formatValue(value);
  });
  showErrors(columns, new Map());
}

// Show the error of each field, and focus the first invalid one.
function showErrors(columns, errors) {
  columns.forEach(({ name }, index) => {
    control(index).setAttribute("aria-invalid", String(errors.has(name)));
    $(`field-${index}-error`).textContent = errors.get(name) ?? "";
  });
  const first = columns.findIndex(({ name }) => errors.has(name));
  if (first >= 0) control(first).focus();
}
