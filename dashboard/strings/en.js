// The texts in English. `{name}` stands for a value; a text that depends on the number `n` has forms.
// `zh.js` has the same keys.

export const en = {
  // Shared
  language: "Language",
  theme: "Theme",
  "theme.system": "System theme",
  "theme.light": "Light",
  "theme.dark": "Dark",
  loading: "Loading…",
  retry: "Try again",
  stale: "Not up to date:",
  copy: "Copy",
  copied: "Copied",
  close: "Close",
  cancel: "Cancel",
  save: "Save",
  delete: "Delete",
  sort: "Sort",
  time: "Time",
  none: "none",
  all: "All",
  all_models: "all models",
  "error.unreachable":
    "The pool cannot be reached. Check that it is running and that this device has a network.",
  "error.status": "The pool answered with status {status}.",
  "error.no_view": "There is no such view.",
  "unit.ms": "{value} ms",
  "unit.s": "{value} s",
  "unit.min": "{value} min",
  "unit.h": "{value} h",
  "unit.d": "{value} d",
  "unit.per_hour": "{value} per hour",

  // The frame
  "nav.label": "Views",
  "nav.skip": "Skip to content",
  "nav.overview": "Overview",
  "nav.keys": "Keys",
  "nav.calls": "Calls",
  "nav.tokens": "Tokens",
  "nav.explain": "Explain",
  "nav.settings": "Settings",
  "session.read_only": "You can read, but not change anything.",
  "session.sign_out": "Sign out",
  "sign_in.title": "Sign in",
  "sign_in.token": "Operator's token",
  "sign_in.hint":
    "The value of admin_token, or of admin_read_token to read only. It is not stored in the browser.",
  "sign_in.submit": "Sign in",

  // First start
  "first.command": "Command",
  "first.token_title": "Set an operator's token",
  "first.token_text":
    "Nobody can sign in yet, since this pool has no admin_token. Make a random one and set it:",
  "first.token_next": "Then start the pool again, and sign in here with the token.",
  "first.keys_title": "Add your first keys",
  "first.keys_text":
    "The pool has no Gemini API keys, so it cannot answer calls. Add the keys of your team here.",
  "first.keys_cli": "Or on the command line:",

  // Names of the API: states, outcomes, whose fault an outcome is, and units
  "state.active": "active",
  "state.cooling": "cooling",
  "state.disabled": "disabled",
  "state.expired": "expired",
  "state.unknown": "unknown",
  "fault.success": "Success",
  "fault.quota": "Quota",
  "fault.upstream": "Upstream",
  "fault.key": "Key or project",
  "fault.client": "Client",
  "fault.other": "Other",
  "outcome.success": "success",
  "outcome.client_gone": "client left",
  "outcome.client_fault": "client's fault",
  "outcome.request_too_large": "request too large",
  "outcome.request_refused": "request refused",
  "outcome.entity_not_found": "not found",
  "outcome.signature_missing": "signature missing",
  "outcome.signature_refused": "signature refused",
  "outcome.key_rejected": "key rejected",
  "outcome.key_restricted": "key restricted",
  "outcome.credential_misplaced": "credential misplaced",
  "outcome.project_refused": "project refused",
  "outcome.resource_refused": "resource refused",
  "outcome.model_refused": "model refused",
  "outcome.plan_refused": "plan refused",
  "outcome.plan_doubted": "plan doubted",
  "outcome.free_tier_refused": "free tier refused",
  "outcome.billing_exhausted": "billing exhausted",
  "outcome.egress_refused": "location refused",
  "outcome.quota_per_minute": "quota per minute",
  "outcome.quota_per_day": "quota per day",
  "outcome.quota_none": "no quota",
  "outcome.quota_unspecified": "quota, unspecified",
  "outcome.tool_quota": "quota of a tool",
  "outcome.empty_answer": "empty answer",
  "outcome.model_overloaded": "model overloaded",
  "outcome.upstream_trouble": "upstream trouble",
  "outcome.not_sent": "not sent",
  "outcome.unanswered": "unanswered",
  "outcome.pool_fault": "pool's fault",
  "unit_of.requests": "requests",
  "unit_of.input_tokens": "input tokens",
  "unit_of.texts": "texts",
  "per.minute": "per minute",
  "per.day": "per day",

  // Overview

  // Keys

  // One key

  // Calls

  // Requests

  // Tokens

  // Explain

  // Settings
};
