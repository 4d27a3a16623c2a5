// Predict a CSV file: show its rows, score them with a progress bar, and offer the result for download.

import { predictions, retryAfter } from "./answers.mjs";
import { readCSV } from "./csv.mjs";
import { $, button, make, muted, option, show } from "./dom.mjs";
import { request, send, state } from "./gate.mjs";
import { outcomeColumns, outcomeGroups, outcomeView } from "./outcome.mjs";
import { explain } from "./problems.mjs";
import { Scoring, headerProblems } from "./scoring.mjs";
import { RowTable } from "./table.mjs";
import { count, plural, present, span } from "./text.mjs";

const MAX_FILE_SIZE = 100 * 2 ** 20;
const MAX_SHOWN_COLUMNS = 60;
const MILLISECONDS_BETWEEN_UPDATES = 500;
const MILLISECONDS_BETWEEN_KEYS = 150;
const MAX_SHOWN_REJECTED = 100;

export async function loadFile(file) {
  if (!file) return;
  try {
    if (file.size > MAX_FILE_SIZE) {
      throw new Error(`The file is larger than ${MAX_FILE_SIZE >> 20} MiB. Use “modelgate score”, which reads files in parts.`);
    }
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    preview(file.name, readCSV(text));
  } catch (error) {
    show("batch", alarm(error instanceof TypeError ? "The file is not UTF-8 text. Save it as “CSV UTF-8”." : error.message));
  }
}

const alarm = (text) => make("p", { class: "notice bad", role: "alert" }, text);

function preview(name, file) {
  const { input } = state.deployment;
  const rows = plural(file.rows.length, "row");
  const problems = file.rows.length ? headerProblems(file.header, input) : ["There is no row below the header line."];
  const known = new Set(input.map((column) => column.name));
  const ignored = file.header.filter((column) => !known.has(column));
  const hidden = file.header.length - MAX_SHOWN_COLUMNS;
  const columns = file.header.slice(0, MAX_SHOWN_COLUMNS).map((column, position) =>
    ({ name: column, value: (index) => file.rows[index].cells[position], style: known.has(column) ? null : "muted" }));
  const view = new RowTable("Rows of the file", file.rows.length, [lineColumn(file), ...columns]);
  show("batch",
    make("p", { class: "strong" }, name, make("span", { class: "muted" }, ` · ${rows}`)),
    problems.length ? null : make("div", { class: "row", id: "actions" }, button(`Score ${rows}`, () => score(name, file, view, columns), "primary")),
    ...problems.map(alarm),
    file.rows.length ? view.view : null,
    make("div", { id: "rejected" }),
    ignored.length ? muted(`Not sent, because the model does not use it: ${ignored.join(", ")}`) : null,
    hidden > 0 ? muted(`The table leaves out ${plural(hidden, "column")} of the file. The download has all of them.`) : null);
  view.redraw();
}

const lineColumn = (file) => ({ name: "Line", value: (index) => file.rows[index].line, style: "muted" });

// Show what is scored so far: the counts, and the table with the predictions before the columns of the file.
class Outcome {
  constructor(file, view, columns) {
    Object.assign(this, { file, view, columns, shownAt: 0, groups: [] });
    this.counts = make("div", { class: "outcomes" });
    this.choice = make("select", { id: "shown-rows", autocomplete: "off", on: { change: () => this.filter() } });
    this.search = make("input", { id: "search-rows", type: "search", autocomplete: "off", spellcheck: "false", on: { input: () => this.filterSoon() } });
    this.found = make("span", { class: "muted small", role: "status" });
    this.tools = make("div", { class: "row filters" },
      make("span", { class: "inline" }, make("label", { for: "shown-rows" }, "Show"), this.choice),
      make("span", { class: "inline" }, make("label", { for: "search-rows" }, "with the text"), this.search), this.found);
  }

  // Update while rows are scored. Rows move only at the end, or when the reader sorts or filters them.
  progress({ results, rejected }) {
    if (performance.now() - this.shownAt < MILLISECONDS_BETWEEN_UPDATES) return this.view.redrawSoon();
    this.show(results, rejected);
  }

  show(results, rejected, isFinished = false) {
    this.shownAt = performance.now();
    const { output } = state.deployment;
    const reasons = new Map(rejected.map(({ index, reason }) => [index, reason]));
    const predicted = outcomeColumns(results, output);
    const reason = { name: "Rejected because", value: (index) => reasons.get(index), style: "reason", width: 20 };
    const columns = [lineColumn(this.file), ...predicted, ...(reasons.size ? [reason] : []), ...this.columns];
    const hasChanged = String(columns.map(({ name }) => name)) !== String(this.view.columns.map(({ name }) => name));
    if (hasChanged || isFinished) this.view.setColumns(columns);
    else this.view.redrawSoon();
    this.groups = predicted.length ? outcomeGroups(results, output) : [];
    this.counts.replaceChildren(...this.groups.map((groups) => outcomeView(results, groups, (place, group) => this.choose(place, group))));
    this.rejected = (index) => reasons.has(index);
    this.offer(reasons.size);
  }

  // The groups to choose from: all rows, those of a class or a range, and the rejected ones.
  offer(rejected) {
    const chosen = this.choice.value;
    const isOnly = this.groups.length === 1;
    const groups = this.groups.flatMap(({ name, place, groups }) => groups.map(({ label, count: size }, index) =>
      option(`${place}:${index}`, `${isOnly ? "" : `${name}: `}${label} (${count(size)})`)));
    this.choice.replaceChildren(option("", "all rows"), ...groups, ...(rejected ? [option("rejected", `rejected rows (${count(rejected)})`)] : []));
    this.choice.value = [...this.choice.options].some(({ value }) => value === chosen) ? chosen : "";
    this.showCount();
  }

  choose(place, group) {
    this.choice.value = `${place}:${group}`;
    this.filter();
  }

  filterSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.filter(), MILLISECONDS_BETWEEN_KEYS);
  }

  filter() {
    const [place, group] = this.choice.value.split(":");
    const isShown = this.choice.value === "rejected" ? this.rejected : group && this.groups[place].groups[group].hasRow;
    this.view.filter(isShown || null, this.search.value);
    this.showCount();
  }

  showCount() {
    const { order, total } = this.view;
    this.found.textContent = order.length === total ? "" : plural(order.length, "row");
  }
}

// Score rows in the wire format of `sample`, for `Scoring`.
async function sendRows(sample, rows, signal) {
  const call = request(rows, state.key, sample);
  const answer = await send(call, signal);
  const { input, output } = state.deployment;
  const wait = retryAfter(answer.headers);
  if (answer.status !== 200) {
    const { title, message, advice, errors } = explain(answer, input);
    return { status: answer.status, wait, errors, message: present([`${title}.`, message, advice]).join(" ") };
  }
  const scored = predictions(sample.dialect, answer.json, output, call.single);
  const message = "This page cannot read the responses of this wire format: choose another one under “Call it from your code”. If it can read none, the outputs are not those that the deployment names.";
  return scored?.length === rows.length ? { status: 200, rows: scored } : { status: 200, wait, message };
}

function score(name, file, view, columns) {
  const outcome = new Outcome(file, view, columns);
  const meter = make("progress", { max: file.rows.length, value: 0, "aria-label": "Rows scored" });
  const words = make("p", { class: "muted", id: "progress" });
  let [startedAt, firstRow] = [0, 0];
  const seconds = () => (performance.now() - startedAt) / 1000;
  const sendBatch = sendRows.bind(null, state.sample);
  const scoring = new Scoring(file, state.deployment.input, sendBatch, (waiting) => {
    const { done, total, rejected } = scoring;
    const rate = (done - firstRow) / seconds();
    meter.value = done;
    words.textContent = present([
      `${count(done)} of ${plural(total, "row")}`,
      waiting || (done > firstRow ? `${count(Math.round(rate))} rows/s · ${span((total - done) / rate)} left` : ""),
      rejected.length ? `${count(rejected.length)} rejected` : "",
    ]).join(" · ");
    outcome.progress(scoring);
    speak(`${Math.floor((done / total) * 10) * 10} percent scored`);
  });
  const finish = (problem) => {
    const scored = scoring.results.filter(Boolean).length;
    words.textContent = `${plural(scored, "row")} scored, ${count(scoring.rejected.length)} rejected, in ${seconds().toFixed(1)} s`;
    speak(problem || words.textContent);
    meter.hidden = !problem;
    $("drop").hidden = false;
    const result = () => download(`${name.replace(/\.\w+$/, "")}-scored.csv`, scoring.csv());
    show("actions", problem ? button("Continue", run, "primary") : null, button("Download the result", result, problem ? "quiet" : "primary"));
    outcome.show(scoring.results, scoring.rejected, true);
    show("trouble", problem ? alarm(problem) : null);
    show("rejected", rejectedRows(scoring.rejected));
    $("actions").firstChild.focus();
  };
  const run = async () => {
    const stop = new AbortController();
    [startedAt, firstRow] = [performance.now(), scoring.done];
    $("drop").hidden = true;
    show("actions", button("Cancel", () => stop.abort()));
    $("actions").firstChild.focus();
    show("trouble");
    scoring.report();
    await scoring.run(stop.signal).then(() => finish(""), (error) => finish(stop.signal.aborted ? "Cancelled." : error.message));
  };
  $("actions").after(meter, words, make("div", { id: "trouble" }), outcome.counts, outcome.tools);
  run();
}

function speak(text) {
  if ($("spoken").textContent !== text) $("spoken").textContent = text;
}

function rejectedRows(rejected) {
  if (!rejected.length) return null;
  const sorted = [...rejected].sort((a, b) => a.line - b.line).slice(0, MAX_SHOWN_REJECTED);
  const item = ({ line, reason }) => make("li", {}, make("b", {}, `Line ${line}`), reason);
  return make("details", { open: "" },
    make("summary", {}, `${plural(rejected.length, "row")} rejected`),
    make("ul", { class: "lines" }, ...sorted.map(item)),
    rejected.length > MAX_SHOWN_REJECTED ? muted("The downloaded result has all of them, in the column “error”.") : null);
}

export function download(name, text) {
  const href = URL.createObjectURL(new Blob([text]));
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
