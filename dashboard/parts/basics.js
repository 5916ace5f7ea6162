// Small parts that every view uses.

import { dateTime, relative, shortTime } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { faultOf } from "../lib/outcomes.js";
import { useNow } from "../lib/poll.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";

/** A time, with its date and time zone on hover. */
export function Time({ at, style = "short" }) {
  const now = useNow(10);
  if (!at) return html`<span>–</span>`;
  const text = { short: shortTime, long: dateTime, relative }[style](at, now);
  return html`<time datetime=${at} title=${dateTime(at)}>${text}</time>`;
}

const STATE_ICONS = { active: "●", cooling: "◐", disabled: "○", expired: "○" };

/** The state of a key or token; the sign distinguishes states without colours. */
export function State({ of }) {
  const state = of ?? "unknown";
  return html`<span class="badge state-${state}">
    <span aria-hidden="true">${STATE_ICONS[state] ?? "?"}</span> ${named("state", state)}
  </span>`;
}

export function Outcome({ of }) {
  if (!of) return html`<span>–</span>`;
  return html`<span class="badge outcome-${faultOf(of)}" title=${of}>${named("outcome", of)}</span>`;
}

/** A section with a heading. `aside` is shown beside the heading. */
export function Card({ title, aside, children, class: name = "" }) {
  return html`<section class="card ${name}">
    ${title && html`<header><h2>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</header>`}
    ${children}
  </section>`;
}

/** The heading of a view, with what can be done there. */
export function Heading({ title, children }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${title} · Gemini Keypool`;
  }, [title]);
  useEffect(() => {
    // The link that led here is gone, and with it the focus; that of a menu is far from the view.
    const { activeElement: focused } = document;
    if (focused === document.body || focused?.closest("nav")) {
      heading.current?.focus({ preventScroll: true });
    }
  }, []);
  return html`<div class="heading">
    <h1 tabindex="-1" ref=${heading}>${title}</h1>
    <div class="actions">${children}</div>
  </div>`;
}

/** One figure with its name. */
export function Figure({ name, value, note, tone = "" }) {
  return html`<div class="figure ${tone}">
    <dt>${name}</dt>
    <dd>
      <b>${value}</b>
      ${note && html`<small>${note}</small>`}
    </dd>
  </div>`;
}

/** How much of something is used or, with `isLeft`, left. */
export function Gauge({ used, limit, label, text, isLeft = false }) {
  const share = limit > 0 ? Math.min(used / limit, 1) : isLeft ? 0 : 1;
  const spent = isLeft ? 1 - share : share;
  const tone = spent >= 1 ? "bad" : spent >= 0.8 ? "warn" : "good";
  return html`<div
    class="gauge ${tone}"
    role="meter"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax=${limit}
    aria-valuenow=${Math.min(used, limit)}
    aria-valuetext=${text}
  >
    <span style=${{ width: `${share * 100}%` }}></span>
  </div>`;
}

/** A text to copy, such as a command or a new token. `onCopied` learns that it was copied. */
export function Copyable({ text, label, onCopied = () => {} }) {
  const [isCopied, setCopied] = useState(false);
  const code = useRef(null);
  const copy = async () => {
    const isDone = await copyText(text, code.current);
    setCopied(isDone);
    if (isDone) onCopied();
  };
  return html`<div class="copyable">
    <code ref=${code} aria-label=${label}>${text}</code>
    <button type="button" onClick=${copy}>${isCopied ? t("copied") : t("copy")}</button>
  </div>`;
}

/**
 * Copies a text. Without TLS, browsers have no clipboard for pages of other machines, so the text is
 * selected and copied as if by the keyboard.
 *
 * @param {string} text
 * @param {HTMLElement | null} element that shows the text
 */
async function copyText(text, element) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not permitted: select it instead.
    }
  }
  if (!element) return false;
  getSelection()?.selectAllChildren(element);
  return document.execCommand("copy");
}

/** A field with its label, a hint, and what is wrong with its value. */
export function Field({ label, hint, error, children }) {
  return html`<label class="field">
    <span>${label}</span>
    ${children} ${hint && html`<small>${hint}</small>`}
    ${error && html`<small class="error" role="alert">${error}</small>`}
  </label>`;
}

/** A choice of a few values. `options` are pairs of a value and its name. */
export function Select({ label, value, options, onChange }) {
  return html`<label class="select">
    <span class="hidden">${label}</span>
    <select value=${value} onChange=${(event) => onChange(event.currentTarget.value)}>
      ${options.map(([value, name]) => html`<option value=${value}>${name}</option>`)}
    </select>
  </label>`;
}

/** A text to search for or filter by. */
export function Search({ label, value, onChange, list }) {
  return html`<label class="search">
    <span class="hidden">${label}</span>
    <input
      type="search"
      placeholder=${label}
      value=${value}
      list=${list}
      onInput=${(event) => onChange(event.currentTarget.value)}
    />
  </label>`;
}
