// Score a file of rows in parts.

import { csvText } from "./csv.mjs";
import { byName, parseValue } from "./requests.mjs";
import { span } from "./text.mjs";

const BATCH_SIZE = 500;
const MAX_REJECTED = 500;
const MAX_TRIES = 4;
const MAX_FAILED = 5;

// Return the problems of a header line. They affect every row.
export function headerProblems(header, columns) {
  const repeated = header.filter((name, index) => header.indexOf(name) !== index);
  const missing = columns.filter((column) => column.required && !header.includes(column.name));
  return [
    ...(repeated.length ? [`These columns appear more than once: ${[...new Set(repeated)].join(", ")}`] : []),
    ...(missing.length ? [`These columns are missing: ${missing.map((column) => column.name).join(", ")}`] : []),
  ];
}

// The state of scoring a file; `run` continues where it stopped. `send` scores rows, and `report` shows the progress.
export class Scoring {
  constructor(file, columns, send, report) {
    Object.assign(this, { file, columns, send, report, done: 0, failed: 0, batchSize: BATCH_SIZE, maxRejected: MAX_REJECTED });
    this.positions = columns.map((column) => [column, file.header.indexOf(column.name)]).filter(([, position]) => position >= 0);
    this.results = new Array(file.rows.length);
    this.rejected = [];
  }

  get total() {
    return this.file.rows.length;
  }

  async run(signal) {
    // A batch that was interrupted is scored again.
    this.rejected = this.rejected.filter(({ index }) => index < this.done);
    this.failed = 0;
    while (this.done < this.total) {
      const end = Math.min(this.done + this.batchSize, this.total);
      await this.score(this.completeRows(this.done, end), signal);
      this.done = end;
      this.report();
      if (this.rejected.length >= this.maxRejected && this.done < this.total) {
        this.maxRejected = this.rejected.length + MAX_REJECTED;
        throw new Error(`Stopped: ${this.rejected.length} rows were rejected. Fix the file, or continue anyway.`);
      }
    }
  }

  // Return the indexes from `start` to `end` of the rows that have as many cells as the header, and reject the others.
  completeRows(start, end) {
    const width = this.file.header.length;
    return [...Array(end - start).keys()].map((offset) => start + offset).filter((index) => {
      const { length } = this.file.rows[index].cells;
      if (length !== width) this.reject(index, `has ${length} cells, the header has ${width}`);
      return length === width;
    });
  }

  reject(index, reason) {
    this.rejected.push({ index, line: this.file.rows[index].line, reason });
  }

  row(index) {
    const { cells } = this.file.rows[index];
    const value = (column, text) => (text === "" ? null : parseValue(column, text));
    return byName(this.positions.map(([column, position]) => [column.name, value(column, cells[position])]));
  }

  // Score the rows at `indexes`.
  async score(indexes, signal) {
    if (!indexes.length) return;
    const answer = await this.sendWithRetries(indexes.map((index) => this.row(index)), signal);
    if (answer.rows) {
      this.failed = 0;
      indexes.forEach((index, position) => (this.results[index] = answer.rows[position]));
    } else if ([400, 413, 422].includes(answer.status) || (answer.status === 500 && this.failed < MAX_FAILED)) {
      await this.scoreWithoutInvalid(answer, indexes, signal);
    } else {
      throw new Error(answer.message);
    }
  }

  // Reject the rows that an error names and score the others. If it names none, score each half, to find the invalid
  // rows. After several failures of the model without a success, the model is probably broken, and not the rows.
  async scoreWithoutInvalid(answer, indexes, signal) {
    const reasons = answer.status === 413 ? new Map() : errorsByRow(answer.errors);
    const invalid = [...reasons.keys()].filter((position) => position < indexes.length);
    if (indexes.length === 1) {
      const reason = [...answer.errors].map(([name, rule]) => `${name} ${rule}`).join("; ");
      this.reject(indexes[0], reason || answer.message);
      if (answer.status === 500) this.failed += 1;
    } else if (invalid.length) {
      invalid.forEach((position) => this.reject(indexes[position], reasons.get(position)));
      await this.score(indexes.filter((_, position) => !reasons.has(position)), signal);
    } else {
      const half = Math.ceil(indexes.length / 2);
      // Without an error of a column there were too many rows: the following batches have fewer, too.
      if (answer.status !== 500 && !answer.errors.size) this.batchSize = Math.min(this.batchSize, half);
      await this.score(indexes.slice(0, half), signal);
      await this.score(indexes.slice(half), signal);
    }
  }

  async sendWithRetries(rows, signal) {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.send(rows, signal);
      const retriable = answer.status === 0 || answer.status === 429 || answer.status === 503;
      if (!retriable || (answer.wait === null && attempt === MAX_TRIES)) return answer;
      await this.pause(answer.wait ?? 2 ** (attempt - 1), answer.status, signal);
    }
  }

  async pause(seconds, status, signal) {
    for (let remaining = Math.max(1, seconds); remaining > 0; remaining -= 1) {
      const time = span(remaining);
      this.report(status === 0 ? `No response: trying again in ${time}` : `The gate is busy: continuing in ${time}`);
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

  // Return the columns of the predictions: their names, and functions that read them from the outputs of a row.
  predictedColumns() {
    const scored = this.results.filter(Boolean);
    return (scored[0] || []).flatMap(({ name, shares }, index) => [
      [name, (outputs) => outputs[index].value],
      ...(shares || []).map(([label], position) => [`${name}_${label}`, (outputs) => outputs[index].shares[position][1]]),
      ...(scored.some((outputs) => outputs[index].confidence !== null)
        ? [[`${name}_confidence`, (outputs) => outputs[index].confidence]] : []),
    ]);
  }

  // Return the file with the predictions and, if rows were rejected, a column with the reasons.
  csv() {
    const { header, rows, separator } = this.file;
    const reasons = new Map(this.rejected.map(({ index, reason }) => [index, reason]));
    const predicted = this.predictedColumns();
    const last = reasons.size ? ["error"] : [];
    const lines = rows.map((row, index) => [
      ...header.map((_, position) => row.cells[position]),
      ...predicted.map(([, value]) => this.results[index] && value(this.results[index])),
      ...last.map(() => reasons.get(index)),
    ]);
    const names = [...header];
    for (let name of [...predicted.map(([name]) => name), ...last]) {
      while (names.includes(name)) name += "_scored";
      names.push(name);
    }
    return csvText([names, ...lines].map((cells) => cells.map(withoutFormula)), separator);
  }
}

// Put a mark before text that a spreadsheet would run as a formula (OWASP, "CSV Injection").
function withoutFormula(value) {
  const isFormula = typeof value === "string" && /^[=+\-@\t\r]/.test(value) && !/^[+-][\d.,]*(e[+-]?\d+)?$/i.test(value);
  return isFormula ? `'${value}` : value;
}

// Return the errors by row, from texts such as "must be a number (row 3, 7 and 2 more)".
export function errorsByRow(errors) {
  const rows = new Map();
  for (const [name, text] of errors) {
    for (const [, rule, listed] of String(text).matchAll(/(?:^|; )(.*?) \(row ([\d, ]+)(?: and \d+ more)?\)/g)) {
      for (const row of listed.split(", ").map(Number)) {
        rows.set(row, [rows.get(row), `${name} ${rule}`].filter(Boolean).join("; "));
      }
    }
  }
  return rows;
}
