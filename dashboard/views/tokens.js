// The client tokens: what each may do, what it has used, and how to change it.

import { send, withParameters } from "../lib/api.js";
import { compact, dateTime, number, percent, relative, shortTime, span } from "../lib/format.js";
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { usePages } from "../lib/pages.js";
import { useField, useNow, usePoll } from "../lib/poll.js";
import { linkTo, replaceQuery } from "../lib/route.js";
import { useMayChange } from "../lib/session.js";
import { quotaDayStart, tokensOf, usesByToken } from "../lib/tokens.js";
import { Gauge, Heading, Search, Select, State } from "../parts/basics.js";
import { FormDialog } from "../parts/dialog.js";
import { Menu } from "../parts/menu.js";
import { notify } from "../parts/notice.js";
import { Empty, errorText, Loaded } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { useState } from "../vendor/hooks.js";
import { NewToken, RotateForm, TokenForm } from "./token_forms.js";

/** The token of the variable `my_api_token`, which the API does not list. */
const BUILT_IN = { id: null, name: "my_api_token", state: "active" };

const DAY = 86_400_000;

export default function TokensView({ route }) {
  const { state = "", q = "", sort = "" } = route.query;
  const mayChange = useMayChange();
  const [search, setSearch] = useField(q, (q) => replaceQuery(route, { q }));
  const [dialog, setDialog] = useState(null);
  const tokens = usePages("tokens", { state, q, sort }, 10);
  const use = useUse();
  const close = () => setDialog(null);
  const changed = (dialog = null) => {
    tokens.refresh();
    setDialog(dialog);
  };
  const hasBuiltIn =
    (state === "" || state === "active") &&
    BUILT_IN.name.includes(q.toLowerCase()) &&
    use.isBuiltIn;
  return html`<${Heading} title=${t("nav.tokens")}>
      ${
        mayChange &&
        html`<button type="button" class="primary" onClick=${() => setDialog({ form: TokenForm })}>
          ${t("tokens.create")}
        </button>`
      }
    <//>
    <p class="lead muted">${t("tokens.lead")}</p>
    <div class="filters">
      <${Search} label=${t("tokens.search")} value=${search} onChange=${setSearch} />
      <${Select}
        label=${t("tokens.state")}
        value=${state}
        options=${[
          ["", t("tokens.all_states")],
          ["active", t("state.active")],
          ["disabled", t("state.disabled")],
          ["expired", t("state.expired")],
        ]}
        onChange=${(state) => replaceQuery(route, { state })}
      />
    </div>
    <${Loaded} of=${tokens}>
      ${(items) => {
        const rows = hasBuiltIn ? [BUILT_IN, ...items] : items;
        if (rows.length === 0) return html`<${NoTokens} isFiltered=${state !== "" || q !== ""} />`;
        return html`<${Table}
          label=${t("nav.tokens")}
          columns=${columnsOf(use, mayChange && ((token) => actionsOf(token, setDialog, changed)))}
          rows=${rows}
          keyOf=${(token) => token.id}
          rowHeight=${56}
          sort=${sort}
          onSort=${(sort) => replaceQuery(route, { sort })}
          onEnd=${tokens.more}
          hasMore=${tokens.hasMore}
        />`;
      }}
    <//>
    <p class="note muted">${t("tokens.today_note", { time: shortTime(use.dayStart, use.now) })}</p>
    ${dialog?.form && html`<${dialog.form} token=${dialog.token} onClose=${close} onDone=${changed} />`}
    ${dialog?.created && html`<${NewToken} ...${dialog} onClose=${close} />`}
    ${dialog?.remove && html`<${DeleteDialog} token=${dialog.remove} onClose=${close} onDone=${changed} />`}`;
}

function NoTokens({ isFiltered }) {
  return html`<div class="card"><${Empty}>
    ${isFiltered ? t("tokens.none_found") : t("tokens.none")}
  <//></div>`;
}

/** What tokens have used, with one request for all of them. */
function useUse() {
  const now = useNow(60);
  const dayStart = quotaDayStart(now);
  const all = { by: "token", limit: 1000 };
  const lately = usePoll(withParameters("statistics", all), 60);
  const from = new Date(dayStart).toISOString();
  const today = usePoll(withParameters("statistics", { ...all, from }), 60);
  const settings = usePoll("settings", 60);
  const ofLately = usesByToken(lately.data);
  const setting = settings.data?.items.find(({ name }) => name === BUILT_IN.name);
  return {
    now,
    dayStart,
    lately: ofLately,
    today: usesByToken(today.data),
    isBuiltIn: setting?.is_set || Boolean(ofLately(null)),
  };
}

function columnsOf(use, actions) {
  const columns = [
    { id: "name", title: t("tokens.name"), sort: "name", cell: (token) => nameCell(token) },
    {
      id: "state",
      title: t("tokens.state"),
      cell: (token) => html`<${State} of=${token.state} />`,
    },
    { id: "limits", title: t("tokens.limits"), cell: limitsCell },
    {
      id: "expires",
      title: t("tokens.expires"),
      sort: "expires_at",
      cell: (token) => expiryCell(token, use.now),
    },
    {
      id: "use",
      title: t("tokens.last_24h"),
      cell: (token) => useCell(token, use.lately(token.id)),
    },
    {
      id: "today",
      title: t("tokens.today"),
      cell: (token) => todayCell(token, use.today(token.id)),
    },
  ];
  if (!actions) return columns;
  const menu = (token) =>
    token.id !== null &&
    html`<${Menu} label=${t("tokens.actions", { name: token.name ?? "" })} actions=${actions(token)} />`;
  const title = html`<span class="hidden">${t("tokens.menu")}</span>`;
  return [...columns, { id: "actions", title, class: "number", cell: menu }];
}

function nameCell(token) {
  const isBuiltIn = token.id === null;
  return html`<div class="stack">
    <b title=${token.name}>${token.name}</b>
    <small title=${isBuiltIn ? t("tokens.built_in_title") : undefined}>${isBuiltIn ? t("tokens.built_in") : html`<code>${token.prefix}…</code>`}</small>
  </div>`;
}

/** The limits in short, each in full on hover. */
function limitsCell(token) {
  if (token.id === null) return html`<span class="muted">${t("tokens.unlimited")}</span>`;
  // That of a day is beside what is used of it.
  const { models, networks, requests_per_minute: perMinute, tokens_per_day: perDay } = token;
  const tags = [
    models && [listText("tokens.n_models", models), models.join("\n")],
    networks && [listText("tokens.n_networks", networks), networks.join("\n")],
    perMinute !== null && [
      t("tokens.per_minute", { value: compact(perMinute) }),
      number(perMinute),
    ],
  ].filter(Boolean);
  if (tags.length === 0 && perDay !== null)
    return html`<span class="muted">${t("tokens.only_per_day")}</span>`;
  if (tags.length === 0) return html`<span class="muted">${t("tokens.unlimited")}</span>`;
  return html`<div class="limits">
    ${tags.map(([text, title]) => html`<span class="tag" key=${text} title=${title}>${text}</span>`)}
  </div>`;
}

/** One item itself, or how many there are. */
function listText(key, items) {
  return items.length === 1 && items[0].length <= 24 ? items[0] : t(key, { n: items.length });
}

function expiryCell({ expires_at: at, previous_until: old, id }, now) {
  if (id === null) return html`<span class="muted">${t("tokens.never")}</span>`;
  const left = at ? new Date(at).getTime() - now : Number.POSITIVE_INFINITY;
  const main = at
    ? html`<time datetime=${at} title=${dateTime(at)} class=${left > 0 && left < 7 * DAY ? "soon" : ""}>
        ${left > 0 ? t("tokens.left", { time: span(left > 2 * DAY ? left - (left % DAY) : left) }) : relative(at, now)}
      </time>`
    : html`<span class="muted">${t("tokens.never")}</span>`;
  const isRotating = old && new Date(old).getTime() > now;
  return html`<div class="stack">
    ${main}
    ${
      isRotating &&
      html`<small title=${dateTime(old)}>
        ${t("tokens.old_until", { time: span(new Date(old).getTime() - now) })}
      </small>`
    }
  </div>`;
}

/** A figure of a token: 0 without calls, and a dash while it is not known. */
function amount(group, read) {
  return group === undefined ? "–" : compact(group === null ? 0 : read(group));
}

function useCell(token, group) {
  if (group === undefined) return "–";
  if (group === null) return html`<span class="muted">${t("tokens.unused")}</span>`;
  const { requests } = group;
  const successes = Math.min(group.successes, requests);
  const link = linkTo(["calls"], { token: token.id ?? 0 });
  const share = t("tokens.success", { share: percent(successes, requests) });
  return html`<div class="stack number">
    <a href=${link} title=${t("tokens.calls_of", { name: token.name ?? "" })}>
      ${t("tokens.requests", { n: requests, value: compact(requests) })}
    </a>
    <small title=${t("tokens.success_title", { n: requests, successes })}>
      ${t("tokens.n_tokens", { n: tokensOf(group), value: compact(tokensOf(group)) })} · ${share}
    </small>
  </div>`;
}

function todayCell(token, group) {
  const text = amount(group, tokensOf);
  const limit = token.tokens_per_day ?? null;
  if (limit === null) return html`<span class="number">${text}</span>`;
  const used = group ? tokensOf(group) : 0;
  const words = t("tokens.used_of", { used: text, limit: compact(limit) });
  const isUsedUp = used >= limit;
  return html`<div class="today">
    <span class="number">${words}</span>
    <small>${isUsedUp ? t("tokens.used_up") : group !== undefined && percent(used, limit)}</small>
    <${Gauge} used=${used} limit=${limit} label=${t("tokens.today")} text=${words} />
  </div>`;
}

function actionsOf(token, setDialog, changed) {
  const change = async (action, text) => {
    try {
      await send("POST", `tokens/${token.id}/${action}`, {});
      notify(text);
      changed();
    } catch (/** @type {any} */ error) {
      notify(errorText(error), "bad");
    }
  };
  const name = token.name ?? "";
  const toggle =
    token.disabled_at === null
      ? { name: t("tokens.disable"), act: () => change("disable", t("tokens.disabled", { name })) }
      : { name: t("tokens.enable"), act: () => change("enable", t("tokens.enabled", { name })) };
  return [
    { name: t("tokens.edit"), act: () => setDialog({ form: TokenForm, token }) },
    toggle,
    { name: t("tokens.rotate"), act: () => setDialog({ form: RotateForm, token }) },
    {
      name: t("tokens.calls"),
      act: () => {
        location.hash = linkTo(["calls"], { token: token.id });
      },
    },
    { name: t("delete"), act: () => setDialog({ remove: token }), danger: true },
  ];
}

function DeleteDialog({ token, onClose, onDone }) {
  const name = token.name ?? "";
  const remove = async () => {
    await send("DELETE", `tokens/${token.id}`);
    notify(t("tokens.deleted", { name }));
    onDone();
  };
  return html`<${FormDialog}
    title=${t("tokens.delete_title", { name })}
    submit=${t("delete")}
    danger
    onSubmit=${remove}
    onClose=${onClose}
  >
    <p class="gap">${t("tokens.delete_text")}</p>
    ${token.disabled_at === null && html`<p class="gap muted">${t("tokens.delete_hint")}</p>`}
  <//>`;
}
