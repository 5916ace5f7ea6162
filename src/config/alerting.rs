//! Where alerts are sent, and when.

use super::variables::Variables;
use super::{Secret, read_token, url};
use crate::pool::AlertRules;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use std::fmt;

/// Precedes a signing key in base64.
const SIGNING_KEY: &str = "whsec_";
/// The largest `alert_budget_hours`: 24, since a budget lasts for a day.
const LARGEST_BUDGET_HOURS: u32 = 24;

/// Alerts by webhook. Its `Debug` does not show the URL, whose path may be a secret.
#[derive(Clone)]
pub struct Alerting {
    /// The URL to which events are sent.
    pub webhook: Uri,
    /// Its scheme, host and port.
    pub origin: Uri,
    /// What signs events.
    pub secret: Secret,
    /// When there is an alert.
    pub rules: AlertRules,
}

impl fmt::Debug for Alerting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Alerting({}, {:?}, {:?})",
            self.origin, self.secret, self.rules
        )
    }
}

impl Alerting {
    /// The key that signs: the secret itself, or what it has in base64 after `whsec_`.
    pub fn signing_key(&self) -> Vec<u8> {
        // The base64 was checked.
        signing_key(self.secret.expose()).unwrap_or_default()
    }

    pub(super) fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let rules = AlertRules {
            min_usable_keys: variables.limit(
                "alert_min_usable_keys",
                1,
                u32::MAX,
                "of keys, or 0 for no such alert",
            ),
            budget_hours: variables.limit(
                "alert_budget_hours",
                0,
                LARGEST_BUDGET_HOURS,
                "of hours, from 1 to 24, or 0 for no such alert",
            ),
        };
        let origin = variables.text("alert_origin");
        let origin = origin.map(|text| url::parse_origin("alert_origin", &text));
        let origin = variables.checked(origin.transpose());
        let secret = read_token(variables, "alert_webhook_secret");
        if secret
            .as_ref()
            .is_some_and(|secret| signing_key(secret.expose()).is_none())
        {
            variables.problem("alert_webhook_secret must be base64 after whsec_");
        }
        let webhook = variables.text("alert_webhook")?;
        if secret.is_none() {
            variables.problem("alert_webhook needs alert_webhook_secret, which signs what is sent: try `openssl rand -hex 24`");
        }
        if origin.is_none() {
            variables.problem("alert_webhook needs alert_origin, its scheme, host and port, which the sandbox then allows the pool to call");
        }
        let (origin, secret) = (origin?, secret?);
        let webhook = url::parse_on("alert_webhook", &webhook, "alert_origin", &origin);
        Some(Self {
            webhook: variables.checked(webhook),
            origin,
            secret,
            rules,
        })
    }
}

fn signing_key(secret: &str) -> Option<Vec<u8>> {
    match secret.strip_prefix(SIGNING_KEY) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    }
}
