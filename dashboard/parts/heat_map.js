// The heat map: a row per key, and a cell per hour.

import { shortTime } from "../lib/format.js";
import { cellsOf } from "../lib/heat.js";
import { hoursAgo } from "../lib/hours.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { FAULTS } from "../lib/outcomes.js";
import { useNow, usePoll } from "../lib/poll.js";
import { linkTo } from "../lib/route.js";
import { useRef } from "../vendor/hooks.js";

const HOUR_MS = 3_600_000;
const HOURS = 24;

/** The activity of keys by id, and the times of the cells. */
export function useActivity(keys) {
  const now = useNow(60);
  const from = hoursAgo(HOURS - 1, now);
  const ids = keys.map(({ id }) => id);
  // In an order of their own, so that another order of the list asks for the same.
  const list = ids.toSorted((one, other) => one - other).join(",");
  const path = `keys/activity?ids=${list}&from=${new Date(from).toISOString()}`;
  const { data, error, refresh } = usePoll(ids.length === 0 ? null : path, 60);
  // What was read of other keys stays, for when they come into view again.
  const known = useRef(new Map());
  if (data) {
    for (const id of ids) known.current.set(id, []);
    for (const { key_id: id, hours } of data.items) known.current.set(id, hours);
  }
  const times = Array.from({ length: HOURS }, (_, hour) => from + hour * HOUR_MS);
  return { byKey: known.current, times, error, refresh };
}

/** The hours of a key. All of them are one link, to its calls; a click on a cell leads to its hour. */
export function HeatRow({ keyed, activity }) {
  const { byKey, times, error } = activity;
  const hours = byKey.get(keyed.id);
  if (!hours) return html`<span class="muted">${error ? "–" : t("loading")}</span>`;
  const cells = cellsOf(hours, times);
  const sum = (member) => cells.reduce((sum, cell) => sum + cell[member], 0);
  const open = (event) => {
    const time = Number(event.target.dataset.time);
    if (!time || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    location.hash = linkToCalls(keyed, time, time + HOUR_MS);
  };
  return html`<a
    class="heat"
    href=${linkToCalls(keyed, times[0], times[0] + HOURS * HOUR_MS)}
    aria-label=${t("heat.sum", { n: sum("calls"), failures: sum("failures") })}
    onClick=${open}
  >
    ${cells.map(
      (cell) => html`<span
        key=${cell.time}
        class="cell heat-${cell.fault} strength-${cell.strength}"
        title=${titleOf(cell)}
        data-time=${cell.time}
      ></span>`,
    )}
  </a>`;
}

function titleOf({ time, calls, failures, fault }) {
  const values = { at: shortTime(time), n: calls, failures, fault: named("fault", fault) };
  return failures === 0 ? t("heat.good", values) : t("heat.failures", values);
}

function linkToCalls({ id }, from, until) {
  const iso = (time) => new Date(time).toISOString();
  return linkTo(["calls"], { key: id, from: iso(from), until: iso(until) });
}

export function HeatLegend() {
  return html`<p class="legend muted">
    ${FAULTS.map(
      (fault) =>
        html`<span key=${fault}><span class="cell heat-${fault} strength-4"></span> ${named("fault", fault)}</span>`,
    )}
    <span>${t("heat.strength")}</span>
  </p>`;
}
