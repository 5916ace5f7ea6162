//! How an attempt ended, and whose fault that was.
//!
//! Most key pools ban good keys because they count every error against the key: a caller's malformed request, an
//! overloaded model, a blocked address. So the fault is named first, and only [`Verdict::Failed`] and
//! [`Verdict::Rejected`] touch the key's state. The wire knowledge behind each name is [`crate::gemini::classify`].

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The upstream answered, and the answer was handed on to its end.
    Success,
    /// The upstream answered; the client left before the end.
    ClientGone,
    /// The request itself is wrong (400, 404, 413 and kin): every key would get the same answer.
    ClientFault,
    /// The upstream does not accept this key any more: invalid, expired, leaked, suspended, blocked.
    KeyRejected,
    /// This key may not use this model or resource; with others it works.
    ResourceRefused,
    /// A quota of the key's project is used up, or its account has run dry.
    QuotaExceeded,
    /// This machine's address or country is refused, whatever the key.
    EgressRefused,
    /// The upstream is overloaded, broken or unreachable, or sent something that is no answer.
    UpstreamTrouble,
    /// The pool sent something that it should not have sent.
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
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::ClientGone,
        Self::ClientFault,
        Self::KeyRejected,
        Self::ResourceRefused,
        Self::QuotaExceeded,
        Self::EgressRefused,
        Self::UpstreamTrouble,
        Self::PoolFault,
    ];

    /// The outcome's name in log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientGone => "client_gone",
            Self::ClientFault => "client_fault",
            Self::KeyRejected => "key_rejected",
            Self::ResourceRefused => "resource_refused",
            Self::QuotaExceeded => "quota_exceeded",
            Self::EgressRefused => "egress_refused",
            Self::UpstreamTrouble => "upstream_trouble",
            Self::PoolFault => "pool_fault",
        }
    }

    /// What it says about the key.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Success | Self::ClientGone => Verdict::Works,
            Self::QuotaExceeded => Verdict::Failed,
            Self::KeyRejected => Verdict::Rejected,
            Self::ClientFault
            | Self::ResourceRefused
            | Self::EgressRefused
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
    fn only_quota_and_rejection_count_against_the_key() {
        let against: Vec<_> = Outcome::ALL
            .into_iter()
            .filter(|outcome| matches!(outcome.verdict(), Verdict::Failed | Verdict::Rejected))
            .collect();
        assert_eq!(against, [Outcome::KeyRejected, Outcome::QuotaExceeded]);
    }

    #[test]
    fn names_are_distinct() {
        let names: HashSet<_> = Outcome::ALL.into_iter().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::ALL.len());
    }
}
