// What to do where there is no operator's token yet, or no key.

import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { linkTo } from "../lib/route.js";
import { useMayChange } from "../lib/session.js";
import { Copyable } from "../parts/basics.js";

/** Nobody can sign in. */
export function NoAdminToken({ retry, preferences }) {
  return html`<main class="alone">
    <div class="card">
      <h1>${t("first.token_title")}</h1>
      <p>${t("first.token_text")}</p>
      <h2>keypool up, spin up</h2>
      <${Copyable}
        label=${t("first.command")}
        text=${'export SPIN_VARIABLE_ADMIN_TOKEN="$(openssl rand -hex 24)"\necho "$SPIN_VARIABLE_ADMIN_TOKEN"'}
      />
      <h2>SpinKube</h2>
      <${Copyable}
        label=${t("first.command")}
        text=${'TOKEN="$(openssl rand -hex 24)"\nkubectl create secret generic keypool-operator --from-literal=admin_token="$TOKEN"\necho "$TOKEN"'}
      />
      <h2>Fermyon Cloud</h2>
      <${Copyable}
        label=${t("first.command")}
        text=${'TOKEN="$(openssl rand -hex 24)"\nspin cloud variables set admin_token="$TOKEN"\necho "$TOKEN"'}
      />
      <p class="muted">${t("first.token_next")}</p>
      <div class="actions">
        <button type="button" class="primary" onClick=${retry}>${t("retry")}</button>
        ${preferences}
      </div>
    </div>
  </main>`;
}

/** There are no keys yet. */
export function NoKeys() {
  const mayChange = useMayChange();
  return html`<div class="card first">
    <h2>${t("first.keys_title")}</h2>
    <p>${t("first.keys_text")}</p>
    ${mayChange && html`<p><a class="button primary" href=${linkTo(["keys"], { add: "1" })}>${t("first.keys_add")}</a></p>`}
    <p class="muted">${t("first.keys_cli")}</p>
    <${Copyable} label=${t("first.command")} text="keypool keys import keys.txt" />
  </div>`;
}
