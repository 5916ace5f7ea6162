// The same request for many things, a few at a time.

const AT_A_TIME = 4;

/**
 * Runs `act` for each item, a few at a time, and goes on after failures. `onDone` is called after
 * each. Once `signal` is aborted, no more are begun.
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
  return { done, failures };
}
