// A field for each column, and the row that is typed in.

function field(column, at) {
  const id = `field-${at}`;
  const control = column.levels || column.type === "boolean" ? choice(column) : entry(column);
  const told = { id, "aria-describedby": `${id}-kind ${id}-hint ${id}-error`, "aria-required": String(column.required) };
  Object.entries(told).forEach((attribute) => control.setAttribute(...attribute));
  return make("div", { class: "field" },
    make("div", { class: "name" },
      make("label", { for: id }, column.name),
      make("span", { class: "muted", id: `${id}-kind` }, kind(column))),
    control,
    make("p", { class: "hint", id: `${id}-hint` }, hint(column)),
    make("p", { class: "error", id: `${id}-error` }));
}

function kind({ type, levels, required, nullable }) {
  const word = levels ? "" : { number: "number", integer: "whole number", text: "text", any: "any value" }[type];
  return present([required ? "" : "optional", word, nullable ? "or null" : ""]).join(" ");
}

function hint(column) {
  const { description, minimum, maximum, max_length: length, pattern, default: otherwise } = column;
  const least = minimum === undefined ? "" : `from ${minimum}`;
  const most = maximum === undefined ? "" : `to ${maximum}`;
  return present([
    description,
    present([least, most]).join(" "),
    length === undefined ? "" : `at most ${plural(length, "character")}`,
    pattern ? `matches ${pattern}` : "",
    otherwise === undefined ? "" : `empty is ${otherwise}`,
  ]).join(" · ");
}

function entry(column) {
  return make("input", {
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    inputmode: { number: "decimal", integer: "numeric" }[column.type] || "text",
    maxlength: column.max_length ?? null,
    placeholder: column.example === undefined ? null : worded(column.example),
  });
}

function choice(column) {
  const nothing = column.default !== undefined ? "—" : column.nullable ? "null" : column.required ? "Choose…" : "—";
  const option = (level) => make("option", { value: String(level) }, String(level));
  return make("select", { autocomplete: "off" },
    make("option", { value: "" }, nothing), ...(column.levels || [true, false]).map(option));
}

const control = (at) => $(`field-${at}`);

// An empty field is null where that may be and there is no default, and otherwise is not sent.
function typedRow(columns) {
  const row = byName([]);
  columns.forEach((column, at) => {
    const { value } = control(at);
    if (value !== "") row[column.name] = typed(column, value);
    else if (column.nullable && column.default === undefined) row[column.name] = null;
  });
  return row;
}

// The same for code to paste, in which what must be sent and is not typed in yet stands as its example.
function codeRow(columns) {
  const row = typedRow(columns);
  const empty = columns.filter(({ name, required }) => required && !(name in row));
  const value = (column) => (empty.includes(column) ? example(column) : row[column.name]);
  const sent = columns.filter((column) => column.name in row || empty.includes(column));
  return { row: byName(sent.map((column) => [column.name, value(column)])), typical: empty.length > 0 };
}

function fillIn(columns, valueOf) {
  columns.forEach((column, at) => {
    const value = valueOf(column);
    control(at).value = value === null ? "" : worded(value);
  });
  mark(columns, new Map());
}

// Shows at each field what is wrong with it, and goes to the first.
function mark(columns, errors) {
  columns.forEach(({ name }, at) => {
    control(at).setAttribute("aria-invalid", String(errors.has(name)));
    $(`field-${at}-error`).textContent = errors.get(name) ?? "";
  });
  const first = columns.findIndex(({ name }) => errors.has(name));
  if (first >= 0) control(first).focus();
}
