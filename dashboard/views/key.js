// One key: its state and why, its budgets, and its calls.

import { send, withParameters } from "../lib/api.js";
import { compact, duration, number, percent, quotaDay, shortTime } from "../lib/format.js";
import { hoursAgo } from "../lib/hours.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { readReason, whyOf } from "../lib/key_state.js";
import { numberOf } from "../lib/lists.js";
import { OUTCOMES } from "../lib/outcomes.js";
import { useNow, usePoll } from "../lib/poll.js";
import { linkTo } from "../lib/route.js";
import { useMayChange } from "../lib/session.js";
import { Card, Gauge, Heading, Outcome, State, Time } from "../parts/basics.js";
import { CallsChart, LatencyChart } from "../parts/call_charts.js";
import { FormDialog } from "../parts/dialog.js";
import { KeyDialog, KeyMenu } from "../parts/key_actions.js";
import { Empty, Loaded } from "../parts/states.js";
import { useState } from "../vendor/hooks.js";

export default function KeyView({ route }) {
  const id = route.path[1];
  const key = usePoll(`keys/${encodeURIComponent(id)}`, 5);
  const mayChange = useMayChange();
  const [dialog, setDialog] = useState(null);
  return html`<p><a href=${linkTo(["keys"])}>← ${t("nav.keys")}</a></p>
    <${Loaded} of=${key}>
      ${(data) => html`<${Heading} title=${data.name ?? t("key.title", { id: data.id })}>
          <${State} of=${data.status} />
          ${
            mayChange &&
            html`<${KeyMenu}
              keyed=${data}
              onChange=${key.refresh}
              onDialog=${setDialog}
            >
              ${t("keys.actions_title")} ▾
            <//>`
          }
        <//>
        <${Details} keyed=${data} onChange=${key.refresh} mayChange=${mayChange} />
        ${
          dialog &&
          html`<${KeyDialog}
            name=${dialog}
            keyed=${data}
            onChange=${key.refresh}
            onDelete=${() => {
              location.hash = linkTo(["keys"]);
            }}
            onClose=${() => setDialog(null)}
          />`
        }`}
    <//>`;
}

function Details({ keyed, onChange, mayChange }) {
  const now = useNow(60);
  const from = hoursAgo(24, now);
  const query = { key: keyed.id, from: new Date(from).toISOString() };
  const hours = usePoll(withParameters("statistics", { by: "hour", ...query }), 60);
  const history = usePoll(`keys/${keyed.id}/history?limit=50`, 30);
  return html`<div class="grid">
    <${Why} keyed=${keyed} latest=${history.data?.items[0]} />
    <${Facts} keyed=${keyed} hours=${hours.data?.items} />
    <${Budgets} ...${{ keyed, onChange, mayChange }} />
    <${History} id=${keyed.id} history=${history} />
    <${Card} title=${t("overview.calls")}>
      <${Loaded} of=${hours}>${(data) => html`<${CallsChart} ...${{ groups: data.items, from, now }} />`}<//>
    <//>
    <${Card} title=${t("overview.latency")}>
      <${Loaded} of=${hours}>${(data) => html`<${LatencyChart} ...${{ groups: data.items, from, now }} />`}<//>
    <//>
    <${LatestCalls} id=${keyed.id} />
  </div>`;
}

/** Its state in words, since when, and what to do. `latest` is its latest change of state. */
function Why({ keyed, latest }) {
  const now = useNow(10);
  const sentences = whyOf(keyed, OUTCOMES, now);
  return html`<${Card} title=${t("why.title")}>
    <ul class="why">
      ${sentences.map(({ kind, values }) => {
        const words = wordsOf(values, now);
        return html`<li key=${`${kind}${values.model}`}>
          <p><b>${named("why", kind, words)}</b></p>
          <p class="muted">${named("why", `${kind}.advice`, words)}</p>
        </li>`;
      })}
    </ul>
    ${latest && latest.to === keyed.status && html`<p class="muted since">${t("why.since")} <${Time} at=${latest.at} style="long" /></p>`}
  <//>`;
}

function wordsOf(values, now) {
  const words = { ...values };
  if (values.outcome) words.outcome = named("outcome", values.outcome);
  if ("model" in values) words.model = values.model ?? t("all_models");
  if (values.until) words.until = shortTime(values.until, now);
  return words;
}

function Facts({ keyed, hours = [] }) {
  const list = (values) => (values.length === 0 ? "–" : values.join(", "));
  const facts = [
    ["key.id", `#${keyed.id}`],
    ["keys.project", keyed.project ?? t("key.no_project")],
    ["keys.tags", list(keyed.tags)],
    ["keys.field_note", keyed.note ?? "–"],
    ["keys.field_priority", number(keyed.priority)],
    [
      "keys.field_allowed_models",
      keyed.allowed_models.length > 0 ? list(keyed.allowed_models) : t("all"),
    ],
    ["keys.field_forbidden_models", list(keyed.forbidden_models)],
    ["keys.attempts", number(keyed.total_calls)],
    ["keys.success", percent(keyed.success_calls, keyed.total_calls)],
    ["keys.hours", lately(hours)],
    ["key.failures", number(keyed.consecutive_failures)],
    ["keys.last_used", html`<${Time} at=${keyed.last_used_at} style="long" />`],
    ["keys.last_outcome", html`<${Outcome} of=${keyed.last_outcome} />`],
    ["key.created", html`<${Time} at=${keyed.created_at} style="long" />`],
  ];
  return html`<${Card} title=${t("key.facts")}>
    <dl class="facts">
      ${facts.map(([name, value]) => html`<dt key=${name}>${t(name)}</dt><dd>${value}</dd>`)}
    </dl>
  <//>`;
}

/** How many of the latest attempts succeeded. */
function lately(/** @type {import("../types.js").CallGroup[]} */ hours) {
  const sum = (read) => hours.reduce((sum, group) => sum + read(group), 0);
  const calls = sum((group) => group.calls);
  const successes = sum((group) => group.successes);
  return t("key.lately", { n: calls, successes, share: percent(successes, calls) });
}

function Budgets({ keyed, onChange, mayChange }) {
  const [isOpen, setOpen] = useState(false);
  const edit = html`<button type="button" onClick=${() => setOpen(true)}>${t("key.edit_limits")}</button>`;
  return html`<${Card} title=${t("key.budgets")} aside=${mayChange && edit}>
    ${
      keyed.limits.length === 0
        ? html`<${Empty}>${t("overview.no_budgets")}<//>`
        : html`<ul class="budgets">${keyed.limits.map((limit) => html`<${Budget} key=${JSON.stringify([limit.scope, limit.model, limit.unit, limit.per])} limit=${limit} />`)}</ul>`
    }
    <p class="muted"><small>${t("key.today", { day: quotaDay(Date.now()) })}</small></p>
    ${isOpen && html`<${LimitsDialog} keyed=${keyed} onClose=${() => setOpen(false)} onChange=${onChange} />`}
  <//>`;
}

function Budget({ limit }) {
  const known = [limit.preset, limit.learned].filter((value) => value !== null);
  const value = Math.min(...known);
  const used = limit.used ?? 0;
  const unit = `${named("unit_of", limit.unit)} ${named("per", limit.per)}`;
  const name = limit.model ?? t("all_models");
  const text = t("key.used", { used: compact(used), limit: compact(value), unit });
  const source = [
    limit.scope.startsWith("project:") && t("key.of_project"),
    limit.preset !== null && t("key.preset", { value: limit.preset }),
    limit.learned !== null && t("key.learned", { value: limit.learned }),
  ];
  return html`<li>
    <div class="pair"><b>${name}</b> <span class="number">${text}</span></div>
    <${Gauge} used=${used} limit=${value} label=${`${name}, ${unit}`} text=${text} />
    <small>${source.filter(Boolean).join(" · ")}</small>
  </li>`;
}

/** The presets of a key and its project, all of them: the API replaces the list. */
function LimitsDialog({ keyed, onClose, onChange }) {
  const presets = keyed.limits
    .filter(({ preset }) => preset !== null)
    .map(({ scope, model, unit, per, preset }) => ({
      scope: scope.startsWith("project:") ? "project" : "key",
      model: model ?? "",
      unit,
      per,
      preset,
    }));
  const [rows, setRows] = useState(presets);
  const set = (at, change) =>
    setRows(rows.map((row, index) => (index === at ? { ...row, ...change } : row)));
  const submit = async () => {
    const limits = rows.map(({ model, preset, ...row }) => ({
      ...row,
      preset: numberOf(preset),
      ...(model.trim() && { model: model.trim() }),
    }));
    await send("PUT", `keys/${keyed.id}/limits`, { limits });
    onChange();
  };
  const choice = (at, name, options, group) => html`<select
    aria-label=${t(`key.limit_${name}`)}
    value=${rows[at][name]}
    onChange=${(event) => set(at, { [name]: event.currentTarget.value })}
  >
    ${options.map((option) => html`<option key=${option} value=${option}>${named(group, option)}</option>`)}
  </select>`;
  return html`<${FormDialog} title=${t("key.edit_limits")} submit=${t("save")} onClose=${onClose} onSubmit=${submit} wide>
    <p class="muted">${t("key.limits_text")}</p>
    ${rows.map(
      (row, at) => html`<fieldset class="limit" key=${at}>
        <legend class="hidden">${t("key.limit", { n: at + 1 })}</legend>
        ${choice(at, "scope", keyed.project ? ["key", "project"] : ["key"], "key.scope")}
        <input aria-label=${t("overview.model")} placeholder=${t("all_models")} value=${row.model} onInput=${(event) => set(at, { model: event.currentTarget.value })} />
        <input aria-label=${t("key.limit_value")} type="number" min="0" required value=${row.preset} onInput=${(event) => set(at, { preset: event.currentTarget.value })} />
        ${choice(at, "unit", ["requests", "input_tokens", "texts"], "unit_of")} ${choice(at, "per", ["minute", "day"], "per")}
        <button type="button" class="quiet" aria-label=${t("delete")} onClick=${() => setRows(rows.filter((_, index) => index !== at))}>✕</button>
      </fieldset>`,
    )}
    <button type="button" onClick=${() => setRows([...rows, { scope: "key", model: "", unit: "requests", per: "day", preset: 250 }])}>
      ${t("key.add_limit")}
    </button>
  <//>`;
}

function History({ id, history }) {
  const audit = linkTo(["settings"], { tab: "audit", subject: `key:${id}` });
  return html`<${Card} title=${t("key.history")} aside=${html`<a href=${audit}>${t("key.audit")}</a>`}>
    <${Loaded} of=${history}>
      ${({ items }) =>
        items.length === 0
          ? html`<${Empty}>${t("key.no_history")}<//>`
          : html`<ol class="history" tabindex="0" aria-label=${t("key.history")}>
              ${items.map((change) => html`<${Change} key=${change.at} change=${change} />`)}
            </ol>`}
    <//>
  <//>`;
}

function Change({ change }) {
  const { outcome, words } = readReason(change.reason, OUTCOMES);
  const until = change.until && t("keys.until", { at: shortTime(change.until) });
  const note = [outcome && named("outcome", outcome), words, until].filter(Boolean).join(", ");
  return html`<li>
    <${Time} at=${change.at} /> <${State} of=${change.from} /> → <${State} of=${change.to} />
    ${note && html`<small>${note}</small>`}
  </li>`;
}

function LatestCalls({ id }) {
  const calls = usePoll(`calls?key=${id}&limit=10`, 5);
  const more = html`<a href=${linkTo(["calls"], { key: id })}>${t("key.all_calls")}</a>`;
  return html`<${Card} title=${t("key.latest_calls")} aside=${more} class="full">
    <${Loaded} of=${calls}>
      ${({ items }) =>
        items.length === 0
          ? html`<${Empty}>${t("overview.no_calls")}<//>`
          : html`<div class="plain-table" tabindex="0" role="region" aria-label=${t("key.latest_calls")}>
              <table>
                <thead>
                  <tr>
                    <th scope="col">${t("time")}</th>
                    <th scope="col">${t("overview.model")}</th>
                    <th scope="col">${t("calls.outcome")}</th>
                    <th scope="col" class="number">${t("overview.duration")}</th>
                    <th scope="col" class="wide-only">${t("calls.error")}</th>
                  </tr>
                </thead>
                <tbody>
                  ${items.map(
                    (call) => html`<tr key=${call.id}>
                      <td><a href=${linkTo(["requests", call.request_id ?? ""])}><${Time} at=${call.called_at} /></a></td>
                      <td>${call.model}</td>
                      <td><${Outcome} of=${call.outcome} /></td>
                      <td class="number">${duration(call.response_time_ms)}</td>
                      <td class="clip wide-only">${call.error_message}</td>
                    </tr>`,
                  )}
                </tbody>
              </table>
            </div>`}
    <//>
  <//>`;
}
