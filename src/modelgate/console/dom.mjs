// DOM helpers.

import { present } from "./text.mjs";

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") Object.assign(element.style, value);
    else if (name === "on") Object.entries(value).forEach((listener) => element.addEventListener(...listener));
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...present(children));
  return element;
}

export const show = (id, ...children) => $(id).replaceChildren(...present(children));
export const muted = (...words) => make("p", { class: "muted small" }, ...words);
export const button = (label, click, kind = "quiet") => make("button", { type: "button", class: kind, on: { click } }, label);
export const option = (value, label = value) => make("option", { value: String(value) }, String(label));
