// What operators have changed through the API.

import {
  ACTIONS,
  changedMembers,
  isTime,
  parseSubject,
  shortValue,
  stateOf,
  subjectOf,
} from "../lib/audit.js";
import { dateTime } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { usePages } from "../lib/pages.js";
import { useSettled } from "../lib/poll.js";
import { linkTo, replaceQuery } from "../lib/route.js";
import { Search, Select, Time } from "../parts/basics.js";
import { Dialog } from "../parts/dialog.js";
import { Empty, Loaded } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { useState } from "../vendor/hooks.js";

export function AuditTab({ route }) {
  const { action = "", subject = "" } = route.query;
  const [search, setSearch] = useState(subject);
  const [shown, setShown] = useState(null);
  const entries = usePages("audit", { action, subject }, 10);
  useSettled(search, 400, (text) => replaceQuery(route, { subject: subjectOf(text) }));
  return html`<p class="lead muted">${t("audit.lead")}</p>
    <div class="filters">
      <${Search} label=${t("audit.subject_search")} value=${search} onChange=${setSearch} />
      <${Select}
        label=${t("audit.action")}
        value=${action}
        options=${[["", t("audit.all_actions")], ...ACTIONS.map((name) => [name, named("audit.does", name)])]}
        onChange=${(action) => replaceQuery(route, { action })}
      />
    </div>
    <${Loaded} of=${entries} lines=${8}>
      ${(items) =>
        items.length === 0
          ? html`<div class="card"><${Empty}>${action || subject ? t("audit.none_found") : t("audit.none")}<//></div>`
          : html`<${Table}
              label=${t("settings.tab_audit")}
              columns=${columnsOf(setShown)}
              rows=${items}
              keyOf=${(entry) => entry.id}
              onEnd=${entries.more}
              hasMore=${entries.hasMore}
            />`}
    <//>
    ${shown && html`<${Details} entry=${shown} onClose=${() => setShown(null)} />`}`;
}

function columnsOf(show) {
  return [
    { id: "at", title: t("time"), cell: ({ at }) => html`<${Time} at=${at} />` },
    { id: "action", title: t("audit.action"), cell: ({ action }) => named("audit.does", action) },
    {
      id: "subject",
      title: t("audit.subject"),
      cell: (entry) => html`<${Subject} entry=${entry} />`,
    },
    {
      id: "changes",
      title: t("audit.changes"),
      class: "clip",
      cell: (entry) => html`<${Changes} entry=${entry} show=${() => show(entry)} />`,
    },
    {
      id: "actor",
      title: t("audit.actor"),
      class: "wide-only",
      cell: ({ actor }) => html`<code>${actor ?? "–"}</code>`,
    },
  ];
}

/** What was changed, with a link to it while it is there. */
function Subject({ entry }) {
  const { subject, action, before, after } = entry;
  const parsed = parseSubject(subject);
  if (!parsed) return html`<code>${subject ?? "–"}</code>`;
  const name = (after ?? before)?.name ?? "";
  const text = html`<code>${subject}</code> ${name && html`<span class="muted">${name}</span>`}`;
  if (action?.startsWith("delete_")) return text;
  const link =
    parsed.kind === "key"
      ? linkTo(["keys", parsed.id])
      : linkTo(["tokens"], { q: after?.prefix ?? name });
  return html`<a href=${link}>${text}</a>`;
}

/** The changes in one line; all of them in a dialog. */
function Changes({ entry, show }) {
  const changes = changedMembers(entry.before, entry.after);
  if (changes.length === 0) return html`<span class="muted">${t("audit.no_change")}</span>`;
  return html`<button type="button" class="link changes" onClick=${show}>
    ${changes.map(
      ({ member, before, after }) => html`<span key=${member}>
        <b>${member}</b> ${entry.before && html`<${Was} member=${member} value=${before} /> → `}<${Is} member=${member} value=${after} />
      </span>`,
    )}
  </button>`;
}

function Was({ member, value }) {
  const text = textOf(member, value);
  return text === null ? html`<span class="muted">${t("none")}</span>` : html`<del>${text}</del>`;
}

function Is({ member, value }) {
  const text = textOf(member, value);
  return text === null ? html`<span class="muted">${t("none")}</span>` : html`<ins>${text}</ins>`;
}

/** A value in words: states by name, and times in the viewer's zone. */
function textOf(member, value) {
  const state = member === "status" ? stateOf(value) : null;
  if (state) return named("state", state);
  return isTime(value) ? dateTime(value) : shortValue(value);
}

function Details({ entry, onClose }) {
  const title = `${named("audit.does", entry.action)}: ${entry.subject}`;
  return html`<${Dialog} title=${title} onClose=${onClose} wide>
    <div class="body">
      <dl class="facts">
        <dt>${t("time")}</dt>
        <dd><${Time} at=${entry.at} style="long" /></dd>
        <dt>${t("audit.actor")}</dt>
        <dd><code>${entry.actor ?? "–"}</code></dd>
        <dt>${t("audit.request")}</dt>
        <dd><code>${entry.request_id ?? "–"}</code></dd>
      </dl>
      <div class="scroll above" tabindex="0" role="region" aria-label=${t("audit.changes")}>
        <table class="diff">
          <caption class="hidden">
            ${t("audit.changes")}
          </caption>
          <thead>
            <tr>
              <th scope="col">${t("audit.member")}</th>
              <th scope="col">${t("audit.before")}</th>
              <th scope="col">${t("audit.after")}</th>
            </tr>
          </thead>
          <tbody>
            ${changedMembers(entry.before, entry.after).map(
              ({ member, before, after }) => html`<tr key=${member}>
                <th scope="row">${member}</th>
                <td><${Was} member=${member} value=${before} /></td>
                <td><${Is} member=${member} value=${after} /></td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </div>
  <//>`;
}
