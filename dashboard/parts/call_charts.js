// The plots of calls over time.

import { compact, duration } from "../lib/format.js";
import { everyHour } from "../lib/hours.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { FAULTS, sumByFault } from "../lib/outcomes.js";
import { Chart } from "./chart.js";

const FAULT_COLORS = {
  success: "--good",
  quota: "--quota",
  upstream: "--upstream",
  key: "--bad",
  client: "--client",
  other: "--other",
};

/** The calls of each hour, by whose fault they ended. */
export function CallsChart({ groups, from, now }) {
  const hours = everyHour(groups, from, now);
  const sums = hours.groups.map((group) => sumByFault(group?.outcomes ?? {}));
  const shown = FAULTS.filter((fault) => fault === "success" || sums.some((sum) => sum[fault] > 0));
  const series = shown.map((fault) => ({
    name: named("fault", fault),
    values: sums.map((sum) => sum[fault]),
    color: FAULT_COLORS[fault],
  }));
  return html`<${Chart} label=${t("overview.calls")} times=${hours.times} series=${series} format=${compact} isStacked isBars />`;
}

/** How long calls took, hour by hour. */
export function LatencyChart({ groups, from, now }) {
  const hours = everyHour(groups, from, now);
  const of = (read) => hours.groups.map((group) => (group ? read(group) : null));
  const series = [
    {
      name: t("overview.duration_p95"),
      values: of((group) => group.duration_ms.p95),
      color: "--upstream",
    },
    {
      name: t("overview.duration_p50"),
      values: of((group) => group.duration_ms.p50),
      color: "--accent",
    },
    {
      name: t("overview.first_byte_p50"),
      values: of((group) => group.first_byte_ms.p50),
      color: "--good",
    },
  ];
  return html`<${Chart} label=${t("overview.latency")} times=${hours.times} series=${series} format=${duration} />`;
}

/** The tokens of each hour. */
export function TokensChart({ groups, from, now }) {
  const hours = everyHour(groups, from, now);
  const of = (name) => hours.groups.map((group) => group?.[name] ?? 0);
  const series = [
    { name: t("overview.input"), values: of("input_tokens"), color: "--accent" },
    { name: t("overview.output"), values: of("output_tokens"), color: "--good" },
    { name: t("overview.thinking"), values: of("thinking_tokens"), color: "--upstream" },
  ];
  return html`<${Chart} label=${t("overview.tokens")} times=${hours.times} series=${series} format=${compact} isStacked isBars />`;
}
