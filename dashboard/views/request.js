// One request with its attempts, and where its time went.

import { compact, duration, number } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { useNames } from "../lib/names.js";
import { useNow, usePoll } from "../lib/poll.js";
import { linkTo } from "../lib/route.js";
import { explainRequest } from "../lib/slow.js";
import { arrivalOf, waterfall } from "../lib/waterfall.js";
import { Card, Figure, Heading, Outcome, Time } from "../parts/basics.js";
import { Empty, Loaded } from "../parts/states.js";

/** A request that arrived so long ago, in milliseconds, may still make attempts. */
const YOUNG_MS = 2 * 60_000;

export default function RequestView({ route }) {
  const id = route.path[1];
  const now = useNow(10);
  const isYoung = now - (arrivalOf(id) ?? 0) < YOUNG_MS;
  const request = usePoll(`requests/${encodeURIComponent(id)}`, isYoung ? 3 : 60);
  const isUnknown = request.data === undefined && request.error?.status === 404;
  return html`<p><a href=${linkTo(["calls"])}>← ${t("nav.calls")}</a></p>
    <${Heading} title=${t("request.title")} />
    ${
      isUnknown
        ? html`<${Unknown} id=${id} />`
        : html`<${Loaded} of=${request} lines=${8}>
            ${(data) => html`<${Details} request=${data} isYoung=${isYoung} />`}
          <//>`
    }`;
}

function Unknown({ id }) {
  return html`<div class="card">
    <${Empty}>
      <h2>${t("request.unknown")}</h2>
      <code class="id">${id}</code>
      <p>${t("request.unknown_text")}</p>
      <a class="button" href=${linkTo(["calls"])}>${t("nav.calls")}</a>
    <//>
  </div>`;
}

function Details({ request, isYoung }) {
  const { attempts, arrived_at: arrived, request_id: id } = request;
  const { keys, tokens } = useNames();
  const { bars, total } = waterfall(arrived, attempts);
  const last = attempts.at(-1);
  return html`<div class="grid">
    <${Why} request=${request} keys=${keys} mayGoOn=${isYoung && !last.success} />
    <dl class="figures full">
      <${Figure} name=${t("overview.duration")} value=${duration(total)} note=${html`<${Time} at=${arrived} style="long" />`} />
      <${Figure} name=${t("request.attempts")} value=${number(attempts.length)} note=${last.model} />
      <${Figure} name=${t("calls.first_byte")} value=${duration(firstByte(bars, attempts))} note=${t("request.since_arrival")} />
      <${Figure} name=${t("overview.tokens")} value=${number(last.output_tokens)} note=${last.input_tokens !== null && t("request.tokens", tokensOf(last))} />
    </dl>
    <${Card} title=${t("request.waterfall")} class="full">
      <${Waterfall} ...${{ attempts, bars, total, keys }} />
    <//>
    <p class="muted full">
      ${t("request.id")}: <code class="id">${id}</code><br />
      ${t("calls.token")}: ${last.token_id === null ? t("calls.builtin") : nameOf(tokens, last.token_id)}
    </p>
  </div>`;
}

/** When the first byte of the last attempt arrived, since the request did. */
function firstByte(bars, attempts) {
  const bar = bars.at(-1);
  return attempts.at(-1).first_byte_ms === null ? null : bar.start + bar.waiting;
}

function tokensOf(call) {
  return {
    input: number(call.input_tokens),
    output: number(call.output_tokens),
    thinking: number(call.thinking_tokens),
    cached: number(call.cached_tokens),
  };
}

function nameOf(keys, id) {
  return keys.get(id) ?? `#${id}`;
}

/** How it ended, as a title; then why, and what can be done. */
function Why({ request, keys, mayGoOn }) {
  const [result, ...reasons] = explainRequest(request.arrived_at, request.attempts);
  const tone = result.kind === "failed" ? "bad" : result.kind === "left" ? "warn" : "good";
  const words = (values) => wordsOf(values, keys);
  return html`<section class="card full verdict ${tone}">
    <h2>${named("slow", result.kind, words(result.values))}</h2>
    ${result.advice && html`<p>${named("remedy", result.advice)}</p>`}
    ${mayGoOn && html`<p class="muted">${t("request.may_go_on")}</p>`}
    ${
      reasons.length > 0 &&
      html`<ul class="why" aria-label=${t("slow.title")}>
        ${reasons.map(
          ({ kind, values, advice }) => html`<li key=${`${kind}${values.outcome ?? ""}${advice}`}>
            <b>${named("slow", kind, words(values))}</b>
            ${advice && html`<span class="muted">${named("remedy", advice, words(values))}</span>`}
          </li>`,
        )}
      </ul>`
    }
  </section>`;
}

function wordsOf(values, keys) {
  const words = { ...values };
  if ("outcome" in values) words.outcome = named("outcome", values.outcome);
  if ("key" in values) words.key = nameOf(keys, values.key);
  for (const name of ["ms", "total"]) {
    if (name in values) words[name] = duration(values[name]);
  }
  return words;
}

function Waterfall({ attempts, bars, total, keys }) {
  const share = (ms) => `${total > 0 ? (ms / total) * 100 : 0}%`;
  return html`<ol class="waterfall">
      ${attempts.map(
        (attempt, at) => html`<li key=${attempt.id}>
          <${Attempt} ...${{ attempt, at, bar: bars[at], keys, share }} />
        </li>`,
      )}
    </ol>
    <p class="legend muted">
      <span><span class="cell between"></span> ${t("request.legend_gap")}</span>
      <span><span class="cell waiting"></span> ${t("request.legend_waiting")}</span>
      <span><span class="cell streaming"></span> ${t("request.legend_streaming")}</span>
    </p>`;
}

function Attempt({ attempt, at, bar, keys, share }) {
  const { start, waiting, streaming, gap } = bar;
  return html`<div class="pair">
      <span>
        <b>${t("request.attempt", { n: attempt.attempt ?? at + 1 })}</b>
        <a href=${linkTo(["keys", attempt.key_id])}>${nameOf(keys, attempt.key_id)}</a>
        <${Outcome} of=${attempt.outcome} />
        ${attempt.response_status !== null && html` <span class="tag">HTTP ${attempt.response_status}</span>`}
        ${attempt.drill && html` <span class="tag">${t("keys.in_drill")}</span>`}
      </span>
      <span class="number muted">${partsOf(attempt, bar).join(" · ")}</span>
    </div>
    <div class="track" aria-hidden="true">
      ${gap > 0 && html`<span class="between" style=${{ left: share(start - gap), width: share(gap) }}></span>`}
      ${waiting > 0 && html`<span class="waiting" style=${{ left: share(start), width: share(waiting) }}></span>`}
      ${streaming > 0 && html`<span class="streaming" style=${{ left: share(start + waiting), width: share(streaming) }}></span>`}
    </div>
    ${attempt.error_message && html`<p class="message muted">${attempt.error_message}</p>`}`;
}

/** The parts of an attempt's time in words, and its tokens. */
function partsOf(attempt, { waiting, streaming, gap, kind, isOpen }) {
  const wait = attempt.first_byte_ms === null ? "request.silent" : "request.waiting";
  const { input_tokens: input, output_tokens: output } = attempt;
  return [
    gap > 0 && t(`request.gap_${kind}`, { ms: duration(gap) }),
    t(wait, { ms: duration(waiting) }),
    streaming > 0 && t("request.streaming", { ms: duration(streaming) }),
    isOpen && t("request.open"),
    output !== null &&
      t("request.attempt_tokens", { input: compact(input), output: compact(output) }),
  ].filter(Boolean);
}
