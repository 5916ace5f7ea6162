// What can be done to all selected keys.

import { send } from "../lib/api.js";
import { forEach, testKeys } from "../lib/bulk.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { useRef, useState } from "../vendor/hooks.js";
import { DeleteDialog, DisableDialog, PauseDialog } from "./key_actions.js";
import { notify } from "./notice.js";
import { errorText } from "./states.js";

/** So many failures are told. */
const MAX_TOLD = 3;
const DIALOGS = { pause: PauseDialog, disable: DisableDialog, delete: DeleteDialog };

export function Selection({ keys, selected, setSelected }) {
  const [dialog, setDialog] = useState(null);
  const ids = [...selected];
  const { progress, run, test } = useBulk(ids, (left) => {
    setSelected(new Set(left));
    keys.refresh();
  });
  const latest = useRef(keys);
  latest.current = keys;
  const selectAll = async () => {
    try {
      const all = await keys.all();
      // The filters may have changed meanwhile.
      if (latest.current.all === keys.all) setSelected(new Set(all.map(({ id }) => id)));
    } catch (error) {
      notify(errorText(error), "bad");
    }
  };
  const post = (action) => run(t(`keys.${action}`), (id) => send("POST", `keys/${id}/${action}`));
  const apply = async (method, action, body) => {
    const label = t(dialog === "delete" ? "delete" : `keys.${dialog}`);
    run(label, (id) => send(method, action === "" ? `keys/${id}` : `keys/${id}/${action}`, body));
  };
  if (progress) return html`<${Progress} ...${progress} />`;
  if (ids.length === 0) return null;
  const Shown = DIALOGS[dialog];
  return html`<div class="filters selection" role="group" aria-label=${t("keys.selection")}>
    <b>${t("keys.selected", { n: ids.length })}</b>
    ${keys.hasMore && html`<button type="button" onClick=${selectAll}>${t("keys.select_all")}</button>`}
    <button type="button" onClick=${test}>${t("keys.test")}</button>
    ${["enable", "reset"].map((action) => html`<button type="button" key=${action} onClick=${() => post(action)}>${t(`keys.${action}`)}</button>`)}
    <button type="button" onClick=${() => setDialog("pause")}>${t("keys.pause")}</button>
    <button type="button" onClick=${() => setDialog("disable")}>${t("keys.disable")}</button>
    <button type="button" class="danger" onClick=${() => setDialog("delete")}>${t("delete")}</button>
    <button type="button" class="quiet" onClick=${() => setSelected(new Set())}>${t("keys.select_none")}</button>
    ${Shown && html`<${Shown} keys=${ids.map((id) => ({ id, name: null }))} onClose=${() => setDialog(null)} apply=${apply} />`}
  </div>`;
}

/** Changes or tests keys. `onEnd` gets those that failed, or that were not begun once it is stopped. */
function useBulk(ids, onEnd) {
  const [progress, setProgress] = useState(null);
  const begin = (label) => {
    const stop = new AbortController();
    const show = (done) => setProgress({ label, of: ids.length, done, stop });
    show(0);
    return { show, signal: stop.signal };
  };
  const end = (left, failures) => {
    setProgress(null);
    const texts = [t("keys.bulk_done", { done: ids.length - left.length, n: ids.length })];
    if (left.length > 0) texts.push(t("keys.bulk_left"));
    texts.push(...failures.slice(0, MAX_TOLD));
    if (failures.length > MAX_TOLD) texts.push("…");
    notify(texts.join(" "), left.length > 0 ? "bad" : "good");
    onEnd(left);
  };
  const run = async (label, act) => {
    const { show, signal } = begin(label);
    const { failures, left } = await forEach(ids, act, ({ done }) => show(done), signal);
    const texts = failures.map(({ item, error }) => `#${item}: ${errorText(error)}`);
    end(failures.map(({ item }) => item).concat(left), texts);
  };
  const test = async () => {
    const { show, signal } = begin(t("keys.test"));
    const succeeded = new Set();
    const texts = [];
    const onTested = (results) => {
      texts.length = 0;
      for (const { id, outcome } of results) {
        if (outcome === "success") succeeded.add(id);
        else texts.push(`#${id}: ${named("outcome", outcome)}.`);
      }
      show(results.length);
    };
    try {
      await testKeys(ids, (body) => send("POST", "keys/test", body), onTested, signal);
    } catch (error) {
      texts.unshift(errorText(error));
    }
    const left = ids.filter((id) => !succeeded.has(id));
    end(left, texts);
  };
  return { progress, run, test };
}

export function Progress({ label, done, of, stop }) {
  return html`<div class="filters selection" role="status">
    <b>${label}</b>
    <progress value=${done} max=${of} aria-label=${label}></progress>
    <span class="number">${t("keys.progress", { done, of })}</span>
    <button type="button" onClick=${() => stop.abort()}>${t("keys.stop")}</button>
  </div>`;
}
