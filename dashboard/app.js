// The frame around the views, for operators who have signed in.

import { ApiError, readSession, send, signIn, whenSignedOut } from "./lib/api.js";
import { html } from "./lib/html.js";
import { chooseLanguage, currentLanguage, t } from "./lib/i18n.js";
import { forgetValues } from "./lib/poll.js";
import { parseRoute, useRoute } from "./lib/route.js";
import { Permission } from "./lib/session.js";
import { chooseTheme, currentTheme } from "./lib/theme.js";
import { Select } from "./parts/basics.js";
import { Notices } from "./parts/notice.js";
import { Empty, ErrorState, Loading } from "./parts/states.js";
import { useLayoutEffect, useState } from "./vendor/hooks.js";
import { NoAdminToken } from "./views/first_start.js";
import { SignInView } from "./views/sign_in.js";

const KeysView = () => import("./views/keys.js");
const KeyView = () => import("./views/key.js");
const RequestView = () => import("./views/request.js");

/**
 * The views by the first segment of their routes, loaded when they are first shown. Those with a
 * title are in the menu.
 */
const VIEWS = {
  "": { title: "nav.overview", view: () => import("./views/overview.js") },
  keys: { title: "nav.keys", view: KeysView, one: KeyView },
  calls: { title: "nav.calls", view: () => import("./views/calls.js") },
  requests: { one: RequestView, within: "calls" },
  tokens: { title: "nav.tokens", view: () => import("./views/tokens.js") },
  explain: { title: "nav.explain", view: () => import("./views/explain.js") },
  settings: { title: "nav.settings", view: () => import("./views/settings.js") },
};

/**
 * Where the operator stands: `undefined` until that is known, then a session or why there is none.
 *
 * @typedef {{permission: "read" | "change", ends_at: string | null}} Session
 */

export function App() {
  const [session, setSession] = useState(/** @type {Session | undefined} */ (undefined));
  const [error, setError] = useState(null);
  const [, setLanguage] = useState(currentLanguage());

  const open = async (read) => {
    try {
      setSession(await read());
      setError(null);
    } catch (error) {
      setSession(undefined);
      setError(error);
    }
  };
  useLayoutEffect(() => {
    whenSignedOut((error) => {
      forgetValues();
      setSession(undefined);
      setError(error);
    });
    const token = takeToken();
    open(() => (token ? signIn(token) : readSession()));
    // A link that is opened in this tab changes the fragment only.
    const listen = () => {
      const token = takeToken();
      if (token) open(() => signIn(token));
    };
    addEventListener("hashchange", listen);
    return () => removeEventListener("hashchange", listen);
  }, []);

  const signOut = async () => {
    await send("DELETE", "session").catch(() => {});
    forgetValues();
    open(readSession);
  };
  const preferences = html`<${Preferences} onLanguage=${setLanguage} />`;
  if (session) {
    return html`<${Permission.Provider} value=${session.permission}>
      <${Frame} session=${session} onSignOut=${signOut} preferences=${preferences} />
      <${Notices} />
    <//>`;
  }
  if (error?.code === "operator_token_not_configured") {
    return html`<${NoAdminToken} retry=${() => open(readSession)} preferences=${preferences} />`;
  }
  if (error?.status === 401) {
    return html`<${SignInView}
      reason=${error}
      preferences=${preferences}
      onToken=${async (token) => {
        setSession(await signIn(token));
        setError(null);
      }}
    />`;
  }
  if (error) {
    return html`<div class="alone">
      <div class="card"><${ErrorState} error=${error} retry=${() => open(readSession)} /></div>
    </div>`;
  }
  return null;
}

/**
 * Takes the token out of a link such as `#/sign-in?token=…`, so that it stays neither in the
 * address nor in the history.
 */
function takeToken() {
  const { path, query } = parseRoute(location.hash);
  if (path[0] !== "sign-in") return null;
  history.replaceState(null, "", "#/");
  dispatchEvent(new HashChangeEvent("hashchange"));
  return query.token ?? null;
}

function Frame({ session, onSignOut, preferences }) {
  const route = useRoute();
  const [first = "", second] = route.path;
  const found = VIEWS[first];
  const load = second === undefined ? found?.view : (found?.one ?? found?.view);
  const section = found?.within ?? first;
  return html`<div class="frame">
    <a class="skip" href="#content" onClick=${skipToContent}>${t("nav.skip")}</a>
    <header class="sidebar">
      <div class="brand"><img src=${iconUrl()} alt="" /> Gemini Keypool</div>
      <nav aria-label=${t("nav.label")}>
        ${Object.entries(VIEWS)
          .filter(([, { title }]) => title)
          .map(
            ([name, { title }]) => html`<a
              key=${name}
              href=${`#/${name}`}
              aria-current=${name === section ? "page" : undefined}
              >${t(title)}</a
            >`,
          )}
      </nav>
      <div class="preferences">
        ${preferences}
        ${session.permission === "read" && html`<small>${t("session.read_only")}</small>`}
        <button type="button" onClick=${onSignOut}>${t("session.sign_out")}</button>
      </div>
    </header>
    <main id="content" tabindex="-1">
      ${
        load
          ? html`<${View} key=${route.path.join("/")} load=${load} route=${route} />`
          : html`<${Empty}>${t("error.no_view")} <a href="#/">${t("nav.overview")}</a><//>`
      }
    </main>
  </div>`;
}

/** A view, once its module is there. */
function View({ load, route }) {
  const [view, setView] = useState(null);
  const [error, setError] = useState(null);
  const read = () => {
    setError(null);
    load().then(
      (module) => setView(() => module.default),
      () => setError(new ApiError(0, "unreachable", "")),
    );
  };
  useLayoutEffect(read, [load]);
  if (view) return html`<${view} route=${route} />`;
  return error ? html`<${ErrorState} error=${error} retry=${read} />` : html`<${Loading} />`;
}

/** The fragment is the route, so that the link cannot lead to the content itself. */
function skipToContent(event) {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function iconUrl() {
  return new URL("icon.svg", import.meta.url).href;
}

/** The language and the theme. */
function Preferences({ onLanguage }) {
  const [theme, setTheme] = useState(currentTheme());
  return html`<${Select}
      label=${t("language")}
      value=${currentLanguage()}
      options=${[["en", "English"], ["zh-CN", "简体中文"]]}
      onChange=${(language) => {
        chooseLanguage(language);
        onLanguage(language);
      }}
    />
    <${Select}
      label=${t("theme")}
      value=${theme}
      options=${[
        ["system", t("theme.system")],
        ["light", t("theme.light")],
        ["dark", t("theme.dark")],
      ]}
      onChange=${(theme) => {
        chooseTheme(theme);
        setTheme(theme);
      }}
    />`;
}
