// Which rows of a long list are drawn.

/**
 * The rows to draw, from `first` up to but not including `last`, with a few around those in view.
 *
 * @param {{count: number, rowHeight: number, top: number, height: number}} list `top` is how far it is
 *   scrolled, and `height` what is visible of it, in pixels
 */
export function rowsInView({ count, rowHeight, top, height }) {
  const margin = 8;
  const first = Math.floor(Math.max(top, 0) / rowHeight) - margin;
  const last = Math.ceil((Math.max(top, 0) + height) / rowHeight) + margin;
  const end = Math.min(Math.max(last, 0), count);
  return { first: Math.min(Math.max(first, 0), end), last: end };
}
