//! Exceeded quotas, as errors and their messages list them.

use crate::pool::{Limit, Unit, Window};

/// Prefix of messages that list the exceeded quotas line by line.
pub(super) const EXCEEDED: &str = "You exceeded your current quota";

/// Prefix of the lines of such a message, after an optional bullet.
const LISTED: &str = "Quota exceeded for metric: ";
const BULLET: &str = "* ";

/// Prefix of messages from Service Control.
pub(super) const SERVICE_CONTROL: &str = "Quota exceeded for quota metric ";

/// An exceeded quota.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaViolation {
    /// What is counted, such as
    /// `generativelanguage.googleapis.com/generate_content_free_tier_requests`.
    pub metric: Option<String>,
    /// The limit on it, such as `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
    pub id: Option<String>,
    /// The value of the limit; 0 means that the project's plan does not include the model.
    pub value: Option<u64>,
}

impl QuotaViolation {
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    pub(super) fn metric(&self) -> &str {
        self.metric.as_deref().unwrap_or_default()
    }

    pub(super) fn window(&self) -> Option<Window> {
        if self.id().contains("PerDay") {
            Some(Window::Day)
        } else if self.id().contains("PerMinute") {
            Some(Window::Minute)
        } else {
            None
        }
    }

    pub(super) fn unit(&self) -> Option<Unit> {
        if self.id().contains("InputTokens") || self.metric().contains("input_token_count") {
            Some(Unit::InputTokens)
        } else if self.id().contains("Requests") {
            Some(Unit::Requests)
        } else {
            None
        }
    }

    /// Google counts each text of an embeddings batch as a request.
    pub(super) fn counts_texts(&self) -> bool {
        self.id().contains("EmbedContent") || self.metric().contains("embed_content")
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        if self.id().contains("PerRegion") || self.id().contains("BatchEmbedContent") {
            return None;
        }
        Some(Limit {
            unit: match self.unit()? {
                Unit::Requests if self.counts_texts() => Unit::Texts,
                unit => unit,
            },
            window: self.window()?,
            value: self.value.filter(|value| *value > 0)?,
        })
    }
}

/// Returns the limit that the message lists for a metric, unless its lines disagree.
pub(super) fn limit_in_message(message: &str, metric: &str) -> Option<u64> {
    let mut limits = lines(message)
        .filter(|(named, _)| *named == metric)
        .map(|(_, limit)| limit);
    let first = limits.next()?;
    limits.all(|limit| limit == first).then_some(first)
}

/// Returns the wait named by the message, as in `Please retry in 47.618338084s.`
pub(super) fn wait_in_message(message: &str) -> Option<&str> {
    let asks = message
        .starts_with(EXCEEDED)
        .then(|| message.rsplit_once("Please retry in "))?;
    let text = asks?.1.split_ascii_whitespace().next()?;
    Some(text.strip_suffix('.').unwrap_or(text))
}

/// Whether the message is `MODEL doesn't have a free quota tier…`, with nothing but the model's
/// display name before it.
pub(super) fn has_no_free_tier(message: &str) -> bool {
    message
        .split_once(" doesn't have a free quota tier")
        .is_some_and(|(name, _)| {
            (1..=80).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b" .-()".contains(&byte))
        })
}

/// Returns the part of a listed line from its metric on.
fn listed(line: &str) -> Option<&str> {
    line.strip_prefix(BULLET)
        .unwrap_or(line)
        .strip_prefix(LISTED)
}

/// Yields the metric and limit of each line that names both.
pub(super) fn lines(message: &str) -> impl Iterator<Item = (&str, u64)> {
    let is_about_quota = message.starts_with(EXCEEDED) || listed(message).is_some();
    let message = is_about_quota.then_some(message);
    message.into_iter().flat_map(str::lines).filter_map(|line| {
        let (metric, rest) = listed(line)?.split_once(", limit: ")?;
        let limit = rest.split(',').next()?.trim();
        Some((metric, limit.parse().ok()?))
    })
}

/// Reads the window from Service Control's name of a limit: `… and limit 'Requests per minute for a
/// region' of …`.
pub(super) fn named_window(message: &str) -> Option<Window> {
    let (_, rest) = message
        .strip_prefix(SERVICE_CONTROL)?
        .split_once(" and limit '")?;
    let (name, _) = rest.split_once('\'')?;
    if name.contains("per day") {
        Some(Window::Day)
    } else if name.contains("per minute") {
        Some(Window::Minute)
    } else {
        None
    }
}
