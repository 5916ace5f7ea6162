// The log of calls, the latest first: older calls as somebody scrolls, and new ones as they end.
//
// A poll reads only the end of the log, so that it costs the same however far somebody has scrolled
// and however few calls match.

import { useCallback, useEffect, useRef, useState } from "../vendor/hooks.js";
import { get, withParameters } from "./api.js";
import { pageOf } from "./pages.js";
import { repeat } from "./poll.js";

/** @typedef {import("../types.js").Call} Call */
/** @typedef {{items: Call[], next_cursor: string | null}} Page */

const PAGE = 200;
/** How often new calls are looked for, in seconds. */
const LIVE_S = 2.5;
/**
 * A call is logged when it ends, at the time at which it began. Calls that took up to so long appear
 * while somebody watches; longer ones, once the log is read again.
 */
const LONGEST_CALL_MS = 10 * 60_000;
/**
 * A page examines a bounded number of calls, so that many pages may be empty. After so many in a
 * row, somebody must want to go on.
 */
const EMPTY_PAGES = 10;

/**
 * Reads pages from `cursor` on until one has calls, there are no more, or too many were empty.
 *
 * @param {(cursor: string | null) => Promise<Page>} read
 * @param {string | null} cursor
 * @param {number} [most] empty pages
 */
export async function readOn(read, cursor, most = EMPTY_PAGES) {
  let page = await read(cursor);
  for (let pages = 1; page.items.length === 0 && page.next_cursor !== null; pages++) {
    if (pages >= most) return { ...page, isTired: true };
    page = await read(page.next_cursor);
  }
  return { ...page, isTired: false };
}

/** The order of the list. @param {Call} one @param {Call} other */
function byStart(one, other) {
  const [a, b] = [one.called_at ?? "", other.called_at ?? ""];
  return a === b ? other.id - one.id : a < b ? 1 : -1;
}

/**
 * The calls of `found` that are not known yet. `items` without any of them would have a hole if
 * `found` is full and none of it is known.
 *
 * @param {Call[]} items
 * @param {Page} found the end of the log
 */
export function newIn(items, found) {
  const known = new Set(items.map(({ id }) => id));
  const fresh = found.items.filter(({ id }) => !known.has(id));
  const hasHole =
    items.length > 0 && found.next_cursor !== null && fresh.length === found.items.length;
  return { fresh, hasHole: hasHole && fresh.length > 0 };
}

/**
 * The list with more calls, each at its place.
 *
 * @param {Call[]} items
 * @param {Call[]} more
 */
export function merge(items, more) {
  if (more.length === 0) return items;
  const last = items.at(-1);
  // The next page, in the order of the list.
  if (last === undefined || byStart(last, more[0]) < 0) return [...items, ...more];
  const known = new Set(items.map(({ id }) => id));
  return [...items, ...more.filter(({ id }) => !known.has(id))].sort(byStart);
}

/**
 * From when on to look for new calls.
 *
 * @param {Call[]} items
 * @param {string} since when the list was first read
 * @param {string | undefined} from as the list is filtered
 */
export function tailFrom(items, since, from) {
  const latest = items[0]?.called_at ?? since;
  const start = new Date(Date.parse(latest) - LONGEST_CALL_MS).toISOString();
  return from && Date.parse(from) > Date.parse(start) ? from : start;
}

const EMPTY = {
  items: /** @type {Call[] | undefined} */ (undefined),
  cursor: /** @type {string | null} */ (null),
  error: /** @type {import("./api.js").ApiError | undefined} */ (undefined),
  isReading: true,
  isTired: false,
  waiting: /** @type {Call[]} */ ([]),
  hasHole: false,
  since: "",
};

/**
 * The calls that match. While `isHeld`, new ones are counted (`waiting`), but not shown, since they
 * would push away what somebody reads.
 *
 * @param {Record<string, string | undefined>} parameters
 * @param {{isLive: boolean, isHeld: boolean}} how
 */
export function useCallLog(parameters, { isLive, isHeld }) {
  const list = withParameters("calls", { limit: PAGE, ...parameters });
  const [state, setState] = useState({ list, ...EMPTY });
  const [round, setRound] = useState(0);
  const latest = useRef(state);
  latest.current = state;
  const refresh = useCallback(() => setRound((round) => round + 1), []);
  // What belongs to another list, or to a reading that has been replaced, is dropped.
  const reading = useRef(new AbortController());

  const read = useCallback(
    async (/** @type {string | null} */ cursor) => {
      const { signal } = reading.current;
      setState((state) => ({ ...state, isReading: true, isTired: false }));
      const since = new Date().toISOString();
      try {
        const page = await readOn((cursor) => get(pageOf(list, cursor), { signal }), cursor);
        if (signal.aborted) return;
        const { next_cursor: next, isTired, items } = page;
        setState((state) => ({
          ...(cursor === null ? { ...EMPTY, list, since } : state),
          items: cursor === null ? items : merge(state.items ?? [], items),
          cursor: next,
          isReading: false,
          isTired,
          error: undefined,
        }));
      } catch (error) {
        if (!signal.aborted) setState((state) => ({ ...state, list, isReading: false, error }));
      }
    },
    [list],
  );
  useEffect(() => {
    const ended = new AbortController();
    reading.current = ended;
    if (latest.current.list !== list) setState({ list, ...EMPTY });
    read(null);
    return () => ended.abort();
  }, [read, round]);

  const isRead = state.list === list && state.items !== undefined;
  const held = useRef(isHeld);
  held.current = isHeld;
  useEffect(() => {
    if (!isLive || !isRead) return;
    return repeat(async (signal) => {
      const { items, since, isReading } = latest.current;
      // It would find the same hole again while the list is read for it.
      if (isReading) return true;
      const from = tailFrom(items, since, parameters.from);
      try {
        const found = await get(withParameters("calls", { limit: PAGE, ...parameters, from }), {
          signal,
        });
        if (!signal.aborted) setState((state) => withNew(state, found, held.current));
        return true;
      } catch (error) {
        if (!signal.aborted) setState((state) => ({ ...state, error }));
        return false;
      }
    }, LIVE_S);
  }, [isLive, isRead, list, round]);
  useEffect(() => {
    if (isHeld) return;
    if (state.hasHole) refresh();
    else if (state.waiting.length > 0) setState(release);
  }, [isHeld, state.hasHole, state.waiting]);

  const current = state.list === list ? state : { ...EMPTY, list };
  const more = useCallback(() => {
    const { cursor, isReading } = latest.current;
    if (cursor !== null && !isReading) read(cursor);
  }, [read]);
  return { ...current, hasMore: current.cursor !== null, more, refresh };
}

/**
 * @template {typeof EMPTY} S
 * @param {S} state
 * @param {Page} found
 * @param {boolean} isHeld
 * @returns {S}
 */
export function withNew(state, found, isHeld) {
  const { fresh, hasHole } = newIn(state.items ?? [], found);
  const isSame = fresh.length === state.waiting.length && !hasHole && !state.error;
  if (isSame && (isHeld || fresh.length === 0)) return state;
  if (isHeld || hasHole) return { ...state, error: undefined, waiting: fresh, hasHole };
  return { ...state, error: undefined, items: merge(state.items ?? [], fresh), waiting: [] };
}

/**
 * @template {typeof EMPTY} S
 * @param {S} state
 * @returns {S}
 */
function release(state) {
  return { ...state, items: merge(state.items ?? [], state.waiting), waiting: [] };
}
