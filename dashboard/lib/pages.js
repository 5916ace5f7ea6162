// Lists that are read page by page as somebody scrolls.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "../vendor/hooks.js";
import { get, withParameters } from "./api.js";
import { repeat } from "./poll.js";

const PAGE = 200;

/**
 * Reads so many pages, or fewer if there are no more. A page may be empty: it examines only so many
 * rows.
 *
 * @template T
 * @param {(cursor: string | null) => Promise<{items: T[], next_cursor: string | null}>} read
 * @param {number} wanted
 */
export async function readPages(read, wanted) {
  /** @type {T[]} */
  let items = [];
  let cursor = null;
  let pages = 0;
  do {
    const page = await read(cursor);
    items = items.concat(page.items);
    cursor = page.next_cursor;
    pages += 1;
  } while (cursor !== null && pages < wanted);
  return { items, hasMore: cursor !== null };
}

/**
 * A list of the API, as far as it was scrolled to, read again every so many seconds.
 *
 * `items` is `undefined` until the first page has arrived.
 *
 * @template T
 * @param {string} path
 * @param {Record<string, unknown>} parameters
 * @param {number} seconds `Infinity` for once
 * @returns {{items: T[] | undefined, hasMore: boolean, error: import("./api.js").ApiError | undefined, isReading: boolean, more: () => void, all: () => Promise<T[]>, refresh: () => void}}
 */
export function usePages(path, parameters, seconds) {
  const list = withParameters(path, { limit: PAGE, ...parameters });
  const initial = { list, items: undefined, hasMore: false, error: undefined, isReading: true };
  const [state, setState] = useState(initial);
  const [round, setRound] = useState(0);
  const wanted = useRef(1);

  const read = useCallback(
    /** @param {AbortSignal} [signal] */
    async (signal) => {
      setState((state) => (state.list === list ? { ...state, isReading: true } : initial));
      try {
        const pages = await readPages(
          (cursor) => get(pageOf(list, cursor), { signal }),
          wanted.current,
        );
        if (!signal?.aborted) setState({ list, ...pages, error: undefined, isReading: false });
        return pages.items;
      } catch (error) {
        if (signal?.aborted) return null;
        setState((state) => ({ ...state, list, error, isReading: false }));
        return null;
      }
    },
    [list],
  );

  useEffect(() => {
    wanted.current = 1;
  }, [list]);
  useLayoutEffect(() => {
    if (seconds !== Number.POSITIVE_INFINITY) {
      return repeat(async (signal) => (await read(signal)) !== null, seconds);
    }
    const ended = new AbortController();
    read(ended.signal);
    return () => ended.abort();
  }, [read, seconds, round]);

  const current = state.list === list ? state : initial;
  const more = useCallback(() => {
    const { items, hasMore, isReading } = current;
    if (!hasMore || isReading || !items) return;
    wanted.current += 1;
    setRound((round) => round + 1);
  }, [current]);
  const all = useCallback(async () => {
    const pages = await readPages((cursor) => get(pageOf(list, cursor)), Number.POSITIVE_INFINITY);
    return pages.items;
  }, [list]);
  const refresh = useCallback(() => setRound((round) => round + 1), []);
  const { items, hasMore, error, isReading } = current;
  return { items, hasMore, error, isReading, more, all, refresh };
}

/** The path of a page of a list. */
export function pageOf(/** @type {string} */ list, /** @type {string | null} */ cursor) {
  return cursor === null ? list : `${list}&cursor=${encodeURIComponent(cursor)}`;
}
