// The rows of this session: undo, and the history of requests. Nothing is stored.

const MAX_ENTRIES = 50;
const MERGE_MILLISECONDS = 2000;

// Names of the columns in which two rows differ.
export function changedColumns(one, other) {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])]
    .filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}

export class Session {
  constructor() {
    Object.assign(this, { past: [], entries: [] });
  }

  // Remember a row for `undo`. Changes of one column in quick succession, as by a slider, are one step.
  visit(row, now) {
    const [before, last] = this.past.slice(-2).length === 2 ? this.past.slice(-2) : [null, this.past.at(-1)];
    if (last && !changedColumns(last.row, row).length) return;
    const isSameEdit = before && now - last.now < MERGE_MILLISECONDS
      && String(changedColumns(before.row, last.row)) === String(changedColumns(last.row, row))
      && changedColumns(last.row, row).length === 1;
    if (isSameEdit) this.past.pop();
    this.past.push({ row, now });
    if (this.past.length > MAX_ENTRIES) this.past.shift();
  }

  // Return the row before the last step; null if there is none.
  undo() {
    if (this.past.length < 2) return null;
    this.past.pop();
    return this.past.at(-1).row;
  }

  // Add a request and its prediction to the history. A row that was only varied in quick succession replaces its entry.
  record(row, text, now) {
    const [before, last] = [this.entries.at(-2), this.entries.at(-1)];
    const changes = last ? changedColumns(last.row, row) : [];
    const isSameEdit = before && now - last.now < MERGE_MILLISECONDS && changes.length === 1
      && String(changedColumns(before.row, last.row)) === String(changes);
    if (last && (!changes.length || isSameEdit)) this.entries.pop();
    const previous = this.entries.at(-1);
    this.entries.push({ row, text, now, changes: previous ? changedColumns(previous.row, row) : [] });
    if (this.entries.length > MAX_ENTRIES) this.entries.shift();
  }
}
