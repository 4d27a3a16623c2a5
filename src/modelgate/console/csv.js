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
  const token = new RegExp(`"((?:[^"]+|"")*)"|([^"${separator}\\r\\n][^${separator}\\r\\n]*)|(${separator})|(\\r\\n?|\\n)`, "gy");
  let [line, start, cells, value] = [1, 1, [], ""];
  const blank = () => cells.length === 0 && value === "";
  for (let at = 0; at < text.length; at = token.lastIndex) {
    token.lastIndex = at;
    const found = token.exec(text);
    if (!found) throw new Error(`Line ${line}: a quotation mark is open until the end of the file`);
    const [, quoted, plain, between, end] = found;
    if (between !== undefined) {
      cells.push(value);
      value = "";
    } else if (end !== undefined) {
      if (!blank()) yield { line: start, cells: [...cells, value] };
      [cells, value] = [[], ""];
      start = line += 1;
    } else {
      value += quoted === undefined ? plain : quoted.replaceAll('""', '"');
      line += (quoted?.match(/\r\n?|\n/g) || []).length;
    }
  }
  if (!blank()) yield { line: start, cells: [...cells, value] };
}

function csvText(lines, separator) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /["\r\n]/.test(text) || text.includes(separator) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return lines.map((cells) => cells.map(cell).join(separator) + "\n").join("");
}
