// For developers: example code, and the request and the response as they are sent.

import { CODE, KEY, VARIABLE } from "./code.mjs";
import { $, make, show } from "./dom.mjs";
import { codeRow } from "./form.mjs";
import { request, state } from "./gate.mjs";

let language = "curl";

// Show the example code for the row in the form.
export function showCode() {
  if (!state.sample) return;
  const { row, usesExamples } = codeRow(state.deployment.input);
  $("code").textContent = CODE[language](request([row], state.key && KEY));
  show("code-note", usesExamples ? "Empty fields have the values of a typical row. " : null, state.key ? `The key is read from the environment variable ${VARIABLE}.` : null);
}

function selectLanguage(name) {
  language = name;
  for (const tab of $("languages").children) {
    tab.setAttribute("aria-selected", String(tab.value === language));
    tab.tabIndex = tab.value === language ? 0 : -1;
  }
  $("code").setAttribute("aria-labelledby", `tab-${language}`);
  showCode();
}

export function showLanguages() {
  const names = Object.keys(CODE);
  const tab = (value) => make("button", { type: "button", role: "tab", id: `tab-${value}`, "aria-controls": "code", value }, value);
  show("languages", ...names.map(tab));
  $("languages").addEventListener("click", ({ target }) => target.value && selectLanguage(target.value));
  $("languages").addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    selectLanguage(names.at((names.indexOf(language) + step) % names.length));
    $(`tab-${language}`).focus();
  });
  selectLanguage(language);
}

// Copy text, and say so on the button. Without https there is no clipboard: `selected` is selected, to be copied by hand.
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
