// A CSV file, dropped or chosen: previewed, scored with progress, and given back with what was predicted.

const LARGEST_FILE = 100 * 2 ** 20;
const PREVIEWED = 5;
const LONGEST_CELL = 200;
const MOST_LINES = 100;

async function take(file) {
  if (!file) return;
  try {
    if (file.size > LARGEST_FILE) {
      throw new Error(`The file is larger than ${LARGEST_FILE >> 20} MiB: “modelgate score” reads it piece by piece.`);
    }
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    preview(file.name, readCSV(text));
  } catch (error) {
    show("batch", alarm(error instanceof TypeError ? "The file is not UTF-8 text: save it as “CSV UTF-8”." : error.message));
  }
}

const alarm = (text) => make("p", { class: "notice bad", role: "alert" }, text);

function preview(name, file) {
  const { input } = state.deployment;
  const rows = plural(file.rows.length, "row");
  const wrong = file.rows.length ? headerFaults(file.header, input) : ["There is no row below the header line."];
  const known = new Set(input.map((column) => column.name));
  const ignored = file.header.filter((column) => !known.has(column));
  show("batch",
    make("p", { class: "strong" }, name, make("span", { class: "muted" }, ` · ${rows}`)),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first rows" }, table(file, known)),
    ignored.length ? muted(`Not sent, as the model does not take it: ${ignored.join(", ")}`) : null,
    ...wrong.map(alarm),
    wrong.length ? null : make("div", { class: "row", id: "actions" }, button(`Score ${rows}`, () => score(name, file), "primary")));
}

function table({ header, rows }, known) {
  const cells = (row) => make("tr", {}, ...row.cells.map((text) => make("td", {}, text.slice(0, LONGEST_CELL))));
  const name = (text) => make("th", { scope: "col", class: known.has(text) ? "" : "muted" }, text);
  return make("table", {},
    make("thead", {}, make("tr", {}, ...header.map(name))), make("tbody", {}, ...rows.slice(0, PREVIEWED).map(cells)));
}

// What `Scoring` asks: rows in the wire format of `sample`.
async function ask(sample, rows, signal) {
  const asked = request(rows, state.key, sample);
  const answer = await send(asked, signal);
  const { input, output } = state.deployment;
  const wait = retryAfter(answer.headers);
  if (answer.status !== 200) {
    const { title, message, advice, errors } = explained(answer, input);
    return { status: answer.status, wait, errors, message: present([`${title}.`, message, advice]).join(" ") };
  }
  const told = predictions(sample.dialect, answer.told, output, asked.single);
  const message = "The answers of this wire format cannot be read here: choose another one at the top. If none can, more is predicted than the deployment names.";
  return told?.length === rows.length ? { status: 200, rows: told } : { status: 200, wait, message };
}

function score(name, file) {
  const meter = make("progress", { max: file.rows.length, value: 0, "aria-label": "Rows scored" });
  const words = make("p", { class: "muted", id: "progress" });
  let [started, from] = [0, 0];
  const seconds = () => (performance.now() - started) / 1000;
  const asking = ask.bind(null, state.sample);
  const scoring = new Scoring(file, state.deployment.input, asking, (waiting) => {
    const { at, total, refused } = scoring;
    const rate = (at - from) / seconds();
    meter.value = at;
    words.textContent = present([
      `${count(at)} of ${plural(total, "row")}`,
      waiting || (at > from ? `${count(Math.round(rate))} rows/s · ${span((total - at) / rate)} left` : ""),
      refused.length ? `${count(refused.length)} refused` : "",
    ]).join(" · ");
    speak(`${Math.floor((at / total) * 10) * 10} percent scored`);
  });
  const ended = (fault) => {
    const scored = scoring.results.filter(Boolean).length;
    words.textContent = `${plural(scored, "row")} scored, ${count(scoring.refused.length)} refused, in ${seconds().toFixed(1)} s`;
    speak(fault || words.textContent);
    $("drop").hidden = false;
    const result = () => download(`${name.replace(/\.\w+$/, "")}-scored.csv`, scoring.csv());
    show("actions", fault ? button("Go on", run, "primary") : null, button("Download the result", result, fault ? "quiet" : "primary"));
    show("refused", fault ? alarm(fault) : null, refusals(scoring.refused));
    $("actions").firstChild.focus();
  };
  const run = async () => {
    const stop = new AbortController();
    [started, from] = [performance.now(), scoring.at];
    $("drop").hidden = true;
    show("actions", button("Cancel", () => stop.abort()));
    $("actions").firstChild.focus();
    scoring.tell();
    await scoring.run(stop.signal).then(() => ended(""), (error) => ended(stop.signal.aborted ? "Cancelled." : error.message));
  };
  $("refused")?.remove();
  $("actions").after(meter, words, make("div", { id: "refused" }));
  run();
}

function speak(text) {
  if ($("spoken").textContent !== text) $("spoken").textContent = text;
}

function refusals(refused) {
  if (!refused.length) return null;
  const sorted = [...refused].sort((a, b) => a.line - b.line).slice(0, MOST_LINES);
  const told = ({ line, reason }) => make("li", {}, make("b", {}, `Line ${line}`), reason);
  return make("details", { open: "" },
    make("summary", {}, `${plural(refused.length, "row")} refused`),
    make("ul", { class: "lines" }, ...sorted.map(told)),
    refused.length > MOST_LINES ? muted("The result tells of the others, in the column “refused”.") : null);
}

function download(name, text) {
  const href = URL.createObjectURL(new Blob([text]));
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
