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
  "error.session_ended": "Your session has ended. Sign in again.",
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
  "first.keys_add": "Add keys",
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
  "attention.title": "Needs attention",
  "attention.nothing": "Nothing needs attention.",
  "attention.look": "Look at it",
  "attention.tone.bad": "Urgent",
  "attention.tone.warn": "Warning",
  "attention.tone.info": "Note",
  "attention.no_active_key": {
    one: "The only key is out of use, so all calls fail.",
    other: "All {n} keys are out of use, so all calls fail.",
  },
  "attention.no_active_key.advice":
    "See why in the list of keys, and put one back into use or add new ones.",
  "attention.suspicion":
    "{n} keys fail alike ({outcome}), the latest at {at}, and none has succeeded since.",
  "attention.suspicion.advice":
    "Google, or the address of this machine, is suspected rather than the keys; none is disabled for it. Check Google's status and where the pool runs.",
  "attention.keys_disabled": "{n} keys were disabled within a day.",
  "attention.keys_disabled.advice":
    "Replace those that Google rejects for good, and delete them here.",
  "attention.key_disabled": "The pool disabled key {name} at {at}: {reason}",
  "attention.key_disabled.advice":
    "If the key is dead, replace it. If Google accepts it again, test it and enable it.",
  "attention.keys_unreadable": {
    one: "A key cannot be decrypted and is not used.",
    other: "{n} keys cannot be decrypted and are not used.",
  },
  "attention.keys_unreadable.advice":
    "Set encryption_key or encryption_key_previous to the one that they were sealed with.",
  "attention.drills": {
    one: "A key has a fault drill under way.",
    other: "{n} keys have a fault drill under way.",
  },
  "attention.drills.advice":
    "Their next calls end with a fault on purpose. End a drill in the list of keys.",
  "attention.low_success":
    "In the last two hours, {successes} of {requests} requests succeeded. The most frequent failure is “{outcome}”, {calls} times.",
  "attention.low_success.advice": "Open the calls with this outcome to see what Google says.",
  "attention.budget_used_up": "{model}: no {unit} are left for today.",
  "attention.budget_used_up.advice":
    "Calls for it fail until {resets_at}, unless keys of other projects are added.",
  "attention.budget_ends": "{model}: at the present pace, the {unit} of today run out at {at}.",
  "attention.budget_ends.advice":
    "The budget resets at {resets_at}. Add keys of other projects, or move calls to another model.",
  "attention.token_expires": "Client token {name} expires at {at}.",
  "attention.token_expires.advice": "Extend it, or rotate it and give the new one to its client.",
  "attention.warning": "{text}",
  "attention.warning.advice": "This is about a setting.",
  "overview.range": "Time range",
  "overview.range.24h": "Last 24 hours",
  "overview.range.7d": "Last 7 days",
  "overview.range.30d": "Last 30 days",
  "overview.calls": "Calls by outcome",
  "overview.latency": "Latency",
  "overview.tokens": "Tokens",
  "overview.budgets": "Left today",
  "overview.budgets_day": "Google's day begins at midnight in Los Angeles.",
  "overview.models": "Models",
  "overview.model": "Model",
  "overview.requests": "Requests",
  "overview.attempts": { one: "{n} attempt", other: "{n} attempts" },
  "overview.success": "Success",
  "overview.failed": { one: "{n} request failed", other: "{n} requests failed" },
  "overview.duration": "Duration",
  "overview.duration_p50": "Duration, p50",
  "overview.duration_p95": "Duration, p95",
  "overview.first_byte": "Time to first byte",
  "overview.first_byte_p50": "First byte, p50",
  "overview.percentiles": "p50 {p50}, p95 {p95}",
  "overview.tokens_of": "{input} in, {output} out, {thinking} thinking",
  "overview.input": "Input",
  "overview.output": "Output",
  "overview.thinking": "Thinking",
  "overview.state_active": "in use",
  "overview.state_cooling": "paused until a time",
  "overview.state_disabled": "out of use until enabled",
  "overview.cooling_for_models": {
    one: "{n} active key cools down for some models.",
    other: "{n} active keys cool down for some models.",
  },
  "overview.no_budgets":
    "No limits of a day are known yet. The pool learns them from Google's errors, or you set them for a key.",
  "overview.no_calls": "No calls in this time.",
  "overview.left": "{left} of {limit} {unit} left",
  "overview.never": "The limit is 0: not available to these keys.",
  "overview.used_up": "Used up until {at}.",
  "overview.ends": "Runs out at {at}, before it resets at {resets}.",
  "overview.lasts": "Lasts until it resets at {at}.",
  "overview.some_used_up": "{n} of {of} keys or projects have used theirs up.",

  // Keys

  // One key

  // Calls

  // Requests

  // Tokens

  // Explain

  // Settings
};
