// Tables of any length: only the rows in view are drawn.

import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { rowsInView } from "../lib/window.js";
import { useEffect, useLayoutEffect, useRef, useState } from "../vendor/hooks.js";

/**
 * @typedef {object} Column
 * @property {string} id
 * @property {unknown} title
 * @property {(row: any) => unknown} cell
 * @property {string} [class] `number` aligns to the right; `wide-only` is hidden on phones
 * @property {string} [sort] what the API calls the order by this column
 */

/**
 * A table whose rows have one height, in pixels. `onSort` gets the new order, such as `-name`;
 * `onView` the first row that is drawn and the one after the last; `onEnd` is called when the last
 * rows come into view.
 */
export function Table({
  label,
  columns,
  rows,
  keyOf,
  rowHeight = 44,
  sort = "",
  onSort = null,
  onView = null,
  onEnd = null,
  rowClass = (_row) => "",
  hasMore = false,
}) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [view, setView] = useState({ top: 0, height: 800 });
  const measure = () => {
    const element = box.current;
    if (!element) return;
    const top = element.scrollTop;
    const height = element.clientHeight;
    setView((view) => (view.top === top && view.height === height ? view : { top, height }));
  };
  useLayoutEffect(measure, [rows.length]);
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const { first, last } = rowsInView({ count: rows.length, rowHeight, ...view });
  useEffect(() => onView?.({ first, last }), [first, last]);
  useEffect(() => {
    // A short list that nobody scrolls would be read to its end.
    if (onEnd && hasMore && view.top > 0 && last >= rows.length) onEnd();
  }, [last, view.top, rows.length, hasMore]);
  return html`<div class="table" ref=${box} onScroll=${measure} tabindex="0" role="region" aria-label=${label}>
    <table aria-rowcount=${hasMore ? -1 : rows.length + 1}>
      <caption class="hidden">${label}</caption>
      <thead>
        <tr>${columns.map((column) => html`<${Head} key=${column.id} ...${{ column, sort, onSort }} />`)}</tr>
      </thead>
      <tbody>
        <${Space} rows=${first} ...${{ rowHeight, columns }} />
        ${rows.slice(first, last).map(
          (row, at) => html`<tr
            key=${keyOf(row)}
            class=${rowClass(row)}
            style=${{ height: `${rowHeight}px` }}
            aria-rowindex=${first + at + 2}
          >
            ${columns.map((column) => html`<td key=${column.id} class=${column.class}>${column.cell(row)}</td>`)}
          </tr>`,
        )}
        <${Space} rows=${rows.length - last} ...${{ rowHeight, columns }} />
      </tbody>
    </table>
  </div>`;
}

function Head({ column, sort, onSort }) {
  const isSorted = column.sort && sort.replace(/^-/, "") === column.sort;
  const isDown = sort.startsWith("-");
  const order = isSorted ? (isDown ? "descending" : "ascending") : undefined;
  if (!column.sort || !onSort) {
    return html`<th scope="col" class=${column.class}>${column.title}</th>`;
  }
  // The largest first, at first: what there is most of is what people look for.
  const next = isSorted && isDown ? column.sort : `-${column.sort}`;
  return html`<th scope="col" class=${column.class} aria-sort=${order}>
    <button type="button" class="link" onClick=${() => onSort(next)} title=${t("sort")}>
      ${column.title} <span aria-hidden="true">${isSorted ? (isDown ? "↓" : "↑") : ""}</span>
    </button>
  </th>`;
}

/** The place of the rows that are not drawn. */
function Space({ rows, rowHeight, columns }) {
  if (rows <= 0) return null;
  return html`<tr class="space" aria-hidden="true">
    <td colspan=${columns.length} style=${{ height: `${rows * rowHeight}px` }}></td>
  </tr>`;
}
