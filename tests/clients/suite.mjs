// Shared by all Node suites: runs checks one by one and prints one line for each.

import assert from "node:assert";

// One pixel.
export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const PDF = Buffer.from("%PDF-1.4\n%%EOF\n").toString("base64");

/** Runs every check and prints `ok` or the error. Stack traces go to stderr. `failed` follows a failure. */
export async function run(checks, failed = async () => {}) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`${name}\tok`);
    } catch (error) {
      const message = `${error.name}: ${error.message}`.replaceAll("\t", " ").split("\n")[0].slice(0, 160);
      console.log(`${name}\t${message}`);
      console.error(error);
      await failed(name);
    }
  }
  // Do not wait for connections that clients keep open.
  process.exit();
}

/** Returns the error of this class with which a call must fail. */
export async function raised(kind, call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof kind, `${error.name}: ${error.message}`);
    return error;
  }
  throw new Error("no error");
}
