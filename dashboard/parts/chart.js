// Plots over time, drawn by uPlot.

import { clockTime, date, dayAndTime } from "../lib/format.js";
import { html } from "../lib/html.js";
import { currentLanguage, t } from "../lib/i18n.js";
import { useEffect, useRef } from "../vendor/hooks.js";
import uPlot from "../vendor/uplot.js";

/**
 * @typedef {object} Series
 * @property {string} name
 * @property {(number | null)[]} values
 * @property {string} color a custom property, such as `--good`
 */

const HEIGHT = 180;
const DAY_S = 86_400;

/**
 * `times` are in milliseconds. `format` writes a value with its unit. With `isStacked`, each series
 * is drawn on top of those before it.
 */
export function Chart({ label, times, series, format, isStacked = false, isBars = false }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(null);
  const data = dataOf(times, series, isStacked);
  // What the plot that is there reads.
  const shown = useRef({ data, series, format });
  shown.current = { data, series, format };
  // What a new plot is needed for; new values are set in the one that is there.
  const shape = JSON.stringify([series.map(({ name, color }) => [name, color]), currentLanguage()]);
  useEffect(() => {
    const element = box.current;
    const draw = () => {
      plot.current?.destroy();
      const options = optionsOf(element, shown, { isStacked, isBars });
      plot.current = new uPlot(options, shown.current.data, element);
    };
    draw();
    const observer = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    addEventListener("themechange", draw);
    return () => {
      removeEventListener("themechange", draw);
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, isStacked, isBars]);
  useEffect(() => {
    plot.current?.setData(data);
  }, [JSON.stringify(data)]);
  return html`<figure class="chart">
    <div ref=${box} role="img" aria-label=${`${label}. ${summaryOf(series, format)}`}></div>
  </figure>`;
}

/** The latest values in words, for those who do not see the plot. */
function summaryOf(series, format) {
  const latest = series.map(({ name, values }) => {
    const value = values.findLast((value) => value !== null && value !== undefined);
    return `${name}: ${value === undefined ? t("none") : format(value)}`;
  });
  return latest.join(", ");
}

/**
 * The values as they are drawn: in seconds, and each on top of those before if they are stacked.
 *
 * @param {number[]} times
 * @param {Series[]} series
 * @param {boolean} isStacked
 * @returns {uPlot.AlignedData}
 */
export function dataOf(times, series, isStacked) {
  const sums = times.map(() => 0);
  const drawn = series.map(({ values }) =>
    isStacked
      ? values.map((value, at) => {
          sums[at] += value ?? 0;
          return sums[at];
        })
      : values,
  );
  return [times.map((time) => time / 1000), ...drawn];
}

function optionsOf(element, shown, { isStacked, isBars }) {
  const { series } = shown.current;
  const format = (value) => shown.current.format(value);
  const color = (name) => colorOf(element, name);
  const axis = {
    stroke: color("--muted"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
    font: `12px ${getComputedStyle(element).fontFamily}`,
  };
  const raw = (at, index) => shown.current.series[at - 1].values[index];
  const drawn = series.map(({ name, color: property }, at) => ({
    label: name,
    stroke: color(property),
    width: isBars ? 0 : 2,
    fill: isStacked || isBars ? color(property) : undefined,
    paths: isBars ? uPlot.paths.bars({ size: [0.8, 40] }) : undefined,
    points: { show: false },
    spanGaps: false,
    // The value itself, not the sum up to it.
    value: (_plot, _value, _series, index) =>
      index === null || raw(at + 1, index) == null ? "–" : format(raw(at + 1, index)),
  }));
  return {
    width: element.clientWidth,
    height: HEIGHT,
    // The last of a stack is drawn first, since it is the highest.
    series: [
      {
        label: t("time"),
        value: (_plot, at) => (at ? `${date(at * 1000)} ${clockTime(at * 1000)}` : "–"),
      },
      ...drawn,
    ],
    bands: isStacked ? bandsOf(series.length) : undefined,
    axes: [
      { ...axis, values: (_plot, ticks) => ticks.map((at) => tickOf(at * 1000, ticks)) },
      { ...axis, size: 64, values: (_plot, ticks) => ticks.map(format) },
    ],
    scales: {
      y: {
        range: (_plot, _min, max) =>
          /** @type {[number, number]} */ ([0, max > 0 ? max * 1.05 : 1]),
      },
    },
    cursor: { y: false, points: { size: 7 } },
  };
}

/** A time on the axis: the day, too, where the axis has more than one. */
function tickOf(time, ticks) {
  const isLong = ticks.at(-1) - ticks[0] > DAY_S;
  return isLong ? dayAndTime(time) : clockTime(time);
}

/** Fills between each series and the one below it. */
function bandsOf(count) {
  return Array.from({ length: count - 1 }, (_, at) => ({
    series: /** @type {[number, number]} */ ([at + 2, at + 1]),
  }));
}

/** A custom property as a colour that a canvas understands. */
function colorOf(element, property) {
  element.style.color = `var(${property})`;
  const { color } = getComputedStyle(element);
  element.style.color = "";
  return color;
}
