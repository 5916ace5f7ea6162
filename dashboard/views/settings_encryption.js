// How the keys are stored, and what to do about it.

import { percent } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { usePoll } from "../lib/poll.js";
import { encryptionState, STORED } from "../lib/settings.js";
import { Card, Copyable } from "../parts/basics.js";
import { Loaded } from "../parts/states.js";

const TONES = {
  sealed: "good",
  sealed_with_previous: "warn",
  in_clear_text: "other",
  unreadable: "bad",
};

/** How urgent a state is: its sign is not a colour alone. */
const SIGNS = {
  unreadable: ["bad", "✕"],
  off: ["warn", "!"],
  rotating: ["warn", "↻"],
  sealing: ["warn", "↻"],
  rotated: ["good", "✓"],
  done: ["good", "✓"],
};

export function EncryptionTab() {
  const counts = usePoll("encryption", 10);
  const settings = usePoll("settings", 60);
  const hasPrevious = settings.data?.items.some(
    ({ name, is_set: isSet }) => name === "encryption_key_previous" && isSet,
  );
  return html`<${Loaded} of=${counts}>
    ${(counts) => {
      const state = encryptionState(counts, hasPrevious ?? false);
      return html`<${Card} title=${t("encryption.stored")}>
          <${Shares} counts=${counts} />
        <//>
        <${Verdict} state=${state} counts=${counts} />
        ${state !== "off" && state !== "unreadable" && html`<${Rotation} />`}`;
    }}
  <//>`;
}

function Shares({ counts }) {
  const total = STORED.reduce((sum, name) => sum + counts[name], 0);
  const words = STORED.map((name) => `${named("encryption", name)}: ${counts[name]}`).join(", ");
  return html`<div class="shares" role="img" aria-label=${words}>
      ${STORED.filter((name) => counts[name] > 0).map(
        (name) => html`<span
          key=${name}
          class=${TONES[name]}
          style=${{ width: `${(counts[name] / total) * 100}%` }}
        ></span>`,
      )}
    </div>
    <dl class="storage-legend">
      ${STORED.map(
        (name) => html`<div key=${name}>
          <dt><i class=${TONES[name]} aria-hidden="true"></i> ${named("encryption", name)}</dt>
          <dd>
            <b class="number">${t("encryption.keys", { n: counts[name] })}</b>
            ${total > 0 && html`<small>${percent(counts[name], total)}</small>`}
            <small>${named("encryption.about", name)}</small>
          </dd>
        </div>`,
      )}
    </dl>`;
}

function Verdict({ state, counts }) {
  const [tone, sign] = SIGNS[state];
  const n = {
    unreadable: counts.unreadable,
    off: counts.in_clear_text,
    rotating: counts.sealed_with_previous,
    sealing: counts.in_clear_text,
  }[state];
  return html`<section class="card verdict ${tone}">
    <h2><span aria-hidden="true">${sign}</span> ${named("encryption.title", state)}</h2>
    <p>${named("encryption.text", state)}</p>
    ${n > 0 && html`<p class="muted">${t("encryption.concerned", { n })}</p>`}
    ${state === "off" && html`<${Commands} steps=${["make", "start"]} />`}
  </section>`;
}

const STEPS = {
  make: 'export SPIN_VARIABLE_ENCRYPTION_KEY="$(keypool secret new)"\necho "$SPIN_VARIABLE_ENCRYPTION_KEY"',
  start: "keypool up",
  previous:
    'export SPIN_VARIABLE_ENCRYPTION_KEY_PREVIOUS="$SPIN_VARIABLE_ENCRYPTION_KEY"\nexport SPIN_VARIABLE_ENCRYPTION_KEY="$(keypool secret new)"\necho "$SPIN_VARIABLE_ENCRYPTION_KEY"',
  restart: "keypool up",
  remove: "unset SPIN_VARIABLE_ENCRYPTION_KEY_PREVIOUS",
};

function Commands({ steps }) {
  return html`<ol class="steps">
    ${steps.map(
      (step) => html`<li key=${step}>
        <p>${named("encryption.step", step)}</p>
        <${Copyable} text=${STEPS[step]} label=${t("first.command")} />
      </li>`,
    )}
  </ol>`;
}

function Rotation() {
  return html`<${Card} title=${t("encryption.rotate")}>
    <p class="muted">${t("encryption.rotate_text")}</p>
    <${Commands} steps=${["previous", "restart", "remove"]} />
    <p class="muted">${t("encryption.several")}</p>
  <//>`;
}
