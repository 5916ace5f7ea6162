// The form for an operator's token.

import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Field } from "../parts/basics.js";
import { errorText } from "../parts/states.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";

/** `reason` is the error that led here; `onToken` begins a session, or throws. */
export function SignInView({ reason, preferences, onToken }) {
  const [error, setError] = useState(reason.code === "missing_operator_token" ? null : reason);
  const [isBusy, setBusy] = useState(false);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    document.title = `${t("sign_in.title")} · Gemini Keypool`;
    input.current?.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await onToken(input.current.value.trim());
    } catch (error) {
      setError(error);
      setBusy(false);
      input.current?.select();
    }
  };
  return html`<main class="alone">
    <div class="card">
      <h1>${t("sign_in.title")}</h1>
      <form onSubmit=${submit}>
        <${Field} label=${t("sign_in.token")} hint=${t("sign_in.hint")} error=${error && errorText(error)}>
          <input ref=${input} type="password" autocomplete="current-password" required />
        <//>
        <div class="actions">
          <button type="submit" class="primary" disabled=${isBusy}>${t("sign_in.submit")}</button>
          ${preferences}
        </div>
      </form>
    </div>
  </main>`;
}
