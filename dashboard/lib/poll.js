// Values that are read again and again while a view shows them. A hidden tab makes no requests.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "../vendor/hooks.js";
import { requestText } from "./api.js";

/** The latest text of each path, so that a view that is opened again has something to show. */
const latest = new Map();
const MAX_REMEMBERED = 50;
const LONGEST_PAUSE_S = 60;
/** How long nobody has typed until a text is sent. */
const SETTLED_MS = 300;

/**
 * How long to wait after so many failures in a row, in seconds.
 *
 * @param {number} seconds
 * @param {number} failures
 */
export function pauseAfter(seconds, failures) {
  return Math.min(seconds * 2 ** Math.min(failures, 10), Math.max(LONGEST_PAUSE_S, seconds));
}

/**
 * Calls `read` now, and then every so many seconds while the tab is visible, and once it becomes
 * visible again. `read` resolves to whether it succeeded. Returns a function that ends it.
 *
 * @param {(signal: AbortSignal) => Promise<boolean>} read
 * @param {number} seconds
 */
export function repeat(read, seconds) {
  const ended = new AbortController();
  let failures = 0;
  let timer = 0;
  let isReading = false;
  const run = async () => {
    clearTimeout(timer);
    if (ended.signal.aborted || document.hidden || isReading) return;
    isReading = true;
    failures = (await read(ended.signal)) ? 0 : failures + 1;
    isReading = false;
    timer = setTimeout(run, pauseAfter(seconds, failures) * 1000);
    if (ended.signal.aborted) clearTimeout(timer);
  };
  document.addEventListener("visibilitychange", run, { signal: ended.signal });
  run();
  return () => {
    clearTimeout(timer);
    ended.abort();
  };
}

/**
 * The value at a path of the API, read again every so many seconds.
 *
 * `data` is `undefined` until there is one. If reading fails later, it stays, with `error` beside it.
 *
 * @template T
 * @param {string | null} path `null` for nothing
 * @param {number} seconds
 * @returns {{data: T | undefined, error: import("./api.js").ApiError | undefined, refresh: () => void}}
 */
export function usePoll(path, seconds) {
  const [state, setState] = useState(() => stateOf(path));
  const [round, setRound] = useState(0);
  // Before the page is painted, so that it is read meanwhile.
  useLayoutEffect(() => {
    if (path === null) return;
    setState((state) => (state.path === path ? state : stateOf(path)));
    return repeat(async (signal) => {
      try {
        const text = await requestText(path, { signal });
        if (signal.aborted) return true;
        remember(path, text);
        setState((state) =>
          state.path === path && state.text === text && !state.error
            ? state
            : { path, text, data: JSON.parse(text), error: undefined },
        );
        return true;
      } catch (error) {
        if (!signal.aborted) {
          setState((state) => ({ ...(state.path === path ? state : stateOf(path)), error }));
        }
        return false;
      }
    }, seconds);
  }, [path, seconds, round]);
  const refresh = useCallback(() => setRound((round) => round + 1), []);
  // The state of another path lasts until the effect has run.
  const current = state.path === path ? state : stateOf(path);
  return { data: current.data, error: current.error, refresh };
}

/** Forgets all values: they belong to the session that has ended. */
export function forgetValues() {
  latest.clear();
}

/** @param {string | null} path */
function stateOf(path) {
  const text = latest.get(path);
  const data = text === undefined ? undefined : JSON.parse(text);
  return { path, text, data, error: undefined };
}

/**
 * @param {string} path
 * @param {string} text
 */
function remember(path, text) {
  latest.delete(path);
  latest.set(path, text);
  if (latest.size > MAX_REMEMBERED) latest.delete(latest.keys().next().value);
}

/**
 * The current time in milliseconds, every so many seconds, for what depends on it.
 *
 * @param {number} seconds
 */
export function useNow(seconds) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(
    () =>
      repeat(async () => {
        setNow(Date.now());
        return true;
      }, seconds),
    [seconds],
  );
  return now;
}

/**
 * Calls `act` once `value` has not changed for so many milliseconds, such as while somebody types.
 *
 * @template T
 * @param {T} value
 * @param {number} milliseconds
 * @param {(value: T) => void} act
 */
export function useSettled(value, milliseconds, act) {
  const latestAct = useRef(act);
  latestAct.current = act;
  const isFirst = useRef(true);
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return;
    }
    const timer = setTimeout(() => latestAct.current(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
}

/**
 * The text of a field whose value is in the route: sent once it is settled, and set when the value
 * changes otherwise, such as by a link.
 *
 * @param {string} value
 * @param {(text: string) => void} send gets the text without blanks around it
 * @returns {[string, (text: string) => void]}
 */
export function useField(value, send) {
  const [text, setText] = useState(value);
  const known = useRef(value);
  useEffect(() => {
    if (value !== known.current) {
      known.current = value;
      setText(value);
    }
  }, [value]);
  useSettled(text, SETTLED_MS, (text) => {
    const trimmed = text.trim();
    if (trimmed !== known.current) {
      known.current = trimmed;
      send(trimmed);
    }
  });
  return [text, setText];
}
