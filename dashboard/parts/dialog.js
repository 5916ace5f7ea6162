// Dialogs. The browser keeps the focus inside, and Escape closes them.

import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { errorText } from "./states.js";

/**
 * A dialog that is open as long as it is there. `onClose` must remove it, or may ask first: Escape
 * alone does not close it.
 */
export function Dialog({ title, onClose, children, wide = false }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  // A browser closes it at a second Escape, whatever the first led to.
  const closed = () => {
    onClose();
    setTimeout(() => dialog.current?.isConnected && dialog.current.showModal());
  };
  return html`<dialog
    ref=${dialog}
    class=${wide ? "wide" : ""}
    onCancel=${cancel}
    onClose=${closed}
    aria-label=${title}
  >
    <header>
      <h2>${title}</h2>
      <button type="button" class="quiet" aria-label=${t("close")} onClick=${onClose}>✕</button>
    </header>
    ${children}
  </dialog>`;
}

/**
 * A dialog with a form. `onSubmit` gets the form's data and resolves to whether to close; what it
 * throws is shown.
 */
export function FormDialog({
  title,
  submit,
  danger = false,
  onSubmit,
  onClose,
  children,
  wide = false,
}) {
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      if ((await onSubmit(new FormData(event.target))) !== false) onClose();
    } catch (error) {
      setError(error);
    }
    setBusy(false);
  };
  return html`<${Dialog} title=${title} onClose=${onClose} wide=${wide}>
    <form onSubmit=${send}>
      ${children}
      ${error && html`<p class="error" role="alert">${errorText(error)}</p>`}
      <footer>
        <button type="button" onClick=${onClose}>${t("cancel")}</button>
        <button type="submit" class=${danger ? "danger" : "primary"} disabled=${isBusy}>
          ${submit}
        </button>
      </footer>
    </form>
  <//>`;
}
