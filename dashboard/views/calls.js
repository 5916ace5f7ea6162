// The log of calls, live.

import { urlOf, withParameters } from "../lib/api.js";
import { useCallLog } from "../lib/call_log.js";
import { compact, duration, number } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { timeOf, toLocalInput } from "../lib/lists.js";
import { useNames } from "../lib/names.js";
import { OUTCOMES } from "../lib/outcomes.js";
import { useField, usePoll } from "../lib/poll.js";
import { linkTo, replaceQuery } from "../lib/route.js";
import { Heading, Outcome, Select, Time } from "../parts/basics.js";
import { Empty, Loaded } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { useRef, useState } from "../vendor/hooks.js";

const RANGES = { "15min": 15, "1h": 60, "24h": 24 * 60, "7d": 7 * 24 * 60 };
/** So few calls may not fill the view, so that nobody can scroll to read more. */
const FEW = 30;
const DURATIONS_MS = [1000, 5000, 20_000, 60_000];
/** What the API filters by. */
const FILTERS = [
  "from",
  "until",
  "key",
  "token",
  "model",
  "outcome",
  "status",
  "success",
  "drill",
  "min_duration_ms",
];

export default function CallsView({ route }) {
  const [isLive, setLive] = useState(true);
  const [isHeld, setHeld] = useState(false);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, route.query[name]]));
  const log = useCallLog(filters, { isLive, isHeld });
  const change = (changes) => replaceQuery(route, changes);
  const exportTo = (format) => urlOf(withParameters("calls/export", { format, ...filters }));
  return html`<${Heading} title=${t("nav.calls")}>
      <label class="switch">
        <input type="checkbox" role="switch" checked=${isLive} onChange=${() => setLive(!isLive)} />
        ${t("calls.live")}
      </label>
      <a class="button" href=${exportTo("csv")} download="calls.csv">${t("calls.csv")}</a>
      <a class="button" href=${exportTo("jsonl")} download="calls.jsonl">${t("calls.jsonl")}</a>
    <//>
    <p class="lead muted">${t("calls.lead")}</p>
    <${Filters} route=${route} onChange=${change} />
    <${Loaded} of=${log} lines=${10}>
      ${(items) => html`<${CallList} ...${{ items, log, setHeld, onChange: change }} />`}
    <//>`;
}

function Filters({ route, onChange }) {
  const { query } = route;
  const models = usePoll("statistics?by=model", 300);
  const { keys, tokens } = useNames();
  const flag = (name) => [
    ["", t(`calls.any_${name}`)],
    ["true", t(`calls.${name}_true`)],
    ["false", t(`calls.${name}_false`)],
  ];
  const [more, setMore] = useState(false);
  const choose = (name, options) => html`<${Select}
    label=${t(`calls.${name}`)}
    value=${query[name] ?? ""}
    options=${options}
    onChange=${(value) => onChange({ [name]: value })}
  />`;
  const byName = (names, any) => [
    ["", any],
    ...[...names].map(([id, name]) => [String(id), name === `#${id}` ? name : `${name} (#${id})`]),
  ];
  const outcomes = OUTCOMES.map((outcome) => [outcome, named("outcome", outcome)]);
  const isFiltered = FILTERS.some((name) => query[name]);
  const durations = DURATIONS_MS.map((ms) => [
    String(ms),
    t("calls.at_least", { duration: duration(ms) }),
  ]);
  return html`<div class="filters">
    <${RequestSearch} />
    <${Ranges} query=${query} onChange=${onChange} />
    ${choose("outcome", [["", t("calls.any_outcome")], ...outcomes])} ${choose("success", flag("success"))}
    ${choose("min_duration_ms", withCurrent([["", t("calls.any_duration")], ...durations], query.min_duration_ms, `≥ ${query.min_duration_ms} ms`))}
    <${TextFilter} name="model" value=${query.model} onChange=${onChange} list="models" />
    <datalist id="models">${models.data?.items.map(({ model }) => html`<option key=${model} value=${model}></option>`)}</datalist>
    ${choose("key", withCurrent(byName(keys, t("calls.any_key")), query.key))}
    ${choose("token", withCurrent([["", t("calls.any_token")], ["0", t("calls.builtin")], ...byName(tokens, "").slice(1)], query.token))}
    ${
      more || query.status || query.drill || query.from || query.until
        ? html`<${TextFilter} name="status" value=${query.status} onChange=${onChange} type="number" />
            ${choose("drill", flag("drill"))}
            ${["from", "until"].map(
              (name) => html`<label class="select" key=${name}>
                <span>${t(`calls.${name}`)}</span>
                <input type="datetime-local" value=${toLocalInput(query[name] ? Date.parse(query[name]) : null)} onChange=${(event) => onChange({ [name]: timeOf(event.currentTarget.value) })} />
              </label>`,
            )}`
        : html`<button type="button" class="quiet" onClick=${() => setMore(true)}>${t("calls.more")}</button>`
    }
    ${
      isFiltered &&
      html`<button type="button" class="quiet" onClick=${() => onChange(Object.fromEntries(FILTERS.map((name) => [name, null])))}>
        ${t("calls.clear")}
      </button>`
    }
  </div>`;
}

/** A list of choices that has the current one, such as a key that was deleted. */
function withCurrent(options, current, name = `#${current}`) {
  const isKnown = !current || options.some(([value]) => value === current);
  return isKnown ? options : [...options, [current, name]];
}

/** Leads to the request whose id a client has told. */
function RequestSearch() {
  const open = (event) => {
    const id = event.currentTarget.value.trim();
    if (id !== "") location.hash = linkTo(["requests", id]);
  };
  return html`<label class="search">
    <span class="hidden">${t("request.id")}</span>
    <input type="search" placeholder=${t("request.id")} onChange=${open} />
  </label>`;
}

function Ranges({ query, onChange }) {
  const names = Object.keys(RANGES);
  const since = (name) => new Date(Date.now() - RANGES[name] * 60_000).toISOString();
  return html`<${Select}
    label=${t("overview.range")}
    value=${query.from || query.until ? "own" : ""}
    options=${[
      ["", t("calls.any_time")],
      ...names.map((name) => [name, named("calls.range", name)]),
      ...(query.from || query.until ? [["own", t("calls.own_range")]] : []),
    ]}
    onChange=${(name) => onChange({ from: name in RANGES ? since(name) : null, until: null })}
  />`;
}

function TextFilter({ name, value = "", onChange, list = null, type = "search" }) {
  const [text, setText] = useField(value, (text) => onChange({ [name]: text }));
  const label = t(`calls.${name}`);
  return html`<label class="search">
    <span class="hidden">${label}</span>
    <input type=${type} placeholder=${label} value=${text} list=${list} onInput=${(event) => setText(event.currentTarget.value)} />
  </label>`;
}

function CallList({ items, log, setHeld, onChange }) {
  const names = useNames();
  const list = useRef(null);
  const searchOn =
    log.hasMore &&
    (log.isTired || items.length < FEW) &&
    html`<button type="button" disabled=${log.isReading} onClick=${log.more}>${t("calls.search_on")}</button>`;
  if (items.length === 0) {
    return html`<${Empty}>
      ${log.hasMore ? t("calls.none_yet") : t("calls.none_found")}
      ${searchOn}
    <//>`;
  }
  const slowest = items.reduce((most, call) => Math.max(most, call.response_time_ms ?? 0), 1);
  return html`<div class="calls" ref=${list}>
    ${
      log.waiting.length > 0 &&
      html`<button type="button" class="primary" onClick=${() => list.current.querySelector(".table").scrollTo(0, 0)}>
        ↑ ${t("calls.waiting", { n: log.waiting.length })}
      </button>`
    }
    <${Table}
      label=${t("nav.calls")}
      columns=${columnsOf({ names, slowest, onChange })}
      rows=${items}
      keyOf=${(call) => call.id}
      rowHeight=${40}
      hasMore=${log.hasMore && !log.isTired}
      onView=${({ first }) => setHeld(first > 0)}
      onEnd=${log.more}
      rowClass=${(call) => ((call.attempt ?? 1) > 1 ? "again" : "")}
    />
    ${searchOn}
  </div>`;
}

function columnsOf({ names, slowest, onChange }) {
  const nameOf = (map, id) => map.get(id) ?? `#${id}`;
  return [
    {
      id: "time",
      title: t("time"),
      cell: (call) =>
        call.request_id
          ? html`<a href=${linkTo(["requests", call.request_id])}><${Time} at=${call.called_at} /></a>`
          : html`<${Time} at=${call.called_at} />`,
    },
    { id: "model", title: t("overview.model"), class: "clip", cell: ({ model }) => model ?? "–" },
    {
      id: "outcome",
      title: t("calls.outcome"),
      cell: (call) => html`<${Outcome} of=${call.outcome} />
        ${call.drill && html` <span class="tag">${t("keys.in_drill")}</span>`}`,
    },
    {
      id: "status",
      title: t("calls.status"),
      class: "number wide-only",
      cell: (call) => call.response_status ?? "–",
    },
    {
      id: "key",
      title: t("keys.name"),
      class: "clip wide-only",
      cell: (call) =>
        html`<a href=${linkTo(["keys", call.key_id])}>${nameOf(names.keys, call.key_id)}</a>`,
    },
    {
      id: "token",
      title: t("calls.token"),
      class: "clip wide-only",
      cell: ({
        token_id: id,
      }) => html`<button type="button" class="link" onClick=${() => onChange({ token: id ?? 0 })}>
        ${id === null ? t("calls.builtin") : nameOf(names.tokens, id)}
      </button>`,
    },
    {
      id: "attempt",
      title: t("calls.attempt"),
      class: "number widest-only",
      cell: (call) => number(call.attempt),
    },
    {
      id: "first",
      title: t("calls.first_byte"),
      class: "number widest-only",
      cell: (call) => duration(call.first_byte_ms),
    },
    {
      id: "duration",
      title: t("overview.duration"),
      class: "number",
      cell: (call) => html`<span class="took">
        <span class="took-bar" style=${{ width: `${((call.response_time_ms ?? 0) / slowest) * 60}px` }}></span>
        ${duration(call.response_time_ms)}
      </span>`,
    },
    {
      id: "error",
      title: t("calls.error"),
      class: "clip rest wide-only",
      cell: (call) =>
        call.error_message && html`<span title=${call.error_message}>${call.error_message}</span>`,
    },
    {
      id: "input",
      title: t("overview.input"),
      class: "number widest-only",
      cell: (call) => compact(call.input_tokens),
    },
    {
      id: "output",
      title: t("overview.output"),
      class: "number widest-only",
      cell: (call) => compact(call.output_tokens),
    },
  ];
}
