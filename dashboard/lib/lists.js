// Lists that people write in one field.

/**
 * The parts of a text between commas, semicolons or line breaks.
 *
 * @param {unknown} text
 */
export function partsOf(text) {
  const parts = String(text ?? "").split(/[,;\n，；、]/);
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

/**
 * A time of an `<input type="datetime-local">`, which is in the viewer's zone, as the API wants it;
 * `null` for an empty one.
 *
 * @param {unknown} text
 */
export function timeOf(text) {
  const time = new Date(String(text ?? ""));
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}

/**
 * A time for an `<input type="datetime-local">`.
 *
 * @param {string | number | null | undefined} time
 */
export function toLocalInput(time) {
  if (time === null || time === undefined) return "";
  const date = new Date(time);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

/**
 * A whole number; `null` for an empty text.
 *
 * @param {unknown} text
 */
export function numberOf(text) {
  const trimmed = String(text ?? "").trim();
  return trimmed === "" ? null : Number(trimmed);
}
