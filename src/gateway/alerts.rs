//! Alerts: events that are sent to the operator's webhook.
//!
//! The component runs only while it serves requests, so a check follows one: at most every
//! [`CHECK_EVERY_MS`] in an instance, and immediately after it disables a key. It runs in a task of
//! its own, and no request waits for it.
//!
//! Messages are signed as in the Standard Webhooks specification
//! (<https://www.standardwebhooks.com>), so that receivers can use its libraries.

use super::ports::{System, Timeouts, TransportError, Upstream, UpstreamResponse};
use super::view::PoolView;
use crate::admin::forecast::ForecastReport;
use crate::config::{Alerting, Config};
use crate::pool::{self, Alert, AlertStep, Moment, UnixMillis};
use crate::store::{self, AlertChange, Database, Event};
use crate::wire::redact::redact_json;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use sha2::Sha256;
use std::rc::Rc;

/// How often an instance checks, in milliseconds: 30 s.
const CHECK_EVERY_MS: i64 = 30_000;
/// The most events that a check sends.
const MAX_EVENTS: usize = 10;
/// How long the webhook may take, in milliseconds: 10 s.
const TIMEOUT_MS: u64 = 10_000;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Checks in a task of its own, if a check is due.
pub(super) fn watch<D: Database, U: Upstream, S: System>(
    config: &Config,
    view: &Rc<PoolView<D>>,
    upstream: &U,
    system: &S,
) {
    let Some(alerting) = &config.alerting else {
        return;
    };
    let now = system.now();
    let checked_at = view.alerts_checked_at.get();
    if checked_at.is_some_and(|at| at <= now && now.since(at) < CHECK_EVERY_MS) {
        return;
    }
    view.alerts_checked_at.set(Some(now));
    let secrets = {
        let snapshot = view.snapshot();
        let keys = snapshot.keys().iter().map(|key| key.key.expose());
        config.secrets().chain(keys).map(str::to_owned).collect()
    };
    let check = Check {
        alerting: alerting.clone(),
        secrets,
        view: view.for_request(),
        upstream: upstream.clone(),
        system: system.clone(),
    };
    system.spawn(async move {
        match check.run().await {
            // The next check does it.
            Err(error) if error.is_busy() => {}
            Err(error) => check
                .system
                .log(&format!("alerts cannot be checked: {error}")),
            Ok(()) => {}
        }
    });
}

struct Check<D, U, S> {
    alerting: Alerting,
    /// No event contains one.
    secrets: Vec<String>,
    view: Rc<PoolView<D>>,
    upstream: U,
    system: S,
}

/// An event, as it is sent.
#[derive(Serialize)]
struct Message<'a> {
    event: &'static str,
    id: &'a str,
    at: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable_keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_usable_keys: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<ForecastReport>,
}

#[derive(Serialize)]
struct KeyReport<'a> {
    id: i64,
    name: Option<&'a str>,
    reason: Option<&'a str>,
    disabled_at: String,
}

impl<D: Database, U: Upstream, S: System> Check<D, U, S> {
    async fn run(&self) -> store::Result<()> {
        let now = Moment::new(self.system.now());
        let rules = &self.alerting.rules;
        let forecasts = match rules.budget_hours {
            Some(_) => store::forecasts(self.database(), &now).await?,
            None => Vec::new(),
        };
        let facts = store::alert_facts(self.database(), now.at()).await?;
        let alerts = pool::alerts(rules, facts.usable, facts.disabled, forecasts);
        let mut tries = 0;
        for step in pool::alert_steps(alerts, &facts.raised, now.at()) {
            let event;
            let change = match &step {
                AlertStep::Raise(alert) => {
                    event = self.event(alert, now.at());
                    AlertChange::Raise(&event)
                }
                AlertStep::Retry(subject, tries) => AlertChange::Retry(subject, *tries),
                AlertStep::Note => AlertChange::Note,
                AlertStep::Forget(seen_at) => AlertChange::Forget(*seen_at),
            };
            if let Some(event) = store::change_alert(self.database(), change, now.at()).await? {
                tries += 1;
                // A webhook that fails is left alone until the next check.
                if !self.send(&event).await? || tries == MAX_EVENTS {
                    break;
                }
            }
        }
        Ok(())
    }

    fn event(&self, alert: &Alert, now: UnixMillis) -> Event {
        let id = format!(
            "alert_{:016x}{:016x}",
            self.system.random(),
            self.system.random()
        );
        let mut message = Message {
            event: alert.event(),
            id: &id,
            at: now.to_iso(),
            text: alert.text(),
            usable_keys: None,
            min_usable_keys: None,
            key: None,
            budget: None,
        };
        match alert {
            Alert::KeysLow { usable, wanted } => {
                message.usable_keys = Some(*usable);
                message.min_usable_keys = Some(*wanted);
            }
            Alert::KeyDisabled(key) => {
                message.key = Some(KeyReport {
                    id: key.id.0,
                    name: key.name.as_deref(),
                    reason: key.reason.as_deref(),
                    disabled_at: key.disabled_at.to_iso(),
                });
            }
            Alert::BudgetEnds(forecast) => message.budget = Some(forecast.into()),
        }
        // Texts always serialize.
        let body = serde_json::to_string(&message).unwrap_or_default();
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        Event {
            subject: alert.subject(),
            body: redact_json(&body, &secrets),
            id,
            tries: 1,
        }
    }

    /// Sends an event, and returns whether it was delivered.
    async fn send(&self, event: &Event) -> store::Result<bool> {
        let Some(headers) = self.headers(event) else {
            return Ok(false);
        };
        let timeouts = Timeouts {
            head_ms: TIMEOUT_MS,
            idle_ms: Some(TIMEOUT_MS),
        };
        let body = event.body.clone().into_bytes();
        let url = &self.alerting.webhook;
        let response = self
            .upstream
            .send(&Method::POST, url, headers, body, timeouts)
            .await;
        let Err(reason) = accepted(response) else {
            let change = AlertChange::Deliver(event);
            store::change_alert(self.database(), change, self.system.now()).await?;
            return Ok(true);
        };
        if event.tries == 1 {
            self.system.log(&format!(
                "the alert {} is not delivered to {}: {reason}; it is tried again within an hour",
                event.id, self.alerting.origin
            ));
        }
        Ok(false)
    }

    fn headers(&self, event: &Event) -> Option<HeaderMap> {
        let seconds = (self.system.now().0 / 1000).to_string();
        let key = self.alerting.signing_key();
        let signature = sign(&key, &event.id, &seconds, &event.body)?;
        let headers = [
            (CONTENT_TYPE, "application/json"),
            (ID, &event.id),
            (TIMESTAMP, &seconds),
            (SIGNATURE, &signature),
        ];
        let header = |(name, value)| Some((name, HeaderValue::from_str(value).ok()?));
        headers.into_iter().map(header).collect()
    }

    fn database(&self) -> &D {
        self.view.unlimited_database()
    }
}

/// Why a webhook did not take an event.
fn accepted<B>(response: Result<UpstreamResponse<B>, TransportError>) -> Result<(), String> {
    Err(match response {
        Ok(response) if (200..300).contains(&response.status) => return Ok(()),
        Ok(response) => format!("it answered {}", response.status),
        Err(TransportError::Denied) => "the host does not allow calls to it".to_owned(),
        Err(TransportError::TimedOut | TransportError::Stopping) => {
            "it did not answer in time".to_owned()
        }
        Err(
            TransportError::NotSent(reason)
            | TransportError::Unanswered(reason)
            | TransportError::Failed(reason),
        ) => reason,
    })
}

/// The signature of a message.
fn sign(key: &[u8], id: &str, seconds: &str, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [id, ".", seconds, ".", body] {
        mac.update(part.as_bytes());
    }
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    Some(format!("v1,{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_signed_as_the_specification_says() {
        let key = BASE64_STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .unwrap();
        let (id, seconds) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        let signature = sign(&key, id, seconds, r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature.as_deref(), Some(expected));
    }
}
