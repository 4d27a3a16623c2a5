// Read and write CSV (RFC 4180).

// Return {header, rows: [{line, cells}], separator}. The separator is the most frequent one in the header line.
export function readCSV(text) {
  const first = text.slice(0, text.search(/\r|\n|$/));
  const separator = [",", ";", "\t"].reduce((best, candidate) =>
    (first.split(candidate).length > first.split(best).length ? candidate : best));
  const records = [...csvRecords(text, separator)];
  return { header: records[0]?.cells ?? [], rows: records.slice(1), separator };
}

function* csvRecords(text, separator) {
  const token = new RegExp(`"|([^"${separator}\\r\\n][^${separator}\\r\\n]*)|(${separator})|\\r\\n?|\\n`, "y");
  // A value of null is an absent cell: an empty line is blank, and a line with "" has an empty cell.
  let [line, firstLine, cells, value] = [1, 1, [], null];
  const blank = () => cells.length === 0 && value === null;
  const record = () => ({ line: firstLine, cells: [...cells, value ?? ""] });
  while (token.lastIndex < text.length) {
    const start = token.lastIndex;
    const [match, plain, delimiter] = token.exec(text);
    if (delimiter) {
      cells.push(value ?? "");
      value = null;
    } else if (plain) {
      value = (value ?? "") + plain;
    } else if (match === '"') {
      const close = quotationEnd(text, start);
      if (close < 0) throw new Error(`Line ${line}: a quotation mark is never closed`);
      const quoted = text.slice(start + 1, close);
      value = (value ?? "") + quoted.replaceAll('""', '"');
      line += (quoted.match(/\r\n?|\n/g) || []).length;
      token.lastIndex = close + 1;
    } else {
      if (!blank()) yield record();
      [cells, value] = [[], null];
      firstLine = line += 1;
    }
  }
  if (!blank()) yield record();
}

// Return the index of the mark that closes the quotation opened at `start`: the next one that is not doubled. A regular
// expression would overflow the stack in long quotations.
function quotationEnd(text, start) {
  let close = text.indexOf('"', start + 1);
  while (close >= 0 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
  return close;
}

export function csvText(lines, separator) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const isBlankLine = text === "" && lines[0].length === 1;
    return isBlankLine || /["\r\n]/.test(text) || text.includes(separator) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return lines.map((cells) => cells.map(cell).join(separator) + "\n").join("");
}
