// The names of keys and tokens, for lists that refer to them by id.

import { useMemo } from "../vendor/hooks.js";
import { usePoll } from "./poll.js";

/** Names change rarely, in seconds. */
const EVERY_S = 300;

/**
 * The names of the first 1,000 keys and tokens by their ids.
 *
 * @returns {{keys: Map<number, string>, tokens: Map<number, string>}}
 */
export function useNames() {
  const keys = usePoll("keys?limit=1000", EVERY_S);
  const tokens = usePoll("tokens?limit=1000", EVERY_S);
  return {
    keys: useMemo(() => namesOf(keys.data?.items), [keys.data]),
    tokens: useMemo(() => namesOf(tokens.data?.items), [tokens.data]),
  };
}

/** @param {{id: number, name: string | null}[]} [items] */
function namesOf(items = []) {
  return new Map(items.map(({ id, name }) => [id, name ?? `#${id}`]));
}
