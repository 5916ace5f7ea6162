// Requests to the admin API. Sessions are cookies, so that no script sees a token.

const ADMIN = "admin/api/v1/";

/** An error that the pool answered with, or that kept the request from being answered. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 if there was no answer
   * @param {string} code of docs/errors.md; `unreachable` if there was no answer
   * @param {string} detail for the operator
   * @param {string | null} [param] the parameter at fault, such as `models[1]`
   */
  constructor(status, code, detail, param = null) {
    super(detail);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

/** What is called when a request finds that there is no session (any more). */
let onSignedOut = (/** @type {ApiError} */ _error) => {};

/** @param {(error: ApiError) => void} listener */
export function whenSignedOut(listener) {
  onSignedOut = listener;
}

/**
 * The path of a request with its parameters; those without a value are left out.
 *
 * @param {string} path below `/admin/api/v1/`, or from `/` on
 * @param {Record<string, unknown>} [parameters]
 */
export function withParameters(path, parameters = {}) {
  const present = Object.entries(parameters).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  const query = new URLSearchParams(present.map(([name, value]) => [name, String(value)]));
  return present.length === 0 ? path : `${path}?${query}`;
}

/** The address of a path, relative to the page, which a proxy may serve below a prefix. */
export function urlOf(/** @type {string} */ path) {
  return path.startsWith("/") ? path.slice(1) : ADMIN + path;
}

/**
 * The text of a successful response. The browser keeps responses and asks whether they have changed
 * (`ETag`), so that an unchanged one costs a 304.
 *
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<string>}
 */
export async function requestText(path, init = {}) {
  let response;
  let text;
  try {
    response = await fetch(urlOf(path), { credentials: "same-origin", ...init });
    text = await response.text();
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "");
  }
  if (response.ok) return text;
  const error = errorOf(response.status, text);
  if (error.status === 401) onSignedOut(error);
  throw error;
}

/**
 * The error in a response: a problem as in RFC 9457, an error of OpenAI's form, or whatever a proxy
 * says.
 *
 * @param {number} status
 * @param {string} text
 */
export function errorOf(status, text) {
  try {
    const body = JSON.parse(text);
    const { code, detail, message, param } = body.error ?? body;
    return new ApiError(status, code ?? "unknown", detail ?? message ?? "", param ?? null);
  } catch {
    return new ApiError(status, "unknown", text.slice(0, 200));
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
export async function get(path, init) {
  return JSON.parse(await requestText(path, init));
}

/**
 * Makes a change. `body` is sent as JSON, unless it is a text.
 *
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 */
export async function send(method, path, body, headers = {}) {
  const json = typeof body === "string" ? body : JSON.stringify(body);
  const text = await requestText(path, { method, body: json, headers });
  return text === "" ? null : JSON.parse(text);
}

/** The session; an error that tells why there is none. */
export async function readSession() {
  const session = await get("session");
  if (session.permission === null) throw new ApiError(401, session.code, "");
  return session;
}

/**
 * Begins a session with an operator's token.
 *
 * @param {string} token
 */
export function signIn(token) {
  return send("POST", "session", undefined, { authorization: `Bearer ${token}` });
}
