// What an entry of the audit log says.

/**
 * @typedef {object} AuditEntry
 * @property {number} id
 * @property {string | null} at
 * @property {string | null} actor
 * @property {string | null} action
 * @property {string | null} subject
 * @property {unknown} before
 * @property {unknown} after
 * @property {string | null} request_id
 */

/** The actions that the pool records. */
export const ACTIONS = [
  "add_keys",
  "edit_key",
  "pause_key",
  "disable_key",
  "enable_key",
  "reset_key",
  "delete_key",
  "drill_key",
  "set_limits",
  "create_token",
  "edit_token",
  "disable_token",
  "enable_token",
  "rotate_token",
  "delete_token",
];

/**
 * The members in which two objects differ, with those of `before` first. `undefined` stands for a
 * member that is missing; a missing member and `null` are the same.
 *
 * @param {unknown} before
 * @param {unknown} after
 * @returns {{member: string, before: unknown, after: unknown}[]}
 */
export function changedMembers(before, after) {
  const old = membersOf(before);
  const now = membersOf(after);
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  return names
    .filter((name) => !isSame(old[name], now[name]))
    .map((member) => ({ member, before: old[member], after: now[member] }));
}

/** @returns {Record<string, unknown>} */
function membersOf(value) {
  if (value === null || value === undefined) return {};
  // A list, such as that of limits, is compared as a whole.
  return typeof value === "object" && !Array.isArray(value) ? value : { value };
}

function isSame(left, right) {
  return JSON.stringify(left ?? null) === JSON.stringify(right ?? null);
}

/**
 * A value in a diff, as short as it can be; `null` for none.
 *
 * @param {unknown} value
 * @returns {string | null}
 */
export function shortValue(value) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") return String(value);
  if (!Array.isArray(value)) {
    const members = Object.entries(value).map(([name, value]) => `${name}: ${shortValue(value)}`);
    return members.join(", ");
  }
  // Rows, such as limits, and lists, such as tags.
  return value.some(Array.isArray)
    ? value
        .map((row) =>
          [row]
            .flat()
            .filter((cell) => cell !== "" && cell !== null)
            .join(" "),
        )
        .join("; ")
    : value.map(shortValue).join(", ");
}

/**
 * What a subject such as `key:3` is; `null` if it is nothing that has a view.
 *
 * @param {string | null} subject
 * @returns {{kind: "key" | "token", id: number} | null}
 */
export function parseSubject(subject) {
  const match = /^(key|token):(\d+)$/.exec(subject ?? "");
  return match && { kind: /** @type {"key" | "token"} */ (match[1]), id: Number(match[2]) };
}

/**
 * What the API calls what somebody has typed: a number alone is a key.
 *
 * @param {string} text
 */
export function subjectOf(text) {
  const subject = text
    .trim()
    .toLowerCase()
    .replace(/\s*[:#\s]\s*/, ":");
  return /^\d+$/.test(subject) ? `key:${subject}` : subject;
}

/** The state of a key by its number in the database; `null` for others. */
export function stateOf(/** @type {unknown} */ status) {
  return ["disabled", "active", "cooling"][/** @type {number} */ (status)] ?? null;
}

/**
 * Whether a value is a time as the pool writes it.
 *
 * @param {unknown} value
 * @returns {value is string}
 */
export function isTime(value) {
  return typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value);
}
