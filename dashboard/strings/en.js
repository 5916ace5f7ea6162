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
  "tokens.lead":
    "Give each person or program a token of its own, so that you see who uses the pool and can stop one without the others.",
  "tokens.create": "New token",
  "tokens.create_submit": "Create token",
  "tokens.search": "Name or prefix",
  "tokens.state": "State",
  "tokens.all_states": "All states",
  "tokens.name": "Name",
  "tokens.name_hint": "Who uses it, such as a person or a program.",
  "tokens.limits": "Limits",
  "tokens.limits_hint": "All limits are optional: leave a field empty for none.",
  "tokens.expires": "Expires",
  "tokens.last_24h": "Last 24 h",
  "tokens.unused": "not used",
  "tokens.requests": { one: "{value} request", other: "{value} requests" },
  "tokens.n_tokens": { one: "{value} token", other: "{value} tokens" },
  "tokens.success": "{share} ok",
  "tokens.success_title": {
    one: "{successes} of {n} call succeeded. A request may need several calls.",
    other: "{successes} of {n} calls succeeded. A request may need several calls.",
  },
  "tokens.today": "Tokens today",
  "tokens.today_note":
    "The figures of 24 h count whole hours. Today is Google's day: it began at {time} your time, at midnight in Los Angeles. Tokens are those of prompts, answers and thoughts; the limit of a day counts the same.",
  "tokens.used_of": "{used} of {limit}",
  "tokens.used_up": "used up",
  "tokens.menu": "Actions",
  "tokens.actions": "Actions for {name}",
  "tokens.built_in": "built in",
  "tokens.built_in_title": "It is set by SPIN_VARIABLE_MY_API_TOKEN, and has no limits.",
  "tokens.unlimited": "no limits",
  "tokens.never": "never",
  "tokens.left": "{time} left",
  "tokens.old_until": "old one: {time}",
  "tokens.n_models": { one: "{n} model", other: "{n} models" },
  "tokens.n_networks": { one: "{n} network", other: "{n} networks" },
  "tokens.per_minute": "{value}/min",
  "tokens.only_per_day": "only tokens per day",
  "tokens.calls_of": "Show the calls of {name}",
  "tokens.calls": "Show calls",
  "tokens.none": "There are no client tokens yet.",
  "tokens.none_found": "No token matches these filters.",
  "tokens.edit": "Edit",
  "tokens.edit_title": "Edit {name}",
  "tokens.saved": "{name} is saved.",
  "tokens.disable": "Disable",
  "tokens.disabled": "{name} is disabled. Calls under way go on.",
  "tokens.enable": "Enable",
  "tokens.enabled": "{name} works again.",
  "tokens.delete_title": "Delete {name}?",
  "tokens.delete_text":
    "Clients that use this token are refused from now on, and the token cannot be brought back. The log of its calls stays.",
  "tokens.delete_hint": "To stop it only for some time, disable it instead.",
  "tokens.deleted": "{name} is deleted.",
  "tokens.models": "Models",
  "tokens.models_hint": "One per line: names, or patterns such as gemini-*flash*.",
  "tokens.networks": "Networks",
  "tokens.networks_hint":
    "One per line: addresses, or networks such as 10.0.0.0/8. Behind a proxy, set trust_forwarded_for.",
  "tokens.requests_per_minute": "Requests per minute",
  "tokens.requests_per_minute_hint": "Requests that fail count, too.",
  "tokens.tokens_per_day": "Tokens per day",
  "tokens.tokens_per_day_hint":
    "Such as 2,000,000 or 2M. They count from midnight in Los Angeles, as Google's quotas do.",
  "tokens.expires_at": "Expires at",
  "tokens.expires_hint": "In your time zone. Empty for never.",
  "tokens.expires_in": "Expires in",
  "tokens.in_days": { one: "{n} day", other: "{n} days" },
  "tokens.problem_required": "A token needs a name.",
  "tokens.problem_long": "A name has at most {value} characters.",
  "tokens.problem_model":
    "“{value}” cannot be a model: use up to 128 letters, digits and . _ : / @ -, and * for any characters.",
  "tokens.problem_network":
    "“{value}” is no network. Write an address, or a network such as 10.0.0.0/8 or 2001:db8::/32.",
  "tokens.problem_many": "At most {value} items fit.",
  "tokens.problem_number": "“{value}” is not a whole number of at least 1.",
  "tokens.problem_past": "This time is past. To stop a token now, disable it.",
  "tokens.problem_time": "This is not a time.",
  "tokens.rotate": "Rotate",
  "tokens.rotate_title": "Rotate {name}",
  "tokens.rotate_submit": "Make a new token",
  "tokens.rotate_text": "The new token has the same name, limits and log. Give it to the clients.",
  "tokens.grace": "The old token still works for",
  "tokens.grace_hint": "Until then, both work. If the old token has leaked, choose not at all.",
  "tokens.grace_none": "not at all",
  "tokens.token": "Token",
  "tokens.new_title": "Your new token",
  "tokens.rotated_title": "The new token",
  "tokens.new_text":
    "Copy the token for {name} now. It is shown only once: the pool keeps a digest of it, not the token.",
  "tokens.snippet": "Settings for a client",
  "tokens.snippet_environment": "Environment",
  "tokens.not_copied":
    "You have not copied the token, and nobody can show it again. Close anyway? You would have to rotate it for another one.",
  "tokens.close_anyway": "Close without copying",
  "tokens.done": "Done",

  // Explain

  // Settings
  "settings.tab_settings": "In force",
  "settings.tab_encryption": "Encryption",
  "settings.tab_audit": "Audit log",
  "settings.tab_session": "Session",
  "settings.lead":
    "Settings come from outside, such as environment variables, and are read when the pool starts. To change one, set the variable that is named beside it and restart.",
  "settings.search": "Search settings",
  "settings.which": "Which settings",
  "settings.all": "All settings ({n})",
  "settings.only_set": "Only those that were set ({n})",
  "settings.none_found": "No setting matches.",
  "settings.warnings": { one: "{n} warning", other: "{n} warnings" },
  "settings.default": "default",
  "settings.set": "set",
  "settings.secret": "hidden, since it is a secret",
  "settings.not_set": "not set",
  "settings.group.access": "Access",
  "settings.group.upstream": "Keys and upstream",
  "settings.group.failover": "Failover",
  "settings.group.limits": "Limits",
  "settings.group.log": "Log",
  "settings.group.alerts": "Alerts",
  "settings.group.other": "Other",
  "setting.my_api_token":
    "The built-in token that clients send. Without it, only the tokens of the Tokens view work.",
  "setting.admin_token": "The operators' token, with which you sign in here to read and to change.",
  "setting.admin_read_token": "A token with which operators sign in to read, but not to change.",
  "setting.gemini_api_key": "Gemini keys that are added at startup, each of them once.",
  "setting.encryption_key":
    "Encrypts the Gemini keys in the database. Without it, they are in clear text.",
  "setting.encryption_key_previous":
    "The encryption key before the current one, while you change it.",
  "setting.llm_api_origin":
    "Scheme, host and port of the Gemini API, the only upstream that the pool may call.",
  "setting.llm_api_endpoint": "The URL on the upstream to which chat completions go.",
  "setting.llm_model": "The model for requests that name none.",
  "setting.model_aliases":
    "Other names for models, so that clients that ask for gpt-4o, for example, get a Gemini model.",
  "setting.allowed_origins": "The web sites whose pages may call the pool from a browser.",
  "setting.enforce_origin":
    "Whether pages of all other web sites are refused. Programs that are not web pages are not affected.",
  "setting.rate_limit_per_minute": "The most calls per minute from one address; 0 for no limit.",
  "setting.trust_forwarded_for":
    "Whether your proxy tells the client's address. Turn it on only behind a proxy of your own.",
  "setting.public_url": "The address at which clients reach the pool, if a proxy changes it.",
  "setting.max_body_bytes": "The largest request that is accepted, after decompression.",
  "setting.max_held_bytes":
    "How much memory the large requests of one instance may take together; further ones wait.",
  "setting.max_attempts":
    "How many keys are tried for one request before the client gets the error.",
  "setting.first_byte_timeout":
    "How many seconds a stream may take to begin before another key is tried.",
  "setting.first_content_timeout":
    "How many seconds a stream may take until it has content, such as while the model thinks.",
  "setting.answer_timeout":
    "How many seconds a whole response may take before another key is tried. Not set: all the time there is.",
  "setting.failover_deadline":
    "How many seconds all attempts may take together. Not set: what the client announces, or 600.",
  "setting.max_wait": "How many seconds a request waits for a key while all of them are cooling.",
  "setting.retry_empty":
    "Whether a response without content, or with a broken tool call, is tried once more.",
  "setting.repair":
    "Whether the pool mends what Google's OpenAI interface gets wrong, and drops fields that it refuses.",
  "setting.sticky":
    "Whether the turns of a conversation stay with one project, so that Google's cache can serve them.",
  "setting.log_commit":
    "When a call is logged: before the response is complete, or shortly after, which is faster but may lose rows in a crash.",
  "setting.log_retention_days":
    "After how many days the rows of the log are deleted; 0 for never. Statistics stay.",
  "setting.log_format": "How a request's line on the terminal looks: text, JSON, or none.",
  "setting.alert_origin": "The scheme, host and port to which the pool may send alerts.",
  "setting.alert_webhook": "The URL that gets the alerts. Without it, there are none.",
  "setting.alert_webhook_secret": "Signs the alerts, so that the receiver can trust them.",
  "setting.alert_min_usable_keys": "Alert when fewer keys than this are usable; 0 for never.",
  "setting.alert_budget_hours":
    "Alert when the quota of a day will be used up within so many hours; 0 for never.",
  "setting.metrics_token": "A token that reads the metrics for Prometheus, and nothing else.",
  "setting.metrics_networks": "The networks from which metrics may be read without a token.",

  "encryption.stored": "How the Gemini keys are stored",
  "encryption.sealed": "Encrypted",
  "encryption.sealed_with_previous": "Encrypted with the previous key",
  "encryption.in_clear_text": "In clear text",
  "encryption.unreadable": "Unreadable",
  "encryption.about.sealed": "With encryption_key. A copy of the database is useless without it.",
  "encryption.about.sealed_with_previous":
    "With encryption_key_previous. The pool encrypts them anew while it serves.",
  "encryption.about.in_clear_text": "Whoever can read the database can read these keys.",
  "encryption.about.unreadable": "With an encryption key that this pool does not have.",
  "encryption.keys": { one: "{n} key", other: "{n} keys" },
  "encryption.concerned": {
    one: "This concerns {n} key.",
    other: "This concerns {n} keys.",
  },
  "encryption.title.unreadable": "Some keys cannot be read",
  "encryption.title.off": "Encryption is off",
  "encryption.title.rotating": "The encryption key is being changed",
  "encryption.title.sealing": "Keys are being encrypted",
  "encryption.title.rotated": "The change is complete",
  "encryption.title.done": "All keys are encrypted",
  "encryption.text.unreadable":
    "They were encrypted with a key that is neither encryption_key nor encryption_key_previous. Until you set the right one and restart, all calls are refused with encryption_key_wrong. If that encryption key is lost, those Gemini keys are lost, too: delete them and add them again.",
  "encryption.text.off":
    "Gemini keys are in the database in clear text. With an encryption key, a copy of the database, such as a backup, is of no use to others. Keep that key where the database is not, and keep a copy: without it, the Gemini keys are lost.",
  "encryption.text.rotating":
    "Some keys still need encryption_key_previous. The pool goes on by itself; leave both variables set until it has finished.",
  "encryption.text.sealing":
    "The pool encrypts keys that are in clear text after its next start, while it serves. If this does not end, restart the pool.",
  "encryption.text.rotated":
    "No key needs encryption_key_previous any more. Remove that variable, and restart.",
  "encryption.text.done":
    "Nothing is to be done. Keep a copy of encryption_key where the database is not.",
  "encryption.step.make": "Make an encryption key, and keep a copy of it:",
  "encryption.step.start": "Start the pool again. It encrypts all keys while it serves:",
  "encryption.step.previous":
    "Keep the current encryption key as the previous one, and make a new one:",
  "encryption.step.restart":
    "Restart the pool. It encrypts all keys anew; the counts above show how far it is:",
  "encryption.step.remove":
    "Once all keys are encrypted with the new one, remove the previous one:",
  "encryption.rotate": "To change the encryption key",
  "encryption.rotate_text": "Change it if it may have leaked, or from time to time.",
  "encryption.several":
    "With several machines, first restart them all with the new key as encryption_key_previous, so that each can read what the others write.",

  "audit.lead":
    "What operators have changed through the API, the latest first. Changes by SQL are not listed.",
  "audit.subject_search": "Subject, such as key:3",
  "audit.subject": "Subject",
  "audit.action": "Action",
  "audit.all_actions": "All actions",
  "audit.changes": "What changed",
  "audit.actor": "By",
  "audit.request": "Request",
  "audit.member": "Member",
  "audit.before": "Before",
  "audit.after": "After",
  "audit.none": "Nobody has changed anything through the API yet.",
  "audit.none_found": "No entry matches these filters.",
  "audit.no_change": "nothing that is shown",
  "audit.does.add_keys": "added keys",
  "audit.does.edit_key": "edited a key",
  "audit.does.pause_key": "paused a key",
  "audit.does.disable_key": "disabled a key",
  "audit.does.enable_key": "enabled a key",
  "audit.does.reset_key": "reset a key",
  "audit.does.delete_key": "deleted a key",
  "audit.does.drill_key": "drilled a key",
  "audit.does.set_limits": "set limits",
  "audit.does.create_token": "created a token",
  "audit.does.edit_token": "edited a token",
  "audit.does.disable_token": "disabled a token",
  "audit.does.enable_token": "enabled a token",
  "audit.does.rotate_token": "rotated a token",
  "audit.does.delete_token": "deleted a token",

  "session.permission": "You may",
  "session.may.change": "read and change everything",
  "session.may.read": "read everything, but change nothing",
  "session.ends": "Signed in until",
  "session.no_end": "no end",
  "session.hint":
    "The session is a cookie that no script can read. Then you have to sign in again: a session cannot prolong itself. On a device of others, sign out when you leave.",
  "session.copied_hint":
    "Signing out removes the cookie from this browser. To end all sessions of a token at once, change the token.",
};
