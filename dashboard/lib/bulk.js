// Requests about many things, a few at a time.

const AT_A_TIME = 4;
/** How many keys a request tests. */
const TESTED_AT_ONCE = 20;

/**
 * Runs `act` for each item, a few at a time, and goes on after failures. `onDone` is called after
 * each. Once `signal` is aborted, no more are begun; `left` has those that were not.
 *
 * @template T
 * @param {T[]} items
 * @param {(item: T) => Promise<unknown>} act
 * @param {(progress: {done: number, failures: {item: T, error: Error}[]}) => void} onDone
 * @param {AbortSignal} [signal]
 */
export async function forEach(items, act, onDone, signal) {
  /** @type {{item: T, error: Error}[]} */
  const failures = [];
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < items.length && !signal?.aborted) {
      const item = items[next];
      next += 1;
      try {
        await act(item);
      } catch (error) {
        failures.push({ item, error });
      }
      done += 1;
      onDone({ done, failures });
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, items.length) }, work));
  return { done, failures, left: items.slice(next) };
}

/**
 * Tests keys, several with each request. `onTested` gets all results so far after each. Once `signal`
 * is aborted, no more are begun.
 *
 * @template {{id: number, outcome: string | null}} R
 * @param {number[]} ids
 * @param {(body: {ids: number[], cursor?: string}) => Promise<{items: R[], next_cursor: string | null}>} post
 * @param {(results: R[]) => void} onTested
 * @param {AbortSignal} signal
 */
export async function testKeys(ids, post, onTested, signal) {
  /** @type {R[]} */
  let results = [];
  for (let at = 0; at < ids.length; at += TESTED_AT_ONCE) {
    const some = { ids: ids.slice(at, at + TESTED_AT_ONCE) };
    let cursor = null;
    do {
      if (signal.aborted) return;
      const page = await post(cursor === null ? some : { ...some, cursor });
      results = results.concat(page.items);
      cursor = page.next_cursor;
      onTested(results);
    } while (cursor !== null);
  }
}
