// For developers: the wire formats, example code, the schema and the errors.

import { clientsOf, missingShares } from "./clients.mjs";
import { CODE, KEY, VARIABLE, languagesOf } from "./code.mjs";
import { $, make, muted, show } from "./dom.mjs";
import { codeRow } from "./form.mjs";
import { request, state } from "./gate.mjs";
import { ERRORS } from "./problems.mjs";
import { formatValue, present, rounded } from "./text.mjs";

let language = "curl";

// Show the wire format, and the example code for the row in the form.
export function showCode() {
  if (!state.sample) return;
  const { sample: { dialect }, deployment: { input, output } } = state;
  const { row, usesExamples } = codeRow(input);
  const call = request([row], state.key && KEY);
  const names = languagesOf(call);
  if (!names.includes(language)) language = "curl";
  for (const tab of $("languages").children) {
    tab.hidden = !names.includes(tab.value);
    tab.setAttribute("aria-selected", String(tab.value === language));
    tab.tabIndex = tab.value === language ? 0 : -1;
  }
  $("code").setAttribute("aria-labelledby", tabId(language));
  $("code").textContent = CODE[language](call);
  show("code-note", usesExamples ? "Empty fields have the values of a typical row. " : null, state.key ? `The key is read from the environment variable ${VARIABLE}.` : null);
  const { about, link } = clientsOf(dialect);
  show("dialect-note", ...present([
    `${about} `, link && make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, shortAddress(link)),
    missingShares(dialect, output) && make("b", {}, ` ${missingShares(dialect, output)}`),
  ]));
}

// "github.com/owner/name", or the host.
const shortAddress = (link) => link.split("/").slice(2, 5).join("/");

const tabId = (name) => `tab-${name.replaceAll(" ", "-")}`;

function selectLanguage(name) {
  language = name;
  showCode();
}

export function showLanguages() {
  const tab = (value) => make("button", { type: "button", role: "tab", id: tabId(value), "aria-controls": "code", value }, value);
  show("languages", ...Object.keys(CODE).map(tab));
  $("languages").addEventListener("click", ({ target }) => target.value && selectLanguage(target.value));
  $("languages").addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const names = [...$("languages").children].filter(({ hidden }) => !hidden).map(({ value }) => value);
    selectLanguage(names.at((names.indexOf(language) + step) % names.length));
    $(tabId(language)).focus();
  });
}

export function table(label, names, rows) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    make("table", { class: "plain" },
      make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))))));
}

// Show the schema as a table, and what each status of a response means.
export function showContract({ input, output }) {
  const inputs = input.map((column) => [
    make("b", {}, column.name), column.type, column.rule + (column.nullable ? ", or null" : ""),
    column.required ? "yes" : column.default === undefined ? "no" : `no, ${formatValue(column.default)} by default`,
    column.example === undefined ? "" : rounded(column.example).slice(0, 40),
  ]);
  const outputs = output.map(({ name, classes }) => `${name}: ${classes ? `one of ${classes.join(", ")}` : "a value"}`);
  show("schema-table", table("Columns of the input", ["Input", "Type", "Rule", "Required", "Example"], inputs), muted(`Output: ${outputs.join("; ")}`));
  show("errors-table", table("Error statuses", ["Status", "Meaning", "What to do"], ERRORS));
}

// Copy text, and confirm it on the button. Without https there is no clipboard, so the element `selected` is selected for
// copying by hand.
export async function copy(id, text, selected) {
  const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  if (!copied && selected) getSelection().selectAllChildren(selected);
  flash(id, copied ? "Copied" : selected ? "Selected" : "In the address bar");
}

// Show a text on a button for a moment.
export function flash(id, text) {
  const button = $(id);
  button.dataset.label ??= button.textContent;
  button.textContent = text;
  setTimeout(() => { button.textContent = button.dataset.label; }, 1500);
}
