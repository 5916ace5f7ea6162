// The dialogs that create, edit and rotate a client token, and the one that shows it once.

import { send } from "../lib/api.js";
import { span } from "../lib/format.js";
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { toLocalInput } from "../lib/lists.js";
import { EMPTY_FORM, fieldOf, formOf, parseForm, snippetFor, TOKEN_FIELDS } from "../lib/tokens.js";
import { Copyable, Field } from "../parts/basics.js";
import { Dialog, FormDialog } from "../parts/dialog.js";
import { notify } from "../parts/notice.js";
import { errorText } from "../parts/states.js";
import { useRef, useState } from "../vendor/hooks.js";

const DAY = 86_400_000;

/** Creates a token, or edits `token`. `onDone` gets the dialog to show next. */
export function TokenForm({ token, onClose, onDone }) {
  const [before] = useState(() => (token ? formOf(token) : EMPTY_FORM));
  const [problems, setProblems] = useState(/** @type {Record<string, string>} */ ({}));
  const submit = async (data) => {
    const texts = TOKEN_FIELDS.map((field) => [field, String(data.get(field) ?? "")]);
    const values = parseForm(Object.fromEntries(texts), before);
    setProblems({});
    if (Object.keys(values).length === 0) return true;
    try {
      await save(token, values, onDone);
    } catch (/** @type {any} */ error) {
      const field = fieldOf(error.param);
      if (!field) throw error;
      setProblems({ [field]: errorText(error) });
    }
    return false;
  };
  return html`<${FormDialog}
    title=${token ? t("tokens.edit_title", { name: token.name ?? "" }) : t("tokens.create")}
    submit=${token ? t("save") : t("tokens.create_submit")}
    onSubmit=${submit}
    onClose=${onClose}
    wide
  >
    <${Fields} before=${before} problems=${problems} />
  <//>`;
}

async function save(token, values, onDone) {
  if (token) {
    await send("PATCH", `tokens/${token.id}`, values);
    notify(t("tokens.saved", { name: values.name ?? token.name ?? "" }));
    onDone();
  } else {
    onDone({ created: await send("POST", "tokens", values), isRotated: false });
  }
}

function Fields({ before, problems }) {
  const expiry = useRef(/** @type {HTMLInputElement | null} */ (null));
  const expireIn = (days) => {
    expiry.current.value = days === null ? "" : toLocalInput(Date.now() + days * DAY);
  };
  const input = (name, attributes) =>
    html`<input name=${name} defaultValue=${before[name]} autocomplete="off" aria-invalid=${name in problems} ...${attributes} />`;
  return html`<${Field} label=${t("tokens.name")} hint=${t("tokens.name_hint")} error=${problems.name}>
      ${input("name", { ref: focusFirst, required: true, maxlength: 200 })}
    <//>
    <p class="gap muted">${t("tokens.limits_hint")}</p>
    <div class="two">
      <${Field} label=${t("tokens.models")} hint=${t("tokens.models_hint")} error=${problems.models}>
        <textarea name="models" class="code" rows="3" spellcheck=${false} aria-invalid=${"models" in problems}>${before.models}</textarea>
      <//>
      <${Field} label=${t("tokens.networks")} hint=${t("tokens.networks_hint")} error=${problems.networks}>
        <textarea name="networks" class="code" rows="3" spellcheck=${false} aria-invalid=${"networks" in problems}>${before.networks}</textarea>
      <//>
      <${Field}
        label=${t("tokens.requests_per_minute")}
        hint=${t("tokens.requests_per_minute_hint")}
        error=${problems.requests_per_minute}
      >
        ${input("requests_per_minute", { inputmode: "numeric" })}
      <//>
      <${Field}
        label=${t("tokens.tokens_per_day")}
        hint=${t("tokens.tokens_per_day_hint")}
        error=${problems.tokens_per_day}
      >
        ${input("tokens_per_day", { inputmode: "text" })}
      <//>
    </div>
    <${Field} label=${t("tokens.expires_at")} hint=${t("tokens.expires_hint")} error=${problems.expires_at}>
      ${input("expires_at", { type: "datetime-local", ref: expiry })}
    <//>
    <div class="actions gap" role="group" aria-label=${t("tokens.expires_in")}>
      ${[7, 30, 90, 365].map(
        (days) => html`<button type="button" key=${days} onClick=${() => expireIn(days)}>
          ${t("tokens.in_days", { n: days })}
        </button>`,
      )}
      <button type="button" onClick=${() => expireIn(null)}>${t("tokens.never")}</button>
    </div>`;
}

/** The dialog focuses this input as it opens. As an attribute from the beginning, the page would. */
function focusFirst(/** @type {HTMLInputElement | null} */ input) {
  input?.setAttribute("autofocus", "");
}

const GRACES_S = [0, 3600, 86_400, 7 * 86_400, 30 * 86_400];

/** Replaces a token. The old one may be accepted for some time, so that clients can change. */
export function RotateForm({ token, onClose, onDone }) {
  const rotate = async (data) => {
    const body = { grace_seconds: Number(data.get("grace")) };
    const created = await send("POST", `tokens/${token.id}/rotate`, body);
    onDone({ created, isRotated: true });
    return false;
  };
  return html`<${FormDialog}
    title=${t("tokens.rotate_title", { name: token.name ?? "" })}
    submit=${t("tokens.rotate_submit")}
    onSubmit=${rotate}
    onClose=${onClose}
  >
    <p class="gap">${t("tokens.rotate_text")}</p>
    <${Field} label=${t("tokens.grace")} hint=${t("tokens.grace_hint")}>
      <select name="grace">
        ${GRACES_S.map(
          (seconds) => html`<option key=${seconds} value=${seconds} selected=${seconds === 86_400}>
            ${seconds === 0 ? t("tokens.grace_none") : span(seconds * 1000)}
          </option>`,
        )}
      </select>
    <//>
  <//>`;
}

const CLIENTS = /** @type {const} */ (["environment", "python", "claude"]);

/** A new token, for the only time. */
export function NewToken({ created, isRotated, onClose }) {
  const [isCopied, setCopied] = useState(false);
  const [client, setClient] = useState(/** @type {typeof CLIENTS[number]} */ ("environment"));
  const close = () => (isCopied || confirm(t("tokens.not_copied"))) && onClose();
  const copied = () => setCopied(true);
  const { token, models } = created;
  const snippet = snippetFor(client, { base: poolUrl(), token, models });
  return html`<${Dialog} title=${isRotated ? t("tokens.rotated_title") : t("tokens.new_title")} onClose=${close} wide>
    <div class="body" onCopy=${copied}>
      <p>${t("tokens.new_text", { name: created.name ?? "" })}</p>
      <${Copyable} text=${token} label=${t("tokens.token")} onCopied=${copied} />
      <h3 class="above">${t("tokens.snippet")}</h3>
      <div class="tabs small" role="group" aria-label=${t("tokens.snippet")}>
        ${CLIENTS.map(
          (name) => html`<button
            type="button"
            key=${name}
            aria-pressed=${name === client}
            onClick=${() => setClient(name)}
          >
            ${{ environment: t("tokens.snippet_environment"), python: "Python", claude: "Claude Code" }[name]}
          </button>`,
        )}
      </div>
      <${Copyable} key=${client} text=${snippet} label=${t("tokens.snippet")} onCopied=${copied} />
      <footer>
        <button type="button" class="primary" onClick=${close}>${t("tokens.done")}</button>
      </footer>
    </div>
  <//>`;
}

/** The address of this pool, as the operator reaches it. */
function poolUrl() {
  return new URL(".", location.origin + location.pathname).href;
}
