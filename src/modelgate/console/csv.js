// CSV, read and written (RFC 4180).

// {header, rows: [{line, cells}], separator}; the separator is what the header line has most of.
function readCSV(text) {
  const first = text.slice(0, text.search(/\r|\n|$/));
  const separator = [",", ";", "\t"].reduce((most, each) =>
    (first.split(each).length > first.split(most).length ? each : most));
  const records = [...csvRecords(text, separator)];
  return { header: records[0]?.cells ?? [], rows: records.slice(1), separator };
}

function* csvRecords(text, separator) {
  const token = new RegExp(`"|([^"${separator}\\r\\n][^${separator}\\r\\n]*)|(${separator})|\\r\\n?|\\n`, "y");
  // Null where nothing stands: a line with nothing is blank, one with "" has an empty cell.
  let [line, start, cells, value] = [1, 1, [], null];
  const blank = () => cells.length === 0 && value === null;
  const record = () => ({ line: start, cells: [...cells, value ?? ""] });
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const [found, plain, between] = token.exec(text);
    if (between) {
      cells.push(value ?? "");
      value = null;
    } else if (plain) {
      value = (value ?? "") + plain;
    } else if (found === '"') {
      const close = quotationEnd(text, at);
      if (close < 0) throw new Error(`Line ${line}: a quotation mark is open until the end of the file`);
      const quoted = text.slice(at + 1, close);
      value = (value ?? "") + quoted.replaceAll('""', '"');
      line += (quoted.match(/\r\n?|\n/g) || []).length;
      token.lastIndex = close + 1;
    } else {
      if (!blank()) yield record();
      [cells, value] = [[], null];
      start = line += 1;
    }
  }
  if (!blank()) yield record();
}

// Where the quotation that opens at `at` is closed: at the next mark that is not one of two. A regular expression for it
// runs out of stack where there are many.
function quotationEnd(text, at) {
  let close = text.indexOf('"', at + 1);
  while (close >= 0 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
  return close;
}

function csvText(lines, separator) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const alone = text === "" && lines[0].length === 1;
    return alone || /["\r\n]/.test(text) || text.includes(separator) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return lines.map((cells) => cells.map(cell).join(separator) + "\n").join("");
}
