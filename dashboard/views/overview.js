// How the pool is doing, and what needs attention.

import { withParameters } from "../lib/api.js";
import { attention } from "../lib/attention.js";
import { compact, duration, number, percent, shortTime } from "../lib/format.js";
import { hoursAgo, RANGES, sumOf } from "../lib/hours.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { useNow, usePoll } from "../lib/poll.js";
import { linkTo, replaceQuery } from "../lib/route.js";
import { Card, Figure, Gauge, Heading, Select } from "../parts/basics.js";
import { CallsChart, LatencyChart, TokensChart } from "../parts/call_charts.js";
import { Empty, Loaded } from "../parts/states.js";
import { NoKeys } from "./first_start.js";

export default function OverviewView({ route }) {
  const range = route.query.range in RANGES ? route.query.range : "24h";
  const now = useNow(60);
  const from = hoursAgo(RANGES[range], now);
  const since = { from: new Date(from).toISOString() };
  const pool = usePoll("pool", 10);
  const budgets = usePoll("forecast?by=model", 60);
  const hours = usePoll(withParameters("statistics", { by: "hour", limit: 1000, ...since }), 60);
  const total = usePoll(withParameters("statistics", { by: "none", ...since }), 60);
  const models = usePoll(withParameters("statistics", { by: "model", ...since }), 60);
  if (pool.data?.keys.total === 0)
    return html`<${Heading} title=${t("nav.overview")} /><${NoKeys} />`;
  return html`<${Heading} title=${t("nav.overview")}>
      <${Select}
        label=${t("overview.range")}
        value=${range}
        options=${Object.keys(RANGES).map((name) => [name, named("overview.range", name)])}
        onChange=${(range) => replaceQuery(route, { range })}
      />
    <//>
    <div class="grid">
      <${Attention} class="full" ...${{ pool, budgets, hours, now }} />
      <div class="full"><${Figures} of=${total} /></div>
      <${Card} title=${t("overview.calls")}>
        <${Loaded} of=${hours}>${(data) => html`<${CallsChart} ...${{ groups: data.items, from, now }} />`}<//>
      <//>
      <${Card} title=${t("overview.latency")}>
        <${Loaded} of=${hours}>${(data) => html`<${LatencyChart} ...${{ groups: data.items, from, now }} />`}<//>
      <//>
      <${Card} title=${t("overview.tokens")}>
        <${Loaded} of=${hours}>${(data) => html`<${TokensChart} ...${{ groups: data.items, from, now }} />`}<//>
      <//>
      <${Card} title=${t("nav.keys")}>
        <${Loaded} of=${pool}>${(data) => html`<${KeyStates} pool=${data} />`}<//>
      <//>
      <${Card} title=${t("overview.budgets")} aside=${html`<small>${t("overview.budgets_day")}</small>`}>
        <${Loaded} of=${budgets}>${(data) => html`<${Budgets} items=${data.items} />`}<//>
      <//>
      <${Card} title=${t("overview.models")}>
        <${Loaded} of=${models}>${(data) => html`<${Models} items=${data.items} />`}<//>
      <//>
    </div>`;
}

function Attention({ pool, budgets, hours, now }) {
  const encryption = usePoll("encryption", 300);
  const tokens = usePoll("tokens?state=active&sort=expires_at&limit=1000", 300);
  const paused = usePoll("keys?status=cooling&limit=1000", 60);
  const items = attention({
    pool: pool.data,
    paused: paused.data?.items,
    budgets: budgets.data?.items,
    hours: hours.data?.items,
    encryption: encryption.data,
    tokens: tokens.data?.items,
    now,
  });
  return html`<${Card} title=${t("attention.title")} class="full">
    <${Loaded} of=${pool} lines=${2}>
      ${() =>
        items.length === 0
          ? html`<p class="fine">✓ ${t("attention.nothing")}</p>`
          : html`<ul class="attention">
              ${items.map((item, at) => html`<${AttentionItem} key=${`${item.kind}${at}`} item=${item} now=${now} />`)}
            </ul>`}
    <//>
  <//>`;
}

const TONE_SIGNS = { bad: "✕", warn: "!", info: "i" };

function AttentionItem({ item, now }) {
  const values = wordsOf(item.values, now);
  return html`<li class=${item.tone}>
    <span class="sign" aria-label=${named("attention.tone", item.tone)}>${TONE_SIGNS[item.tone]}</span>
    <div>
      <p>${named("attention", item.kind, values)}</p>
      <p class="muted">
        ${named("attention", `${item.kind}.advice`, values)}
        ${item.link && html` <a href=${item.link}>${t("attention.look")}</a>`}
      </p>
    </div>
  </li>`;
}

/** The values of a text as they are written. */
function wordsOf(values, now) {
  const words = { ...values };
  if (values.outcome) words.outcome = named("outcome", values.outcome);
  if (values.unit) words.unit = named("unit_of", values.unit);
  if ("model" in values) words.model = values.model ?? t("all_models");
  for (const name of ["at", "resets_at"]) {
    if (values[name]) words[name] = shortTime(values[name], now);
  }
  return words;
}

function Figures({ of }) {
  return html`<${Loaded} of=${of} lines=${2}>
    ${({ items: [all] }) => {
      const sum = sumOf(all ? [all] : []);
      const isLow = sum.requests > 0 && sum.successes < sum.requests * 0.9;
      const spread = (of) =>
        t("overview.percentiles", { p50: duration(of?.p50), p95: duration(of?.p95) });
      return html`<dl class="figures">
        <${Figure} name=${t("overview.requests")} value=${compact(sum.requests)} note=${t("overview.attempts", { n: sum.calls })} />
        <${Figure}
          name=${t("overview.success")}
          value=${percent(Math.min(sum.successes, sum.requests), sum.requests)}
          tone=${isLow ? "warn" : ""}
          note=${t("overview.failed", { n: Math.max(sum.requests - sum.successes, 0) })}
        />
        <${Figure} name=${t("overview.duration")} value=${duration(all?.duration_ms.p50)} note=${spread(all?.duration_ms)} />
        <${Figure} name=${t("overview.first_byte")} value=${duration(all?.first_byte_ms.p50)} note=${spread(all?.first_byte_ms)} />
        <${Figure}
          name=${t("overview.tokens")}
          value=${compact(sum.input + sum.output + sum.thinking)}
          note=${t("overview.tokens_of", { input: compact(sum.input), output: compact(sum.output), thinking: compact(sum.thinking) })}
        />
      </dl>`;
    }}
  <//>`;
}

function KeyStates({ pool }) {
  const { keys } = pool;
  const states = /** @type {const} */ (["active", "cooling", "disabled"]);
  return html`<div class="shares gap" aria-hidden="true">
      ${states.map(
        (state) =>
          html`<span key=${state} class="share-${state}" style=${{ flexGrow: keys[state] }}></span>`,
      )}
    </div>
    <dl class="facts">
      ${states.map(
        (
          state,
        ) => html`<dt key=${state}><a href=${linkTo(["keys"], { status: state })}>${named("state", state)}</a></dt>
          <dd><b>${number(keys[state])}</b> <span class="muted">${t(`overview.state_${state}`)}</span></dd>`,
      )}
    </dl>
    ${pool.cooling_for_models > 0 && html`<p class="muted">${t("overview.cooling_for_models", { n: pool.cooling_for_models })}</p>`}`;
}

function Budgets({ items }) {
  if (items.length === 0) return html`<${Empty}>${t("overview.no_budgets")}<//>`;
  return html`<ul class="budgets">
    ${items.map((item) => {
      const name = item.model ?? t("all_models");
      const unit = named("unit_of", item.unit);
      const text = t("overview.left", {
        left: compact(item.left),
        limit: compact(item.limit),
        unit,
      });
      return html`<li key=${`${item.model} ${item.unit}`}>
        <div class="pair">
          <b>${item.model ? html`<a href=${linkTo(["explain"], { model: item.model })}>${name}</a>` : name}</b>
          <span class="number">${text}</span>
        </div>
        <${Gauge} used=${item.left} isLeft limit=${item.limit} label=${`${name}, ${unit}`} text=${text} />
        <div class="pair muted"><small>${endOf(item)}</small> <small>${t("unit.per_hour", { value: compact(item.pace_per_hour) })}</small></div>
      </li>`;
    })}
  </ul>`;
}

function endOf({ left, limit, ends_at: endsAt, resets_at: resetsAt, scopes, used_up: usedUp }) {
  if (limit === 0) return t("overview.never");
  const resets = resetsAt ? shortTime(resetsAt) : "–";
  if (left === 0) return t("overview.used_up", { at: resets });
  if (endsAt) return t("overview.ends", { at: shortTime(endsAt), resets });
  const lasts = t("overview.lasts", { at: resets });
  return usedUp > 0 ? `${lasts} ${t("overview.some_used_up", { n: usedUp, of: scopes })}` : lasts;
}

function Models({ items }) {
  if (items.length === 0) return html`<${Empty}>${t("overview.no_calls")}<//>`;
  const sorted = items.toSorted((one, other) => other.requests - one.requests);
  return html`<div class="plain-table" tabindex="0" role="region" aria-label=${t("overview.models")}>
    <table>
      <thead>
        <tr>
          <th scope="col">${t("overview.model")}</th>
          <th scope="col" class="number">${t("overview.requests")}</th>
          <th scope="col" class="number">${t("overview.success")}</th>
          <th scope="col" class="number">${t("overview.duration_p95")}</th>
          <th scope="col" class="number wide-only">${t("overview.tokens")}</th>
        </tr>
      </thead>
      <tbody>
        ${sorted.map(
          (group) => html`<tr key=${group.model}>
            <td class="clip"><a href=${linkTo(["calls"], { model: group.model })}>${group.model || "–"}</a></td>
            <td class="number">${number(group.requests)}</td>
            <td class="number">${percent(Math.min(group.successes, group.requests), group.requests)}</td>
            <td class="number">${duration(group.duration_ms.p95)}</td>
            <td class="number wide-only">${compact(group.input_tokens + group.output_tokens + group.thinking_tokens)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
