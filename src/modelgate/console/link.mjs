// A link that restores a row. The row is in the fragment, which a browser sends to no server; the key is never in it.

import { byName } from "./requests.mjs";

const MAX_LENGTH = 8000;

// Return the fragment for a row; null if the row is too large for an address, as an image is.
export function rowFragment(row) {
  const fragment = `#row=${encodeURIComponent(JSON.stringify(row))}`;
  return fragment.length > MAX_LENGTH ? null : fragment;
}

// Return the row in a fragment, with the columns of the model only; null if there is none.
export function rowInFragment(fragment, columns) {
  try {
    const row = JSON.parse(decodeURIComponent(/^#row=(.*)$/.exec(fragment)[1]));
    if (row === null || typeof row !== "object" || Array.isArray(row)) return null;
    const names = columns.map(({ name }) => name).filter((name) => Object.hasOwn(row, name));
    return byName(names.map((name) => [name, row[name]]));
  } catch {
    return null;
  }
}
