// Every setting in force.

import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { usePoll, useSettled } from "../lib/poll.js";
import { replaceQuery } from "../lib/route.js";
import {
  bytesOf,
  groupSettings,
  matchesSearch,
  SECRET_SETTINGS,
  variableOf,
} from "../lib/settings.js";
import { Card, Search, Select } from "../parts/basics.js";
import { Empty, Loaded } from "../parts/states.js";
import { useState } from "../vendor/hooks.js";

export function SettingsTab({ route }) {
  const { q = "", only = "" } = route.query;
  const [search, setSearch] = useState(q);
  const settings = usePoll("settings", 60);
  useSettled(search, 250, (q) => replaceQuery(route, { q }));
  const isShown = (setting) =>
    (only !== "set" || !setting.is_default) &&
    matchesSearch(setting, named("setting", setting.name), search);
  return html`<${Loaded} of=${settings} lines=${8}>
    ${({ items, warnings }) => {
      const groups = groupSettings(items.filter(isShown));
      return html`<${Warnings} warnings=${warnings} />
        <p class="lead muted">${t("settings.lead")}</p>
        <div class="filters">
          <${Search} label=${t("settings.search")} value=${search} onChange=${setSearch} />
          <${Select}
            label=${t("settings.which")}
            value=${only}
            options=${[
              ["", t("settings.all", { n: items.length })],
              [
                "set",
                t("settings.only_set", { n: items.filter((item) => !item.is_default).length }),
              ],
            ]}
            onChange=${(only) => replaceQuery(route, { only })}
          />
        </div>
        ${groups.map(
          ({
            group,
            settings,
          }) => html`<${Card} key=${group} title=${named("settings.group", group)}>
            <dl class="settings">
              ${settings.map((setting) => html`<${Setting} key=${setting.name} setting=${setting} />`)}
            </dl>
          <//>`,
        )}
        ${groups.length === 0 && html`<div class="card"><${Empty}>${t("settings.none_found")}<//></div>`}`;
    }}
  <//>`;
}

function Warnings({ warnings }) {
  if (warnings.length === 0) return null;
  return html`<section class="card warnings">
    <h2>⚠ ${t("settings.warnings", { n: warnings.length })}</h2>
    <ul>
      ${warnings.map((warning) => html`<li key=${warning}>${warning}</li>`)}
    </ul>
  </section>`;
}

function Setting({ setting }) {
  const { name, is_default: isDefault } = setting;
  return html`<div>
    <dt>
      <b><code>${name}</code></b>
      <p>${named("setting", name)}</p>
    </dt>
    <dd>
      <div class="value">
        <span class=${`badge ${isDefault ? "" : "set"}`}>
          ${isDefault ? t("settings.default") : t("settings.set")}
        </span>
        <${Value} setting=${setting} />
      </div>
      <small><code class="variable">${variableOf(name)}</code></small>
    </dd>
  </div>`;
}

function Value({ setting }) {
  const { name, value, is_set: isSet } = setting;
  if (SECRET_SETTINGS.includes(name)) {
    return html`<span class="muted">${isSet ? t("settings.secret") : t("settings.not_set")}</span>`;
  }
  if (value === null) return html`<span class="muted">${t("settings.not_set")}</span>`;
  const size = name.endsWith("_bytes") ? bytesOf(value) : null;
  return html`<code>${value}</code> ${size && html`<small>${size}</small>`}`;
}
