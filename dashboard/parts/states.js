// What is shown instead of values: that they are loading, that there are none, or why they cannot be
// read.

import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";

/** Shows the data of `usePoll` or `usePages` with `children`, a function, once there is some. */
export function Loaded({ of, children, lines = 4 }) {
  const data = "data" in of ? of.data : of.items;
  if (data === undefined) {
    return of.error
      ? html`<${ErrorState} error=${of.error} retry=${of.refresh} />`
      : html`<${Loading} lines=${lines} />`;
  }
  return html`${of.error && html`<${Stale} error=${of.error} retry=${of.refresh} />`}
  ${children(data)}`;
}

export function Loading({ lines = 4 }) {
  return html`<div class="loading" role="status">
    <span class="hidden">${t("loading")}</span>
    ${Array.from({ length: lines }, (_, line) => html`<div class="line" key=${line}></div>`)}
  </div>`;
}

export function Empty({ children }) {
  return html`<div class="empty">${children}</div>`;
}

/** @param {Error & {code?: string, status?: number}} error */
export function errorText(error) {
  if (error.code === "unreachable") return t("error.unreachable");
  if (error.code === "session_ended") return t("error.session_ended");
  return error.message || t("error.status", { status: String(error.status) });
}

export function ErrorState({ error, retry }) {
  return html`<div class="failed" role="alert">
    <p>${errorText(error)}</p>
    ${error.code !== "unreachable" && html`<p class="muted">${error.code}</p>`}
    ${retry && html`<button type="button" onClick=${retry}>${t("retry")}</button>`}
  </div>`;
}

/** What is shown is not up to date. */
export function Stale({ error, retry }) {
  return html`<div class="stale" role="status">
    ${t("stale")} ${errorText(error)}
    <button type="button" class="link" onClick=${retry}>${t("retry")}</button>
  </div>`;
}
