// What the suites of all Node clients share: checks that are run one by one, and told in a line each.

import assert from "node:assert";

// One pixel.
export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/** Runs every check. A line says `ok` or how it failed; where it failed goes to the terminal. */
export async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`${name}\tok`);
    } catch (error) {
      const said = `${error.name}: ${error.message}`.replaceAll("\t", " ").split("\n")[0].slice(0, 160);
      console.log(`${name}\t${said}`);
      console.error(error);
    }
  }
  // What a client keeps open for later is not waited for.
  process.exit();
}

/** The error of this class that a call must end in. */
export async function raised(kind, call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof kind, `${error.name}: ${error.message}`);
    return error;
  }
  throw new Error("no error");
}
