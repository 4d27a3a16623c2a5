// A table of any number of rows, of which only the visible ones are in the page.

import { make } from "./dom.mjs";
import { searchRows, sortRows, visibleRows } from "./rows.mjs";

const MEASURED_ROWS = 200;
const [MIN_WIDTH, MAX_WIDTH] = [5, 24];
const MAX_CELL_LENGTH = 200;
const FIRST_ROW_HEIGHT = 32;
const FIRST_VIEWPORT = 400;

// A column is {name, value(index)}, and optionally `cell(index)`, which draws it, `style`, `width` in characters, and
// `isSearched`.
export class RowTable {
  constructor(label, total, columns) {
    Object.assign(this, { total, columns, sorted: null, text: "", isShown: null, rowHeight: FIRST_ROW_HEIGHT });
    this.body = make("tbody");
    this.head = make("tr");
    this.widths = make("colgroup");
    this.table = make("table", { class: "rows" }, this.widths, make("thead", {}, this.head), this.body);
    this.view = make("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": label }, this.table);
    this.view.addEventListener("scroll", () => this.redrawSoon(true));
    this.setColumns(columns);
  }

  setColumns(columns) {
    const sorted = this.sorted && columns.find(({ name, style }) => name === this.sorted.column.name && style === this.sorted.column.style);
    this.sorted = sorted ? { ...this.sorted, column: sorted } : null;
    this.columns = columns;
    const rows = [...Array(Math.min(this.total, MEASURED_ROWS)).keys()];
    const widthOf = ({ name, value, width }) => width
      ?? Math.min(Math.max(MIN_WIDTH, name.length + 2, ...rows.map((index) => String(value(index) ?? "").length)), MAX_WIDTH);
    const widths = columns.map(widthOf);
    this.widths.replaceChildren(...widths.map((width) => make("col", { style: { width: `${width + 3}ch` } })));
    this.table.style.width = `${widths.reduce((sum, width) => sum + width + 3, 0)}ch`;
    this.head.replaceChildren(...columns.map((column) => make("th", { scope: "col", class: column.style ?? null },
      make("button", { type: "button", title: `Sort by ${column.name}`, on: { click: () => this.sortBy(column) } }, column.name))));
    this.arrange();
  }

  // Sort by a column: ascending, then descending, then in the order of the file.
  sortBy(column) {
    const isSame = this.sorted?.column === column;
    this.sorted = isSame && this.sorted.isDescending ? null : { column, isDescending: isSame };
    this.arrange();
  }

  // Show the rows for which `isShown(index)` is true, or all if it is null, and which contain `text`.
  filter(isShown, text) {
    Object.assign(this, { isShown, text });
    this.arrange();
    this.view.scrollTop = 0;
  }

  // Sort and filter again, as after new predictions.
  arrange() {
    const all = [...Array(this.total).keys()];
    const shown = this.isShown ? all.filter(this.isShown) : all;
    const searched = this.columns.filter(({ isSearched = true }) => isSearched);
    const found = searchRows(shown, (index) => searched.map(({ value }) => value(index)), this.text);
    this.order = this.sorted ? sortRows(found, this.sorted.column.value, this.sorted.isDescending) : found;
    this.columns.forEach((column, index) => {
      const isSorted = this.sorted?.column === column;
      this.head.children[index].ariaSort = isSorted ? (this.sorted.isDescending ? "descending" : "ascending") : "none";
    });
    this.table.setAttribute("aria-rowcount", this.order.length + 1);
    this.redraw();
  }

  redrawSoon(hasScrolled = false) {
    this.hasScrolled = hasScrolled && (this.pending ? this.hasScrolled : true);
    this.pending ??= requestAnimationFrame(() => this.redraw(this.hasScrolled));
  }

  // After scrolling, the same rows are not drawn again.
  redraw(hasScrolled = false) {
    this.pending = null;
    const { scrollTop, clientHeight } = this.view;
    const visible = visibleRows({ scrollTop, viewport: clientHeight || FIRST_VIEWPORT, rowHeight: this.rowHeight, total: this.order.length });
    const { first, last, before, after } = visible;
    if (hasScrolled && first === this.visible.first && last === this.visible.last && before === this.visible.before) return;
    this.visible = visible;
    const space = (height) => make("tr", { class: "space", "aria-hidden": "true", style: { height: `${height}px` } });
    const rows = this.order.slice(first, last).map((index, place) => this.drawRow(index, first + place));
    this.body.replaceChildren(space(before), ...rows, space(after));
    const height = rows[0]?.getBoundingClientRect().height;
    // The height of a row depends on the font, so it is measured once there is one.
    if (height && Math.abs(height - this.rowHeight) > 0.1) {
      this.rowHeight = height;
      this.redrawSoon();
    }
  }

  drawRow(index, place) {
    return make("tr", { "aria-rowindex": place + 2 }, ...this.columns.map((column) => {
      if (column.cell) return make("td", { class: column.style ?? null }, column.cell(index));
      const text = String(column.value(index) ?? "").slice(0, MAX_CELL_LENGTH);
      return make("td", { class: column.style ?? null, title: text.length > MAX_WIDTH ? text : null }, text);
    }));
  }
}
