// DOM helpers, and the wording of values.

const $ = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") Object.assign(element.style, value);
    else if (name === "on") Object.entries(value).forEach((listener) => element.addEventListener(...listener));
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

const present = (children) => children.filter((child) => child !== null && child !== undefined && child !== "");
const show = (id, ...children) => $(id).replaceChildren(...present(children));
const muted = (...words) => make("p", { class: "muted small" }, ...words);
const button = (label, click, kind = "quiet") => make("button", { type: "button", class: kind, on: { click } }, label);

const count = (number) => number.toLocaleString("en");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const percent = (share) => `${(share * 100).toFixed(1)} %`;

function formatValue(value) {
  if (Array.isArray(value)) return JSON.stringify(value);
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value);
}

function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, unit] = units.find(([size]) => seconds >= 2 * size) || [1, "s"];
  return `${Math.round(seconds / size)}\u00a0${unit}`;
}
