// A file of rows, scored in parts.

const ROWS_AT_ONCE = 500;
const MOST_REFUSED = 500;
const TRIES = 4;
const MOST_FAILED = 5;

// What cannot be scored whatever the rows say; empty where nothing is wrong.
function headerFaults(header, columns) {
  const twice = header.filter((name, at) => header.indexOf(name) !== at);
  const missing = columns.filter((column) => column.required && !header.includes(column.name));
  return [
    ...(twice.length ? [`These columns are there twice: ${[...new Set(twice)].join(", ")}`] : []),
    ...(missing.length ? [`These columns are missing: ${missing.map((column) => column.name).join(", ")}`] : []),
  ];
}

// Goes on where it was stopped. `ask` scores rows, and `tell` shows how far it is.
class Scoring {
  constructor(file, columns, ask, tell) {
    Object.assign(this, { file, columns, ask, tell, at: 0, failed: 0, atOnce: ROWS_AT_ONCE, bearable: MOST_REFUSED });
    this.places = columns.map((column) => [column, file.header.indexOf(column.name)]).filter(([, at]) => at >= 0);
    this.results = new Array(file.rows.length);
    this.refused = [];
  }

  get total() {
    return this.file.rows.length;
  }

  async run(signal) {
    // What was stopped in its middle is scored again.
    this.refused = this.refused.filter(({ at }) => at < this.at);
    this.failed = 0;
    while (this.at < this.total) {
      const until = Math.min(this.at + this.atOnce, this.total);
      await this.score(this.whole(this.at, until), signal);
      this.at = until;
      this.tell();
      if (this.refused.length >= this.bearable && this.at < this.total) {
        this.bearable = this.refused.length + MOST_REFUSED;
        throw new Error(`Stopped: ${this.refused.length} rows were refused. Mend the file, or go on all the same.`);
      }
    }
  }

  // The rows from `from` to `until` that have as many cells as the header.
  whole(from, until) {
    const width = this.file.header.length;
    return [...Array(until - from).keys()].map((place) => from + place).filter((at) => {
      const { length } = this.file.rows[at].cells;
      if (length !== width) this.refuse(at, `has ${length} cells, and the header ${width}`);
      return length === width;
    });
  }

  refuse(at, reason) {
    this.refused.push({ at, line: this.file.rows[at].line, reason });
  }

  row(at) {
    const { cells } = this.file.rows[at];
    const value = (column, text) => (text === "" ? null : typed(column, text));
    return byName(this.places.map(([column, place]) => [column.name, value(column, cells[place])]));
  }

  async score(places, signal) {
    if (!places.length) return;
    const answer = await this.patiently(places.map((at) => this.row(at)), signal);
    if (answer.rows) {
      this.failed = 0;
      places.forEach((at, index) => (this.results[at] = answer.rows[index]));
    } else if ([400, 413, 422].includes(answer.status) || (answer.status === 500 && this.failed < MOST_FAILED)) {
      await this.without(answer, places, signal);
    } else {
      throw new Error(answer.message);
    }
  }

  // The rows an answer names are set aside; where it names none, the half that is at fault is looked for. Where the
  // model has failed for several rows and for none it has not, it is not the rows.
  async without(answer, places, signal) {
    const named = answer.status === 413 ? new Map() : faultsByRow(answer.errors);
    const known = [...named.keys()].filter((index) => index < places.length);
    if (places.length === 1) {
      const told = [...answer.errors].map(([name, rule]) => `${name} ${rule}`).join("; ");
      this.refuse(places[0], told || answer.message);
      if (answer.status === 500) this.failed += 1;
    } else if (known.length) {
      known.forEach((index) => this.refuse(places[index], named.get(index)));
      await this.score(places.filter((_, index) => !named.has(index)), signal);
    } else {
      const half = Math.ceil(places.length / 2);
      // No column is at fault: there are too many rows, and there would be next time.
      if (answer.status !== 500 && !answer.errors.size) this.atOnce = Math.min(this.atOnce, half);
      await this.score(places.slice(0, half), signal);
      await this.score(places.slice(half), signal);
    }
  }

  async patiently(rows, signal) {
    for (let tried = 1; ; tried += 1) {
      const answer = await this.ask(rows, signal);
      const again = answer.status === 0 || answer.status === 429 || answer.status === 503;
      if (!again || (answer.wait === null && tried === TRIES)) return answer;
      await this.pause(answer.wait ?? 2 ** (tried - 1), answer.status, signal);
    }
  }

  async pause(seconds, status, signal) {
    for (let left = Math.max(1, seconds); left > 0; left -= 1) {
      this.tell(status === 0 ? `No answer: trying again in ${span(left)}` : `Asked to wait: going on in ${span(left)}`);
      await new Promise((resolve, reject) => {
        const stop = () => reject(signal.reason);
        const timer = setTimeout(() => {
          signal.removeEventListener("abort", stop);
          resolve();
        }, 1000);
        signal.addEventListener("abort", () => (clearTimeout(timer), stop()), { once: true });
      });
    }
  }

  // What was predicted: the columns, each its name and how it is had from the outputs of a row.
  predicted() {
    const scored = this.results.filter(Boolean);
    return (scored[0] || []).flatMap(({ name, shares }, at) => [
      [name, (outputs) => outputs[at].value],
      ...(shares || []).map(([label], place) => [`${name}_${label}`, (outputs) => outputs[at].shares[place][1]]),
      ...(scored.some((outputs) => outputs[at].confidence !== null)
        ? [[`${name}_confidence`, (outputs) => outputs[at].confidence]] : []),
    ]);
  }

  // The file's own columns, what was predicted, and why a row was refused where one was.
  csv() {
    const { header, rows, separator } = this.file;
    const reasons = new Map(this.refused.map(({ at, reason }) => [at, reason]));
    const predicted = this.predicted();
    const last = reasons.size ? ["refused"] : [];
    const lines = rows.map((row, at) => [
      ...header.map((_, place) => row.cells[place]),
      ...predicted.map(([, value]) => this.results[at] && value(this.results[at])),
      ...last.map(() => reasons.get(at)),
    ]);
    const names = [...header];
    for (let name of [...predicted.map(([name]) => name), ...last]) {
      while (names.includes(name)) name += "_scored";
      names.push(name);
    }
    return csvText([names, ...lines], separator);
  }
}

// "must be a number (row 3, 7 and 2 more)": by row what is wrong with it.
function faultsByRow(errors) {
  const rows = new Map();
  for (const [name, told] of errors) {
    for (const [, rule, listed] of String(told).matchAll(/(?:^|; )(.*?) \(row ([\d, ]+)(?: and \d+ more)?\)/g)) {
      for (const row of listed.split(", ").map(Number)) {
        rows.set(row, [rows.get(row), `${name} ${rule}`].filter(Boolean).join("; "));
      }
    }
  }
  return rows;
}
