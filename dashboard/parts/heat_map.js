// The heat map: a row per key, and a cell per hour.

import { shortTime } from "../lib/format.js";
import { cellsOf } from "../lib/heat.js";
import { hoursAgo } from "../lib/hours.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { useNow, usePoll } from "../lib/poll.js";
import { linkTo } from "../lib/route.js";
import { useRef } from "../vendor/hooks.js";
import { errorText } from "./states.js";

const HOUR_MS = 3_600_000;
const HOURS = 24;
/** The most keys of a request. */
const MAX_IDS = 1000;

/** The activity of the first keys by id, and the times of the cells. */
export function useActivity(keys) {
  const now = useNow(60);
  const from = hoursAgo(HOURS - 1, now);
  const ids = keys.slice(0, MAX_IDS).map(({ id }) => id);
  // In an order of their own, so that another order of the list asks for the same.
  const list = ids.toSorted((one, other) => one - other).join(",");
  const path = `keys/activity?ids=${list}&from=${new Date(from).toISOString()}`;
  const { data, error } = usePoll(ids.length === 0 ? null : path, 60);
  // While that of more keys is read, that of the others stays.
  const known = useRef(new Map());
  if (data) known.current = new Map(data.items.map(({ key_id: id, hours }) => [id, hours]));
  const times = Array.from({ length: HOURS }, (_, hour) => from + hour * HOUR_MS);
  const isLoading = ids.length > 0 && !data && known.current.size === 0;
  return { byKey: known.current, times, isLoading, error };
}

export function HeatRow({ keyed, activity }) {
  const { byKey, times, isLoading, error } = activity;
  if (isLoading && error) return html`<span class="error">${errorText(error)}</span>`;
  if (isLoading) return html`<span class="muted">${t("loading")}</span>`;
  const cells = cellsOf(byKey.get(keyed.id) ?? [], times);
  return html`<div class="heat">
    ${cells.map((cell) =>
      cell.fault === null
        ? html`<span key=${cell.time} class="cell" title=${titleOf(cell)}></span>`
        : html`<a
            key=${cell.time}
            class="cell heat-${cell.fault} strength-${cell.strength}"
            href=${linkToCalls(keyed, cell)}
            title=${titleOf(cell)}
            aria-label=${titleOf(cell)}
          ></a>`,
    )}
  </div>`;
}

function titleOf({ time, calls, failures, fault }) {
  const values = { at: shortTime(time), n: calls, failures, fault: named("fault", fault) };
  if (calls === 0) return t("heat.none", values);
  return failures === 0 ? t("heat.good", values) : t("heat.failures", values);
}

function linkToCalls({ id }, { time }) {
  const iso = (time) => new Date(time).toISOString();
  return linkTo(["calls"], { key: id, from: iso(time), until: iso(time + HOUR_MS) });
}

export function HeatLegend() {
  return html`<p class="legend muted">
    ${["success", "quota", "upstream", "key", "client"].map(
      (fault) =>
        html`<span key=${fault}><span class="cell heat-${fault} strength-4"></span> ${named("fault", fault)}</span>`,
    )}
    <span>${t("heat.strength")}</span>
  </p>`;
}
