//! How an attempt ended, and whose fault that was.
//!
//! Most key pools ban good keys because they count every error against the key: a caller's malformed request, an
//! overloaded model, a blocked address. So the fault is named first, and only [`Verdict::Failed`] and
//! [`Verdict::Rejected`] touch the key's state. The wire knowledge behind each name is [`crate::gemini::diagnose`].

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The upstream answered, and the answer was handed on to its end. Nobody's fault.
    Success,
    /// The upstream answered; the client left before the end. The client's own choice.
    ClientGone,
    /// The upstream answered 200 with no content and without having produced a token. The upstream's fault.
    EmptyAnswer,
    /// The request itself is wrong (400, 404, 413 and kin): every key would get the same answer. The client's fault.
    ClientFault,
    /// The upstream does not accept this key any more: invalid, expired, leaked, suspended, blocked. The key is dead.
    KeyRejected,
    /// The key's project has the API switched off, or is denied access. The operator's to mend, so it is not final.
    ProjectRefused,
    /// This key may not use this resource or model; with others it works. Nobody's fault.
    ResourceRefused,
    /// The model is not available to the key's project; other projects may still have it. Nobody's fault.
    ModelRefused,
    /// A quota of this minute is used up, of the key's project and for this model. The pool's, for calling too often.
    QuotaPerMinute,
    /// A quota of this day is used up, of the key's project and for this model. It is back at midnight Pacific.
    QuotaPerDay,
    /// The project's plan has no quota at all for this model (`limit: 0`). Waiting does not help, another plan does.
    QuotaNone,
    /// The account that pays for the key's project has run dry. The operator's to fill.
    BillingExhausted,
    /// A refusal for "quota" that names none: a burst, or capacity shared with others. Nobody's fault in particular.
    QuotaUnspecified,
    /// This machine's address or country is refused, whatever the key. The place's fault.
    EgressRefused,
    /// The model has more calls than it can serve (503), whatever the key. The upstream's fault.
    ModelOverloaded,
    /// The upstream is broken or unreachable, or sent something that is no answer. The upstream's fault.
    UpstreamTrouble,
    /// The pool sent something that it should not have sent, or may not send at all. The pool's fault.
    PoolFault,
}

/// What an outcome says about the key that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The key works.
    Works,
    /// The key failed this time.
    Failed,
    /// The key is dead.
    Rejected,
    /// Nothing can be said about the key.
    Unknown,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 17] = [
        Self::Success,
        Self::ClientGone,
        Self::EmptyAnswer,
        Self::ClientFault,
        Self::KeyRejected,
        Self::ProjectRefused,
        Self::ResourceRefused,
        Self::ModelRefused,
        Self::QuotaPerMinute,
        Self::QuotaPerDay,
        Self::QuotaNone,
        Self::BillingExhausted,
        Self::QuotaUnspecified,
        Self::EgressRefused,
        Self::ModelOverloaded,
        Self::UpstreamTrouble,
        Self::PoolFault,
    ];

    /// The outcome's name in log lines and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientGone => "client_gone",
            Self::EmptyAnswer => "empty_answer",
            Self::ClientFault => "client_fault",
            Self::KeyRejected => "key_rejected",
            Self::ProjectRefused => "project_refused",
            Self::ResourceRefused => "resource_refused",
            Self::ModelRefused => "model_refused",
            Self::QuotaPerMinute => "quota_per_minute",
            Self::QuotaPerDay => "quota_per_day",
            Self::QuotaNone => "quota_none",
            Self::BillingExhausted => "billing_exhausted",
            Self::QuotaUnspecified => "quota_unspecified",
            Self::EgressRefused => "egress_refused",
            Self::ModelOverloaded => "model_overloaded",
            Self::UpstreamTrouble => "upstream_trouble",
            Self::PoolFault => "pool_fault",
        }
    }

    /// The outcome of this [`name`](Self::name); `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// What it says about the key.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Success | Self::ClientGone => Verdict::Works,
            Self::ProjectRefused => Verdict::Failed,
            Self::KeyRejected => Verdict::Rejected,
            Self::EmptyAnswer
            | Self::ClientFault
            | Self::ResourceRefused
            | Self::ModelRefused
            | Self::QuotaPerMinute
            | Self::QuotaPerDay
            | Self::QuotaNone
            | Self::BillingExhausted
            | Self::QuotaUnspecified
            | Self::EgressRefused
            | Self::ModelOverloaded
            | Self::UpstreamTrouble
            | Self::PoolFault => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn only_what_the_key_or_its_project_is_refused_for_counts_against_the_key() {
        let against: Vec<_> = Outcome::ALL
            .into_iter()
            .filter(|outcome| matches!(outcome.verdict(), Verdict::Failed | Verdict::Rejected))
            .collect();
        assert_eq!(against, [Outcome::KeyRejected, Outcome::ProjectRefused]);
    }

    #[test]
    fn only_a_call_that_was_answered_counts_for_the_key() {
        let works: Vec<_> = Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.verdict() == Verdict::Works)
            .collect();
        assert_eq!(works, [Outcome::Success, Outcome::ClientGone]);
    }

    #[test]
    fn names_are_distinct_and_lead_back() {
        let names: HashSet<_> = Outcome::ALL.into_iter().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::ALL.len());
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.name()), Some(outcome));
        }
        for name in ["", "Success", "quota_exceeded"] {
            assert_eq!(Outcome::from_name(name), None, "{name}");
        }
    }
}
