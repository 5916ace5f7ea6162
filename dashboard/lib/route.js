// Where in the dashboard a link leads. Routes are in the fragment, such as `#/keys/3?tab=calls`, so
// that the pool serves one page whatever the path before it is.

import { useLayoutEffect, useState } from "../vendor/hooks.js";

/**
 * @typedef {object} Route
 * @property {string[]} path the segments; none for the first view
 * @property {Record<string, string>} query
 */

/**
 * @param {string} fragment
 * @returns {Route}
 */
export function parseRoute(fragment) {
  const [path, query = ""] = fragment.replace(/^#?\/?/, "").split("?", 2);
  const segments = path.split("/").filter((segment) => segment !== "");
  return {
    path: segments.map(decode),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

/**
 * The fragment of a route. Parameters without a value are left out.
 *
 * @param {(string | number)[]} path
 * @param {Record<string, unknown>} [query]
 */
export function linkTo(path, query = {}) {
  const present = Object.entries(query).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  const parameters = new URLSearchParams(present.map(([name, value]) => [name, String(value)]));
  const segments = path.map((segment) => encodeURIComponent(segment)).join("/");
  return `#/${segments}${present.length === 0 ? "" : `?${parameters}`}`;
}

/** @param {string} segment */
function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The current route, and again after each change. */
export function useRoute() {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  // Not a later effect, before which the route may change.
  useLayoutEffect(() => {
    const listen = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", listen);
    return () => removeEventListener("hashchange", listen);
  }, []);
  return route;
}

/**
 * Changes parameters of the current route, such as a filter, without a step in the history.
 *
 * @param {Route} route
 * @param {Record<string, unknown>} changes
 */
export function replaceQuery(route, changes) {
  history.replaceState(null, "", linkTo(route.path, { ...route.query, ...changes }));
  dispatchEvent(new HashChangeEvent("hashchange"));
}
