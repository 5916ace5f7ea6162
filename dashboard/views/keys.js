// All keys, as a table or as a heat map of their calls.

import { send } from "../lib/api.js";
import { forEach } from "../lib/bulk.js";
import { number, percent, shortTime } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { readReason } from "../lib/key_state.js";
import { OUTCOMES } from "../lib/outcomes.js";
import { usePages } from "../lib/pages.js";
import { useField, useNow, usePoll } from "../lib/poll.js";
import { linkTo, replaceQuery } from "../lib/route.js";
import { useMayChange } from "../lib/session.js";
import { Heading, Outcome, Search, Select, State, Time } from "../parts/basics.js";
import { HeatLegend, HeatRow, useActivity } from "../parts/heat_map.js";
import {
  DeleteDialog,
  DisableDialog,
  KeyDialog,
  KeyMenu,
  PauseDialog,
} from "../parts/key_actions.js";
import { notify } from "../parts/notice.js";
import { Empty, errorText, Loaded } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { useEffect, useState } from "../vendor/hooks.js";
import { NoKeys } from "./first_start.js";
import { ImportDialog } from "./import_keys.js";

export default function KeysView({ route }) {
  const { status, project, tag, q, sort = "id", show } = route.query;
  const mayChange = useMayChange();
  const keys = usePages("keys", { status, project, tag, q, sort }, 10);
  const pool = usePoll("pool", 30);
  const [selected, setSelected] = useState(() => new Set());
  const [dialog, setDialog] = useState(null);
  // What was selected under other filters is out of sight.
  useEffect(() => setSelected(new Set()), [status, project, tag, q]);
  const change = (changes) => replaceQuery(route, changes);
  const isFirst = pool.data?.keys.total === 0;
  return html`<${Heading} title=${t("nav.keys")}>
      <${Select}
        label=${t("keys.show")}
        value=${show === "heat" ? "heat" : "table"}
        options=${[["table", t("keys.show_table")], ["heat", t("keys.show_heat")]]}
        onChange=${(show) => change({ show: show === "heat" ? show : null })}
      />
      ${mayChange && html`<button type="button" class="primary" onClick=${() => change({ add: "1" })}>${t("first.keys_add")}</button>`}
    <//>
    ${
      isFirst
        ? html`<${NoKeys}>
            ${mayChange && html`<button type="button" class="primary" onClick=${() => change({ add: "1" })}>${t("first.keys_add")}</button>`}
          <//>`
        : html`<${Filters} route=${route} onChange=${change} />
            ${mayChange && html`<${Selection} ...${{ keys, selected, setSelected }} />`}
            <${Loaded} of=${keys} lines=${8}>
              ${(items) => html`<${KeyList} ...${{ items, keys, sort, show, change, selected, setSelected, mayChange, setDialog }} />`}
            <//>`
    }
    ${dialog && html`<${KeyDialog} ...${dialog} onChange=${keys.refresh} onClose=${() => setDialog(null)} />`}
    ${
      route.query.add &&
      mayChange &&
      html`<${ImportDialog}
        onClose=${() => change({ add: null })}
        onChange=${() => {
          keys.refresh();
          pool.refresh();
        }}
      />`
    }`;
}

function Filters({ route, onChange }) {
  const { status = "", project, tag, q = "" } = route.query;
  const [text, setText] = useField(q, (q) => onChange({ q }));
  const states = ["active", "cooling", "disabled"].map((state) => [state, named("state", state)]);
  return html`<div class="filters">
    <${Search} label=${t("keys.search")} value=${text} onChange=${setText} />
    <${Select}
      label=${t("keys.state")}
      value=${status}
      options=${[["", t("keys.any_state")], ...states]}
      onChange=${(status) => onChange({ status })}
    />
    ${[
      ["project", project],
      ["tag", tag],
    ].map(
      ([name, value]) =>
        value &&
        html`<button type="button" key=${name} onClick=${() => onChange({ [name]: null })}>
          ${t(`keys.filter_${name}`, { value })} <span aria-hidden="true">✕</span>
          <span class="hidden">${t("keys.filter_remove")}</span>
        </button>`,
    )}
  </div>`;
}

function KeyList({ items, keys, sort, show, change, selected, setSelected, mayChange, setDialog }) {
  const isHeat = show === "heat";
  const activity = useActivity(isHeat ? items : []);
  if (items.length === 0) return html`<${Empty}>${t("keys.none_found")}<//>`;
  const toggle = (id) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    setSelected(next);
  };
  const chosen = mayChange && checkColumn({ items, selected, toggle, setSelected });
  const menu = mayChange && {
    id: "menu",
    class: "last",
    title: html`<span class="hidden">${t("keys.actions_title")}</span>`,
    cell: (key) => html`<${KeyMenu}
      keyed=${key}
      onChange=${keys.refresh}
      onDialog=${(name) => setDialog({ name, keyed: key })}
    />`,
  };
  const columns = isHeat ? heatColumns(activity) : tableColumns(change);
  return html`${isHeat && html`<${HeatLegend} />`}
    <${Table}
      label=${t("nav.keys")}
      columns=${[chosen, ...columns, menu].filter(Boolean)}
      rows=${items}
      keyOf=${(key) => key.id}
      rowHeight=${isHeat ? 36 : 48}
      sort=${sort}
      onSort=${(sort) => change({ sort })}
      hasMore=${keys.hasMore}
      onEnd=${keys.more}
      rowClass=${(key) => (selected.has(key.id) ? "selected" : "")}
    />`;
}

function checkColumn({ items, selected, toggle, setSelected }) {
  const areAll = items.length > 0 && items.every(({ id }) => selected.has(id));
  return {
    id: "check",
    title: html`<input
      type="checkbox"
      aria-label=${t("keys.select_loaded")}
      checked=${areAll}
      onChange=${() => setSelected(new Set(areAll ? [] : items.map(({ id }) => id)))}
    />`,
    cell: ({ id, name }) => html`<input
      type="checkbox"
      aria-label=${t("keys.select", { name: name ?? `#${id}` })}
      checked=${selected.has(id)}
      onChange=${() => toggle(id)}
    />`,
  };
}

const nameColumn = () => ({
  id: "name",
  title: t("keys.name"),
  sort: "name",
  class: "clip",
  cell: ({ id, name }) =>
    html`<a href=${linkTo(["keys", id])}>${name ?? t("keys.no_name")}</a> <small>#${id}</small>`,
});

function heatColumns(activity) {
  return [
    nameColumn(),
    {
      id: "state",
      title: t("keys.state"),
      class: "wide-only",
      cell: (key) => html`<${State} of=${key.status} />`,
    },
    {
      id: "hours",
      title: t("keys.hours"),
      cell: (key) => html`<${HeatRow} keyed=${key} activity=${activity} />`,
    },
  ];
}

function tableColumns(change) {
  const only = (name, value) =>
    html`<button type="button" class="tag" onClick=${() => change({ [name]: value })}>${value}</button>`;
  return [
    nameColumn(),
    { id: "state", title: t("keys.state"), cell: (key) => html`<${StateCell} of=${key} />` },
    {
      id: "project",
      title: t("keys.project"),
      class: "wide-only",
      cell: ({ project }) => project && only("project", project),
    },
    {
      id: "tags",
      title: t("keys.tags"),
      class: "wide-only",
      cell: ({ tags }) => html`<span class="tags">${tags.map((tag) => only("tag", tag))}</span>`,
    },
    {
      id: "calls",
      title: t("nav.calls"),
      sort: "total_calls",
      class: "number",
      cell: (key) => number(key.total_calls),
    },
    {
      id: "success",
      title: t("overview.success"),
      class: "number",
      cell: (key) => percent(key.success_calls, key.total_calls),
    },
    {
      id: "used",
      title: t("keys.last_used"),
      sort: "last_used_at",
      class: "wide-only",
      cell: (key) => html`<${Time} at=${key.last_used_at} style="relative" />`,
    },
    {
      id: "outcome",
      title: t("keys.last_outcome"),
      class: "wide-only",
      cell: (key) => html`<${Outcome} of=${key.last_outcome} />`,
    },
    {
      id: "priority",
      title: t("keys.field_priority"),
      sort: "priority",
      class: "number wide-only",
      cell: (key) => number(key.priority),
    },
  ];
}

/** The state, and in short why and until when. */
function StateCell({ of }) {
  const now = useNow(10);
  const { outcome, words } = readReason(of.disabled_reason, OUTCOMES);
  const why = outcome ? named("outcome", outcome) : words;
  const until = of.disabled_until && t("keys.until", { at: shortTime(of.disabled_until, now) });
  const cooling = of.status === "active" && of.cooling.length > 0;
  const models = cooling && t("keys.cooling_for", { n: of.cooling.length });
  const note = [of.status === "active" ? null : why, until, models].filter(Boolean).join(", ");
  return html`<span class="state-cell"><${State} of=${of.status} />
    ${of.drill && html`<span class="tag">${t("keys.in_drill")}</span>`}
    ${note && html`<small class="clip" title=${of.disabled_reason ?? note}>${note}</small>`}
  </span>`;
}

/** What can be done to all selected keys. */
function Selection({ keys, selected, setSelected }) {
  const [dialog, setDialog] = useState(null);
  const [progress, setProgress] = useState(null);
  const ids = [...selected];
  const run = async (act, label) => {
    const stop = new AbortController();
    setProgress({ label, of: ids.length, done: 0, stop });
    const result = await forEach(
      ids,
      act,
      ({ done }) => setProgress({ label, of: ids.length, done, stop }),
      stop.signal,
    );
    setProgress(null);
    const failed = result.failures.map(({ item, error }) => `#${item}: ${errorText(error)}`);
    const text = t("keys.bulk_done", { done: result.done - failed.length, n: ids.length });
    notify([text, ...failed.slice(0, 3)].join(" "), failed.length > 0 ? "bad" : "good");
    // What failed can be tried again.
    setSelected(new Set(result.failures.map(({ item }) => item)));
    keys.refresh();
  };
  const apply = (label) => async (method, action, body) => {
    run((id) => send(method, action === "" ? `keys/${id}` : `keys/${id}/${action}`, body), label);
  };
  if (progress) return html`<${Progress} ...${progress} />`;
  if (ids.length === 0) return null;
  const at = ids.map((id) => ({ id, name: null }));
  const dialogs = { pause: PauseDialog, disable: DisableDialog, delete: DeleteDialog };
  const Shown = dialogs[dialog];
  const test = async (id) => {
    const { outcome } = await send("POST", `keys/${id}/test`);
    if (outcome !== "success") throw new Error(named("outcome", outcome));
  };
  const each = (action) => () =>
    action === "test"
      ? run(test, t("keys.test"))
      : run((id) => send("POST", `keys/${id}/${action}`), t(`keys.${action}`));
  return html`<div class="filters selection" role="group" aria-label=${t("keys.selection")}>
    <b>${t("keys.selected", { n: ids.length })}</b>
    ${keys.hasMore && html`<button type="button" onClick=${async () => setSelected(new Set((await keys.all()).map(({ id }) => id)))}>${t("keys.select_all")}</button>`}
    ${["test", "enable", "reset"].map((action) => html`<button type="button" key=${action} onClick=${each(action)}>${t(`keys.${action}`)}</button>`)}
    <button type="button" onClick=${() => setDialog("pause")}>${t("keys.pause")}</button>
    <button type="button" onClick=${() => setDialog("disable")}>${t("keys.disable")}</button>
    <button type="button" class="danger" onClick=${() => setDialog("delete")}>${t("delete")}</button>
    <button type="button" class="quiet" onClick=${() => setSelected(new Set())}>${t("keys.select_none")}</button>
    ${Shown && html`<${Shown} keys=${at} onClose=${() => setDialog(null)} apply=${apply(t(`keys.${dialog === "delete" ? "deleting" : dialog}`))} />`}
  </div>`;
}

export function Progress({ label, done, of, stop }) {
  return html`<div class="filters selection" role="status">
    <b>${label}</b>
    <progress value=${done} max=${of} aria-label=${label}></progress>
    <span class="number">${t("keys.progress", { done, of })}</span>
    ${stop && html`<button type="button" onClick=${() => stop.abort()}>${t("keys.stop")}</button>`}
  </div>`;
}
