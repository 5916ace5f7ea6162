// What operators do to keys: the menu of a key, and its dialogs.

import { send } from "../lib/api.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { numberOf, partsOf, timeOf, toLocalInput } from "../lib/lists.js";
import { useState } from "../vendor/hooks.js";
import { Field } from "./basics.js";
import { FormDialog } from "./dialog.js";
import { Menu } from "./menu.js";
import { notify } from "./notice.js";
import { errorText } from "./states.js";

const HOUR_MS = 3_600_000;

/** The name of a key, or its id. */
export function nameOf({ id, name }) {
  return name ? `${name} (#${id})` : `#${id}`;
}

/**
 * The menu of a key. `onChange` is called after each change, and `onDialog` with the name of a dialog
 * to open: it must not be in a row, which may go.
 */
export function KeyMenu({ keyed, onChange, onDialog, children = "⋯" }) {
  const run = async (action) => {
    try {
      await send("POST", `keys/${keyed.id}/${action}`);
      notify(t(`keys.done_${action}`, { name: nameOf(keyed) }));
      onChange();
    } catch (error) {
      notify(errorText(error), "bad");
    }
  };
  const test = async () => {
    notify(t("keys.testing", { name: nameOf(keyed) }));
    try {
      const { outcome, message } = await send("POST", `keys/${keyed.id}/test`);
      const values = { name: nameOf(keyed), outcome: named("outcome", outcome) };
      const text = `${t("keys.tested", values)} ${message ?? ""}`;
      notify(text, outcome === "success" ? "good" : "bad");
      onChange();
    } catch (error) {
      notify(errorText(error), "bad");
    }
  };
  const actions = [
    { name: t("keys.test"), act: test },
    keyed.status !== "active" && { name: t("keys.enable"), act: () => run("enable") },
    { name: t("keys.pause"), act: () => onDialog("pause") },
    keyed.status !== "disabled" && { name: t("keys.disable"), act: () => onDialog("disable") },
    { name: t("keys.reset"), act: () => run("reset") },
    { name: t("keys.edit"), act: () => onDialog("edit") },
    { name: t("keys.drill"), act: () => onDialog("drill") },
    { name: t("delete"), danger: true, act: () => onDialog("delete") },
  ];
  return html`<${Menu} label=${t("keys.actions", { name: nameOf(keyed) })} actions=${actions}>${children}<//>`;
}

/** The dialog of this name about a key. */
export function KeyDialog({ name, keyed, onChange, onDelete = onChange, onClose }) {
  const Shown = DIALOGS[name];
  const finish = name === "delete" ? onDelete : onChange;
  return html`<${Shown} keys=${[keyed]} onClose=${onClose} apply=${applyTo([keyed], finish)} />`;
}

/** Sends a change for each key, and then calls `onDone`. */
function applyTo(keys, onDone) {
  return async (method, action, body) => {
    for (const { id } of keys) {
      await send(method, action === "" ? `keys/${id}` : `keys/${id}/${action}`, body);
    }
    onDone();
  };
}

export function PauseDialog({ keys, apply, onClose }) {
  const [soon] = useState(() => toLocalInput(Date.now() + HOUR_MS));
  return html`<${FormDialog}
    title=${t("keys.pause_title", { n: keys.length })}
    submit=${t("keys.pause")}
    onClose=${onClose}
    onSubmit=${(form) => apply("POST", "pause", { until: timeOf(form.get("until")) })}
  >
    <${Field} label=${t("keys.pause_until")} hint=${t("keys.pause_hint")}>
      <input type="datetime-local" name="until" required defaultValue=${soon} />
    <//>
  <//>`;
}

export function DisableDialog({ keys, apply, onClose }) {
  const submit = (form) => {
    const reason = String(form.get("reason")).trim();
    return apply("POST", "disable", reason ? { reason } : {});
  };
  return html`<${FormDialog}
    title=${t("keys.disable_title", { n: keys.length })}
    submit=${t("keys.disable")}
    onClose=${onClose}
    onSubmit=${submit}
  >
    <${Field} label=${t("keys.reason")} hint=${t("keys.disable_hint")}>
      <input name="reason" maxlength="200" />
    <//>
  <//>`;
}

export function DeleteDialog({ keys, apply, onClose }) {
  return html`<${FormDialog}
    title=${t("keys.delete_title", { n: keys.length })}
    submit=${t("delete")}
    danger
    onClose=${onClose}
    onSubmit=${() => apply("DELETE", "", undefined)}
  >
    <p>${t("keys.delete_text")}</p>
  <//>`;
}

function DrillDialog({ keys: [keyed], apply, onClose }) {
  return html`<${FormDialog}
    title=${t("keys.drill_title", { name: nameOf(keyed) })}
    submit=${t("keys.drill_start")}
    onClose=${onClose}
    onSubmit=${(form) => {
      const calls = numberOf(form.get("calls"));
      return apply("POST", "drill", calls === 0 ? { calls } : { fault: form.get("fault"), calls });
    }}
  >
    <p class="muted">${t("keys.drill_text")}</p>
    <${Field} label=${t("keys.drill_fault")}>
      <select name="fault">
        ${["429", "503", "reset"].map((fault) => html`<option key=${fault} value=${fault}>${named("keys.fault", fault)}</option>`)}
      </select>
    <//>
    <${Field} label=${t("keys.drill_calls")} hint=${t("keys.drill_hint")}>
      <input type="number" name="calls" min="0" max="1000" required defaultValue=${keyed.drill?.calls_left ?? 1} />
    <//>
  <//>`;
}

/** How the fields of a key are read. */
const FIELDS = {
  name: textOf,
  project: textOf,
  priority: numberOf,
  tags: partsOf,
  note: textOf,
  allowed_models: partsOf,
  forbidden_models: partsOf,
};

function textOf(text) {
  return text.trim() || null;
}

function EditDialog({ keys: [current], apply, onClose }) {
  // As it was when the dialog opened: only what was changed here is sent.
  const [keyed] = useState(current);
  const shown = (name) => String([keyed[name] ?? ""].flat().join(", "));
  const submit = (form) => {
    const changed = Object.entries(FIELDS).filter(([name]) => form.get(name) !== shown(name));
    if (changed.length === 0) return null;
    const body = Object.fromEntries(changed.map(([name, read]) => [name, read(form.get(name))]));
    return apply("PATCH", "", body);
  };
  return html`<${FormDialog}
    title=${t("keys.edit_title", { name: nameOf(keyed) })}
    submit=${t("save")}
    onClose=${onClose}
    onSubmit=${submit}
  >
    ${Object.keys(FIELDS).map((name) => {
      const isNumber = name === "priority";
      const rules = isNumber ? { type: "number", min: 0, max: 1_000_000, required: true } : {};
      return html`<${Field} key=${name} label=${t(`keys.field_${name}`)} hint=${hintOf(name)}>
        <input name=${name} defaultValue=${shown(name)} ...${rules} />
      <//>`;
    })}
  <//>`;
}

function hintOf(name) {
  const hint = named("keys", `hint_${name}`);
  return hint === `hint_${name}` ? null : hint;
}

const DIALOGS = {
  pause: PauseDialog,
  disable: DisableDialog,
  delete: DeleteDialog,
  drill: DrillDialog,
  edit: EditDialog,
};
