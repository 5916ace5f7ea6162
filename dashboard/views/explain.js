// Which key a call for a model would get now, and why not the others.

import { withParameters } from "../lib/api.js";
import { compact, number, shortTime } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { useField, usePoll } from "../lib/poll.js";
import { linkTo, replaceQuery } from "../lib/route.js";
import { Card, Gauge, Heading } from "../parts/basics.js";
import { Empty, Loaded } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { NoKeys } from "./first_start.js";

export default function ExplainView({ route }) {
  const { model = "" } = route.query;
  const [text, setText] = useField(model, (model) => replaceQuery(route, { model }));
  const models = usePoll("statistics?by=model", 300);
  const explanation = usePoll(withParameters("/api/pool/explain", { model }), 10);
  return html`<${Heading} title=${t("explain.title")} />
    <p class="muted lead">${t("explain.text")}</p>
    <div class="filters">
      <label class="search">
        <span class="hidden">${t("overview.model")}</span>
        <input type="search" list="explain-models" placeholder=${t("explain.default")} value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
      </label>
      <datalist id="explain-models">
        ${models.data?.items.map(({ model }) => html`<option key=${model} value=${model}></option>`)}
      </datalist>
    </div>
    <${Loaded} of=${explanation} lines=${8}>${(data) => html`<${Explanation} of=${data} />`}<//>`;
}

function Explanation({ of }) {
  const eligible = of.keys
    .filter((key) => key.eligible)
    .toSorted((one, other) => other.probability - one.probability);
  const others = of.keys.filter((key) => !key.eligible);
  const alias =
    of.alias &&
    t("explain.alias", { name: of.alias.name, pattern: of.alias.pattern, model: of.model });
  if (of.keys.length === 0) return html`<${NoKeys} />`;
  return html`${alias && html`<p class="lead">${alias}</p>`}
    <div class="grid">
      <${Card} title=${t("explain.eligible", { n: eligible.length, model: of.model })} class="full">
        ${eligible.length === 0 ? html`<${NoneEligible} />` : html`<${Odds} keys=${eligible} />`}
      <//>
      <${Card} title=${t("explain.others", { n: others.length })} class="full">
        ${others.length === 0 ? html`<${Empty}>${t("explain.no_others")}<//>` : html`<${Others} keys=${others} />`}
      <//>
    </div>`;
}

function NoneEligible() {
  return html`<div class="failed" role="alert">
    <p>${t("explain.none")}</p>
    <p class="muted">${t("explain.none_advice")}</p>
  </div>`;
}

const keyColumn = () => ({
  id: "key",
  title: t("keys.name"),
  class: "clip",
  cell: ({ id, name }) =>
    html`<a href=${linkTo(["keys", id])}>${name ?? t("keys.no_name")}</a> <small>#${id}</small>`,
});

const projectColumn = () => ({
  id: "project",
  title: t("keys.project"),
  class: "wide-only",
  cell: ({ project }) => project ?? "–",
});

function Odds({ keys }) {
  const most = keys[0].probability || 1;
  const columns = [
    keyColumn(),
    {
      id: "odds",
      title: t("explain.probability"),
      cell: ({ probability }) => html`<span class="odds">
        <span class="odds-track" aria-hidden="true"><span style=${{ width: `${(probability / most) * 100}%` }}></span></span>
        <span class="number">${number(probability * 100, 1)} %</span>
      </span>`,
    },
    {
      id: "weight",
      title: t("explain.weight"),
      class: "number wide-only",
      cell: ({ weight }) => number(weight, 2),
    },
    projectColumn(),
    {
      id: "budgets",
      title: t("key.budgets"),
      cell: ({ budgets }) => html`<${Budgets} of=${budgets} />`,
    },
  ];
  return html`<${Table} label=${t("explain.probability")} columns=${columns} rows=${keys} keyOf=${({ id }) => id} />`;
}

function Budgets({ of }) {
  if (of.length === 0) return html`<small>${t("explain.no_budget")}</small>`;
  const [first] = of.toSorted(
    (one, other) => other.used / (other.limit || 1) - one.used / (one.limit || 1),
  );
  const unit = `${named("unit_of", first.unit)} ${named("per", first.per)}`;
  const text = t("key.used", { used: compact(first.used), limit: compact(first.limit), unit });
  return html`<span class="small-budget">
    <${Gauge} used=${first.used} limit=${first.limit} label=${unit} text=${text} /> <small>${text}</small>
  </span>`;
}

function Others({ keys }) {
  const counts = new Map();
  for (const { reason } of keys) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const columns = [
    keyColumn(),
    {
      id: "reason",
      title: t("explain.reason"),
      cell: ({ reason }) => html`<span class="badge" title=${reason}>${reasonOf(reason)}</span>`,
    },
    {
      id: "until",
      title: t("explain.until"),
      cell: ({ until }) => (until ? shortTime(until) : "–"),
    },
    projectColumn(),
    {
      id: "detail",
      title: t("explain.detail"),
      class: "clip rest wide-only",
      cell: ({ detail }) => detail && html`<span title=${detail}>${detail}</span>`,
    },
  ];
  return html`<p class="counts">
      ${[...counts].map(([reason, n]) => html`<span key=${reason} class="badge">${reasonOf(reason)}: ${number(n)}</span>`)}
    </p>
    <${Table} label=${t("explain.others", { n: keys.length })} columns=${columns} rows=${keys} keyOf=${({ id }) => id} />`;
}

/** Why a key is not eligible: a reason of its own, or the outcome that it cools down for. */
function reasonOf(reason) {
  const own = named("explain.reasons", reason);
  return own === reason ? named("outcome", reason) : own;
}
