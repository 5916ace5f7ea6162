// One request with its attempts, and where its time went.

import { duration, number } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { useNames } from "../lib/names.js";
import { usePoll } from "../lib/poll.js";
import { linkTo } from "../lib/route.js";
import { explainRequest, waterfall } from "../lib/waterfall.js";
import { Card, Figure, Heading, Outcome, Time } from "../parts/basics.js";
import { Loaded } from "../parts/states.js";

export default function RequestView({ route }) {
  const request = usePoll(`requests/${encodeURIComponent(route.path[1])}`, 30);
  return html`<p><a href=${linkTo(["calls"])}>← ${t("nav.calls")}</a></p>
    <${Heading} title=${t("request.title")} />
    <${Loaded} of=${request}>${(data) => html`<${Details} request=${data} />`}<//>`;
}

function Details({ request }) {
  const { attempts, arrived_at: arrived, request_id: id } = request;
  const { bars, total } = waterfall(arrived, attempts);
  const last = attempts.at(-1);
  return html`<div class="grid">
    <${Why} request=${request} />
    <dl class="figures full">
      <${Figure} name=${t("overview.duration")} value=${duration(total)} note=${html`<${Time} at=${arrived} style="long" />`} />
      <${Figure} name=${t("request.attempts")} value=${number(attempts.length)} note=${last.model} />
      <${Figure} name=${t("calls.first_byte")} value=${duration(firstByte(bars, attempts))} note=${t("request.since_arrival")} />
      <${Figure} name=${t("overview.tokens")} value=${number(last.output_tokens)} note=${t("request.tokens", tokensOf(last))} />
    </dl>
    <${Card} title=${t("request.waterfall")} class="full">
      <${Waterfall} ...${{ attempts, bars, total }} />
    <//>
    <p class="muted full">${t("request.id")} <code>${id}</code></p>
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

function Why({ request }) {
  const sentences = explainRequest(request.arrived_at, request.attempts);
  return html`<${Card} title=${t("slow.title")} class="full">
    <ul class="why">
      ${sentences.map(({ kind, values }) => {
        const words = wordsOf(values);
        const advice = named("slow", `${kind}.advice`, words);
        return html`<li key=${`${kind}${values.outcome ?? ""}`}>
          <p><b>${named("slow", kind, words)}</b></p>
          ${advice !== `${kind}.advice` && html`<p class="muted">${advice}</p>`}
        </li>`;
      })}
    </ul>
  <//>`;
}

function wordsOf(values) {
  const words = { ...values };
  if ("outcome" in values) words.outcome = named("outcome", values.outcome);
  for (const name of ["ms", "total"]) {
    if (name in values) words[name] = duration(values[name]);
  }
  return words;
}

function Waterfall({ attempts, bars, total }) {
  const { keys } = useNames();
  const share = (ms) => `${total > 0 ? (ms / total) * 100 : 0}%`;
  return html`<ol class="waterfall">
      ${attempts.map((attempt, at) => {
        const { start, waiting, streaming, gap } = bars[at];
        const name = keys.get(attempt.key_id) ?? `#${attempt.key_id}`;
        return html`<li key=${attempt.id}>
          <div class="pair">
            <span>
              <b>${t("request.attempt", { n: attempt.attempt ?? at + 1 })}</b>
              <a href=${linkTo(["keys", attempt.key_id])}>${name}</a>
              <${Outcome} of=${attempt.outcome} />
              ${attempt.response_status !== null && html` <span class="tag">HTTP ${attempt.response_status}</span>`}
              ${attempt.drill && html` <span class="tag">${t("keys.in_drill")}</span>`}
            </span>
            <span class="number muted">
              ${gap > 0 && `${t("request.gap", { ms: duration(gap) })} · `}
              ${t("request.waiting", { ms: duration(waiting) })} · ${t("request.streaming", { ms: duration(streaming) })}
            </span>
          </div>
          <div class="track" aria-hidden="true">
            <span class="between" style=${{ left: share(start - gap), width: share(gap) }}></span>
            <span class="waiting" style=${{ left: share(start), width: share(waiting) }}></span>
            <span class="streaming" style=${{ left: share(start + waiting), width: share(streaming) }}></span>
          </div>
          ${attempt.error_message && html`<p class="muted">${attempt.error_message}</p>`}
        </li>`;
      })}
    </ol>
    <p class="legend muted">
      <span><span class="cell between"></span> ${t("request.legend_gap")}</span>
      <span><span class="cell waiting"></span> ${t("request.legend_waiting")}</span>
      <span><span class="cell streaming"></span> ${t("request.legend_streaming")}</span>
    </p>`;
}
