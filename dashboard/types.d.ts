// What the admin API answers, as far as the dashboard reads it. docs/admin.md describes all of it.

export type State = "active" | "cooling" | "disabled";

export interface CoolDown {
  scope: string;
  model: string | null;
  reason: string | null;
  until: string | null;
}

export interface Limit {
  scope: string;
  model: string | null;
  unit: "requests" | "input_tokens" | "texts";
  per: "minute" | "day";
  preset: number | null;
  learned: number | null;
  learned_at: string | null;
  used: number | null;
}

export interface Key {
  id: number;
  name: string | null;
  status: State | null;
  priority: number;
  project: string | null;
  tags: string[];
  note: string | null;
  allowed_models: string[];
  forbidden_models: string[];
  disabled_until: string | null;
  disabled_reason: string | null;
  cooling: CoolDown[];
  limits?: Limit[];
  consecutive_failures: number;
  total_calls: number;
  success_calls: number;
  last_used_at: string | null;
  last_outcome: string | null;
  drill: { fault: string; calls_left: number } | null;
  created_at: string | null;
  updated_at: string | null;
}

export interface Call {
  id: number;
  called_at: string | null;
  request_id: string | null;
  attempt: number | null;
  key_id: number;
  token_id: number | null;
  model: string | null;
  outcome: string | null;
  success: boolean;
  response_status: number | null;
  error_message: string | null;
  response_time_ms: number | null;
  first_byte_ms: number | null;
  input_tokens: number | null;
  output_tokens: number | null;
  thinking_tokens: number | null;
  cached_tokens: number | null;
  drill: boolean;
}

export interface Durations {
  mean: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface CallGroup {
  hour?: string;
  day?: string;
  key_id?: number;
  model?: string;
  token_id?: number | null;
  calls: number;
  requests: number;
  successes: number;
  outcomes: Record<string, number>;
  input_tokens: number;
  output_tokens: number;
  thinking_tokens: number;
  cached_tokens: number;
  longest_ms: number;
  duration_ms: Durations;
  first_byte_ms: Durations;
}

export interface Pool {
  at: string;
  keys: { total: number; active: number; cooling: number; disabled: number };
  cooling_for_models: number;
  suspicion: { outcome: string; keys: number; latest_at: string; message: string } | null;
  disabled_lately: {
    id: number;
    name: string | null;
    reason: string | null;
    disabled_at: string;
  }[];
  drills: number;
  warnings: string[];
}

export interface ModelBudget {
  model: string | null;
  unit: string;
  scopes: number;
  used_up: number;
  limit: number;
  used: number;
  left: number;
  resets_at: string | null;
  pace_per_hour: number;
  ends_at: string | null;
}

export interface Token {
  id: number;
  token?: string;
  name: string | null;
  prefix: string | null;
  state: "active" | "disabled" | "expired";
  expires_at: string | null;
  disabled_at: string | null;
  models: string[] | null;
  networks: string[] | null;
  requests_per_minute: number | null;
  tokens_per_day: number | null;
  previous_until: string | null;
  created_at: string | null;
  updated_at: string | null;
}
