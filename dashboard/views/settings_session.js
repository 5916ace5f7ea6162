// Who is signed in here, and for how long.

import { span } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { useNow, usePoll } from "../lib/poll.js";
import { Card, Time } from "../parts/basics.js";
import { Loaded } from "../parts/states.js";

export function SessionTab() {
  const session = usePoll("session", 60);
  const now = useNow(30);
  return html`<${Loaded} of=${session}>
    ${({
      permission,
      ends_at: end,
    }) => html`<${Card} class="session" title=${t("settings.tab_session")}>
      <dl class="facts">
        <dt>${t("session.permission")}</dt>
        <dd>
          ${named("session.may", permission)}
          <small>
            <code>${permission === "change" ? "admin_token" : "admin_read_token"}</code>
          </small>
        </dd>
        <dt>${t("session.ends")}</dt>
        <dd>
          ${
            end
              ? html`<${Time} at=${end} style="long" />
                  <small>${t("tokens.left", { time: span(new Date(end).getTime() - now) })}</small>`
              : t("session.no_end")
          }
        </dd>
      </dl>
      <p class="muted above">${t("session.hint")}</p>
      <p class="muted">${t("session.copied_hint")}</p>
    <//>`}
  <//>`;
}
