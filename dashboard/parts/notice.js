// Short messages about what was done, for all to see and for screen readers to say.

import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { useEffect, useState } from "../vendor/hooks.js";

const SHOWN_MS = 6000;

/** @type {(notice: {text: string, tone: "good" | "bad"}) => void} */
let show = () => {};

/**
 * @param {string} text
 * @param {"good" | "bad"} [tone]
 */
export function notify(text, tone = "good") {
  show({ text, tone });
}

export function Notices() {
  const [notice, setNotice] = useState(null);
  useEffect(() => {
    show = setNotice;
  }, []);
  useEffect(() => {
    // What went wrong stays until the next notice, or until it is closed.
    if (!notice || notice.tone === "bad") return;
    const timer = setTimeout(() => setNotice(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [notice]);
  return html`<div class="notices" role="status">
    ${
      notice &&
      html`<p class=${notice.tone}>
        ${notice.text}
        ${
          notice.tone === "bad" &&
          html`<button type="button" class="quiet" aria-label=${t("close")} onClick=${() => setNotice(null)}>✕</button>`
        }
      </p>`
    }
  </div>`;
}
