// All keys, as a table or as a heat map of their calls.

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
import { KeyDialog, KeyMenu } from "../parts/key_actions.js";
import { Selection } from "../parts/key_selection.js";
import { Empty, Loaded, Stale } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { useEffect, useState } from "../vendor/hooks.js";
import { NoKeys } from "./first_start.js";
import { ImportDialog } from "./import_keys.js";

/** The heat map reads the activity of so many keys at once. */
const BLOCK = 100;

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
        ? html`<${NoKeys} />`
        : html`<${Filters} ...${{ route, items: keys.items ?? [], onChange: change }} />
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

function Filters({ route, items, onChange }) {
  const { status = "" } = route.query;
  const states = ["active", "cooling", "disabled"].map((state) => [state, named("state", state)]);
  return html`<div class="filters">
    <${Filter} name="q" label=${t("keys.search")} ...${{ route, onChange }} />
    <${Select}
      label=${t("keys.state")}
      value=${status}
      options=${[["", t("keys.any_state")], ...states]}
      onChange=${(status) => onChange({ status })}
    />
    <${Filter} name="project" label=${t("keys.project")} known=${items.map(({ project }) => project)} ...${{ route, onChange }} />
    <${Filter} name="tag" label=${t("keys.tag")} known=${items.flatMap(({ tags }) => tags)} ...${{ route, onChange }} />
  </div>`;
}

/** A parameter that is written, with known values to choose from. */
function Filter({ name, label, known = [], route, onChange }) {
  const [text, setText] = useField(route.query[name] ?? "", (value) => onChange({ [name]: value }));
  const values = [...new Set(known)].filter(Boolean);
  return html`<${Search} label=${label} value=${text} onChange=${setText} list=${`known-${name}`} />
    <datalist id=${`known-${name}`}>${values.map((value) => html`<option key=${value} value=${value}></option>`)}</datalist>`;
}

function KeyList({ items, keys, sort, show, change, selected, setSelected, mayChange, setDialog }) {
  const isHeat = show === "heat";
  const [block, setBlock] = useState({ from: 0, to: BLOCK });
  const activity = useActivity(isHeat ? items.slice(block.from, block.to) : []);
  const showBlock = ({ first, last }) => {
    const [from, to] = [Math.floor(first / BLOCK), Math.ceil(last / BLOCK)].map((n) => n * BLOCK);
    if (from !== block.from || to !== block.to) setBlock({ from, to });
  };
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
    ${activity.error && html`<${Stale} error=${activity.error} retry=${activity.refresh} />`}
    <${Table}
      label=${t("nav.keys")}
      columns=${[chosen, ...columns, menu].filter(Boolean)}
      rows=${items}
      keyOf=${(key) => key.id}
      rowHeight=${isHeat ? 36 : 48}
      sort=${sort}
      onSort=${(sort) => change({ sort })}
      hasMore=${keys.hasMore}
      onView=${showBlock}
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
      class: "widest-only",
      cell: ({ tags }) => html`<span class="tags">${tags.map((tag) => only("tag", tag))}</span>`,
    },
    {
      id: "calls",
      title: t("keys.attempts"),
      sort: "total_calls",
      class: "number",
      cell: (key) => number(key.total_calls),
    },
    {
      id: "success",
      title: t("keys.success"),
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
      class: "widest-only",
      cell: (key) => html`<${Outcome} of=${key.last_outcome} />`,
    },
    {
      id: "priority",
      title: t("keys.field_priority"),
      sort: "priority",
      class: "number widest-only",
      cell: (key) => number(key.priority),
    },
  ];
}

/** The state, and in short why and until when. */
function StateCell({ of }) {
  const now = useNow(10);
  const { outcome, words } = readReason(of.disabled_reason, OUTCOMES);
  const paused = of.status === "cooling" && t("keys.paused_by_operator");
  const why = outcome ? named("outcome", outcome) : words || paused;
  const until = of.disabled_until && t("keys.until", { at: shortTime(of.disabled_until, now) });
  const cooling = of.status === "active" && of.cooling.length > 0;
  const models = cooling && t("keys.cooling_for", { n: of.cooling.length });
  const note = [of.status === "active" ? null : why, until, models].filter(Boolean).join(", ");
  return html`<span class="state-cell"><${State} of=${of.status} />
    ${of.drill && html`<span class="tag">${t("keys.in_drill")}</span>`}
    ${note && html`<small class="clip" title=${of.disabled_reason ?? note}>${note}</small>`}
  </span>`;
}
