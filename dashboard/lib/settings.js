// The settings in an order that makes sense to operators. docs/configuration.md explains each.

/** @typedef {{name: string, value: string | null, is_set: boolean, is_default: boolean}} Setting */

/** Groups of settings, in the order in which they are shown. @type {[string, string[]][]} */
export const SETTING_GROUPS = [
  [
    "access",
    [
      "my_api_token",
      "admin_token",
      "admin_read_token",
      "metrics_token",
      "metrics_networks",
      "allowed_origins",
      "enforce_origin",
      "trust_forwarded_for",
      "public_url",
    ],
  ],
  [
    "upstream",
    [
      "gemini_api_key",
      "encryption_key",
      "encryption_key_previous",
      "llm_api_origin",
      "llm_api_endpoint",
      "llm_model",
      "model_aliases",
    ],
  ],
  [
    "failover",
    [
      "max_attempts",
      "first_byte_timeout",
      "first_content_timeout",
      "answer_timeout",
      "failover_deadline",
      "max_wait",
      "retry_empty",
      "repair",
      "sticky",
    ],
  ],
  ["limits", ["rate_limit_per_minute", "max_body_bytes", "max_held_bytes"]],
  ["log", ["log_commit", "log_retention_days", "log_format"]],
  [
    "alerts",
    [
      "alert_origin",
      "alert_webhook",
      "alert_webhook_secret",
      "alert_min_usable_keys",
      "alert_budget_hours",
    ],
  ],
];

/** The settings whose values the pool never tells. */
export const SECRET_SETTINGS = [
  "my_api_token",
  "admin_token",
  "admin_read_token",
  "gemini_api_key",
  "encryption_key",
  "encryption_key_previous",
  "alert_webhook",
  "alert_webhook_secret",
  "metrics_token",
];

/** The environment variable that sets a setting. */
export function variableOf(/** @type {string} */ name) {
  return `SPIN_VARIABLE_${name.toUpperCase()}`;
}

/**
 * The settings by groups, without empty groups. Settings of a newer pool come last, in `other`.
 *
 * @param {Setting[]} settings
 * @returns {{group: string, settings: Setting[]}[]}
 */
export function groupSettings(settings) {
  const byName = new Map(settings.map((setting) => [setting.name, setting]));
  const known = new Set(SETTING_GROUPS.flatMap(([, names]) => names));
  const other = settings.map(({ name }) => name).filter((name) => !known.has(name));
  return [...SETTING_GROUPS, /** @type {[string, string[]]} */ (["other", other])]
    .map(([group, names]) => ({
      group,
      settings: names.map((name) => byName.get(name)).filter((setting) => setting !== undefined),
    }))
    .filter(({ settings }) => settings.length > 0);
}

/**
 * Whether a setting matches a search: each word is in its name, variable, value or description.
 *
 * @param {Setting} setting
 * @param {string} description
 * @param {string} search
 */
export function matchesSearch(setting, description, search) {
  const text = [setting.name, variableOf(setting.name), setting.value ?? "", description]
    .join("\n")
    .toLowerCase();
  const words = search.toLowerCase().split(/\s+/);
  return words.every((word) => text.includes(word));
}

/**
 * A number of bytes in its largest whole unit, such as `32 MiB`; `null` if that is no shorter.
 *
 * @param {string | null} value
 */
export function bytesOf(value) {
  const bytes = Number(value);
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  let left = bytes;
  while (unit < 3 && left >= 1024 && left % 1024 === 0) {
    left /= 1024;
    unit += 1;
  }
  return value === null || !Number.isSafeInteger(bytes) || unit === 0
    ? null
    : `${left} ${units[unit]}`;
}

/**
 * @typedef {{is_enabled: boolean, sealed: number, sealed_with_previous: number, in_clear_text: number, unreadable: number}} Encryption
 */

/** How keys can be stored, in the order of the bar. */
export const STORED = /** @type {const} */ ([
  "sealed",
  "sealed_with_previous",
  "in_clear_text",
  "unreadable",
]);

/**
 * What the counts of stored keys come to; the most urgent first.
 *
 * @param {Encryption} counts
 * @param {boolean} hasPrevious whether `encryption_key_previous` is set
 */
export function encryptionState(counts, hasPrevious) {
  if (counts.unreadable > 0) return "unreadable";
  if (!counts.is_enabled) return "off";
  if (counts.sealed_with_previous > 0) return "rotating";
  if (counts.in_clear_text > 0) return "sealing";
  return hasPrevious ? "rotated" : "done";
}
