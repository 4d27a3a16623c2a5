// Preview a CSV file, score it with a progress bar, and offer the result for download.

import { predictions, retryAfter } from "./answers.mjs";
import { readCSV } from "./csv.mjs";
import { $, button, make, muted, show } from "./dom.mjs";
import { request, send, state } from "./gate.mjs";
import { explain } from "./problems.mjs";
import { Scoring, headerProblems } from "./scoring.mjs";
import { count, plural, present, span } from "./text.mjs";

const MAX_FILE_SIZE = 100 * 2 ** 20;
const PREVIEW_ROWS = 5;
const MAX_CELL_LENGTH = 200;
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
  show("batch",
    make("p", { class: "strong" }, name, make("span", { class: "muted" }, ` · ${rows}`)),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first rows" }, table(file, known)),
    ignored.length ? muted(`Not sent, because the model does not use it: ${ignored.join(", ")}`) : null,
    ...problems.map(alarm),
    problems.length ? null : make("div", { class: "row", id: "actions" }, button(`Score ${rows}`, () => score(name, file), "primary")));
}

function table({ header, rows }, known) {
  const cells = (row) => make("tr", {}, ...row.cells.map((text) => make("td", {}, text.slice(0, MAX_CELL_LENGTH))));
  const name = (text) => make("th", { scope: "col", class: known.has(text) ? "" : "muted" }, text);
  return make("table", {},
    make("thead", {}, make("tr", {}, ...header.map(name))), make("tbody", {}, ...rows.slice(0, PREVIEW_ROWS).map(cells)));
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
  const message = "This page cannot read the responses of this wire format: choose another one at the top. If it can read none, the outputs are not those that the deployment names.";
  return scored?.length === rows.length ? { status: 200, rows: scored } : { status: 200, wait, message };
}

function score(name, file) {
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
    speak(`${Math.floor((done / total) * 10) * 10} percent scored`);
  });
  const finish = (problem) => {
    const scored = scoring.results.filter(Boolean).length;
    words.textContent = `${plural(scored, "row")} scored, ${count(scoring.rejected.length)} rejected, in ${seconds().toFixed(1)} s`;
    speak(problem || words.textContent);
    $("drop").hidden = false;
    const result = () => download(`${name.replace(/\.\w+$/, "")}-scored.csv`, scoring.csv());
    show("actions", problem ? button("Continue", run, "primary") : null, button("Download the result", result, problem ? "quiet" : "primary"));
    show("rejected", problem ? alarm(problem) : null, rejectedRows(scoring.rejected));
    $("actions").firstChild.focus();
  };
  const run = async () => {
    const stop = new AbortController();
    [startedAt, firstRow] = [performance.now(), scoring.done];
    $("drop").hidden = true;
    show("actions", button("Cancel", () => stop.abort()));
    $("actions").firstChild.focus();
    scoring.report();
    await scoring.run(stop.signal).then(() => finish(""), (error) => finish(stop.signal.aborted ? "Cancelled." : error.message));
  };
  $("rejected")?.remove();
  $("actions").after(meter, words, make("div", { id: "rejected" }));
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
    rejected.length > MAX_SHOWN_REJECTED ? muted("The downloaded result has all of them, in the column “refused”.") : null);
}

export function download(name, text) {
  const href = URL.createObjectURL(new Blob([text]));
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
