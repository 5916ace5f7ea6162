// What is in force, how keys are stored, and what operators have changed.

import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { linkTo } from "../lib/route.js";
import { Heading } from "../parts/basics.js";
import { AuditTab } from "./settings_audit.js";
import { EncryptionTab } from "./settings_encryption.js";
import { SettingsTab } from "./settings_list.js";

const TABS = {
  settings: { title: "settings.tab_settings", view: SettingsTab },
  encryption: { title: "settings.tab_encryption", view: EncryptionTab },
  audit: { title: "settings.tab_audit", view: AuditTab },
};

export default function SettingsView({ route }) {
  const shown = route.query.tab in TABS ? route.query.tab : "settings";
  const Tab = TABS[shown].view;
  return html`<${Heading} title=${t("nav.settings")} />
    <nav class="tabs" aria-label=${t("nav.settings")}>
      ${Object.entries(TABS).map(
        ([name, { title }]) => html`<a
          key=${name}
          href=${linkTo(["settings"], { tab: name })}
          aria-current=${name === shown ? "page" : undefined}
          >${t(/** @type {import("../lib/i18n.js").Key} */ (title))}</a
        >`,
      )}
    </nav>
    <${Tab} key=${shown} route=${route} />`;
}
