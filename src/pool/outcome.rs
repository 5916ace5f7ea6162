//! How an attempt ended, whose fault that was, and what follows from it.
//!
//! Most key pools ban good keys because they count every error against the key: a caller's malformed request, an
//! overloaded model, a blocked address. So the fault is named first, and everything that follows is read from one row of
//! [`Outcome::rule`]: what it says about the key, which retry may help, and what cools down. The wire knowledge behind
//! each name is [`crate::wire::gemini::diagnose`].

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The upstream answered, and the answer was passed on to its end. Nobody's fault.
    Success,
    /// The upstream answered; the client left before the end. The client's own choice.
    ClientGone,
    /// The upstream answered 200 without anything for the reader: no text, no call, at most thoughts. The upstream's fault.
    EmptyAnswer,
    /// The request itself is wrong (400, 404, 413 and kin): every key would get the same answer. The client's fault.
    ClientFault,
    /// The request alone is larger than the quota: it can never succeed where that limit holds. The client's fault.
    RequestTooLarge,
    /// The method takes no API keys, belongs to another service, or was refused by a front end. Most likely the request's
    /// fault; the key's only if another key can do it.
    RequestRefused,
    /// "Not found" for a call that names nothing but its model: a model that only some projects may use.
    EntityNotFound,
    /// A tool call in the request's history has no thought signature, and the model refuses it. The client's fault, which the
    /// pool can repair.
    SignatureMissing,
    /// The request carries a thought signature that this project cannot read.
    SignatureRefused,
    /// The upstream does not accept this key: invalid, expired, leaked, suspended.
    KeyRejected,
    /// The key is restricted to other addresses, referrers, apps or services. The operator's to change.
    KeyRestricted,
    /// The upstream wants this key in another header.
    CredentialMisplaced,
    /// The key's project has the API switched off, or is denied access. The operator's to repair, so it is not final.
    ProjectRefused,
    /// This key may not use this resource or model; with others it works. Nobody's fault.
    ResourceRefused,
    /// The model is not available to the key's project; other projects may still have it. Nobody's fault.
    ModelRefused,
    /// The project's plan does not include what was asked for; other projects may have another plan.
    PlanRefused,
    /// The message speaks of plans or billing: perhaps the same, perhaps the request's fault.
    PlanDoubted,
    /// The project has no billing, and there is no free tier where the pool runs.
    FreeTierRefused,
    /// A quota of this minute is used up, of the key's project and for this model. The pool's, for calling too often.
    QuotaPerMinute,
    /// A quota of this day is used up, of the key's project and for this model. It is back at midnight Pacific.
    QuotaPerDay,
    /// The project's plan has no quota at all for this model (`limit: 0`). Waiting does not help, another plan does.
    QuotaNone,
    /// The project's spending cap is reached, its credits are used up, or its billing account is closed. The operator's to
    /// repair.
    BillingExhausted,
    /// A refusal for "quota" that names none: a burst, or capacity shared with others. Nobody's fault in particular.
    QuotaUnspecified,
    /// The same, of a request with a server-side tool such as search: the tool has a quota of its own.
    ToolQuota,
    /// This machine's address or country is refused. The place's fault.
    EgressRefused,
    /// The model has more calls than it can serve (503), whatever the key. The upstream's fault.
    ModelOverloaded,
    /// The upstream is broken or unreachable, or sent something that is no answer. The upstream's fault.
    UpstreamTrouble,
    /// The call never reached the upstream. Neither the key's fault nor the upstream's.
    NotSent,
    /// The connection failed before the response began; whether the upstream has read the request is open.
    Unanswered,
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
    /// The upstream rejected the key.
    Rejected,
    /// The upstream accepts the key, but not for calls from here.
    Restricted,
    /// Nothing can be said about the key.
    Unknown,
}

impl Verdict {
    /// Whether it moves the key's state, so that it cannot be written in a batch.
    pub fn is_against_key(self) -> bool {
        match self {
            Self::Failed | Self::Rejected | Self::Restricted => true,
            Self::Works | Self::Unknown => false,
        }
    }
}

/// Which further attempt may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// None.
    None,
    /// Another key, at once.
    AnotherKey,
    /// One key of another project, at once. If that one says the same, the request is at fault.
    OneOtherProject,
    /// Another key, at once; taken from the retry budget, since it may not help.
    PerhapsAnotherKey,
    /// Another key after a back-off; taken from the retry budget.
    AnotherTime,
    /// The same key with its other credential header.
    OtherHeader,
    /// Any key at once, the same one included; the second time in a request as [`AnotherTime`](Self::AnotherTime).
    AtOnce,
}

/// What cools down after an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooling {
    /// The key's project, or the key alone.
    pub scope: CoolingScope,
    /// For which calls.
    pub extent: Extent,
    /// How long.
    pub length: Length,
    /// From when on.
    pub blame: Blame,
}

/// Who cools down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoolingScope {
    /// The key.
    Key,
    /// The key's project; the key alone where the project is not known.
    Project,
}

/// For which calls a scope cools down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// For all calls.
    AllModels,
    /// For calls for the same model, or about the same collection.
    Model,
    /// For calls for the same model with the same server-side tool.
    ModelAndTool,
}

/// When a cool-down begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// At once.
    AtOnce,
    /// Once another key has served the same request, which shows that the request was in order.
    WhenAnotherServes,
}

/// How long a cool-down lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As long as the upstream asks, at most 60 s; 60 s where it does not ask. No trial.
    AsAsked,
    /// Until midnight Pacific, whatever the upstream asks.
    UntilNextDay {
        /// Whether one trial call must succeed before the rest follow.
        trial: bool,
    },
    /// Twice as long each time in a row, with a trial call after each.
    Doubling {
        /// The first one, in milliseconds.
        first_ms: i64,
        /// The longest one, in milliseconds.
        longest_ms: i64,
    },
}

/// Everything that follows from an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The outcome's name in log lines and in the database.
    pub name: &'static str,
    /// What it says about the key.
    pub verdict: Verdict,
    /// Which retry may help.
    pub cure: Cure,
    /// What cools down; `None` where nothing does. Of a failure of the key itself this holds while the upstream is
    /// [suspected](super::suspicion).
    pub cooling: Option<Cooling>,
}

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

const fn doubling(first_ms: i64, longest_ms: i64) -> Length {
    Length::Doubling {
        first_ms,
        longest_ms,
    }
}

const fn cools(scope: CoolingScope, extent: Extent, length: Length) -> Option<Cooling> {
    Some(Cooling {
        scope,
        extent,
        length,
        blame: Blame::AtOnce,
    })
}

const fn cools_when_another_serves(
    scope: CoolingScope,
    extent: Extent,
    length: Length,
) -> Option<Cooling> {
    Some(Cooling {
        scope,
        extent,
        length,
        blame: Blame::WhenAnotherServes,
    })
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 30] = [
        Self::Success,
        Self::ClientGone,
        Self::EmptyAnswer,
        Self::ClientFault,
        Self::RequestTooLarge,
        Self::RequestRefused,
        Self::EntityNotFound,
        Self::SignatureMissing,
        Self::SignatureRefused,
        Self::KeyRejected,
        Self::KeyRestricted,
        Self::CredentialMisplaced,
        Self::ProjectRefused,
        Self::ResourceRefused,
        Self::ModelRefused,
        Self::PlanRefused,
        Self::PlanDoubted,
        Self::FreeTierRefused,
        Self::QuotaPerMinute,
        Self::QuotaPerDay,
        Self::QuotaNone,
        Self::BillingExhausted,
        Self::QuotaUnspecified,
        Self::ToolQuota,
        Self::EgressRefused,
        Self::ModelOverloaded,
        Self::UpstreamTrouble,
        Self::NotSent,
        Self::Unanswered,
        Self::PoolFault,
    ];

    /// When its cool-down begins, if it has one.
    pub fn blame(self) -> Option<Blame> {
        self.rule().cooling.map(|cooling| cooling.blame)
    }

    /// Everything that follows from it.
    pub const fn rule(self) -> Rule {
        use CoolingScope::{Key, Project};
        use Extent::{AllModels, Model, ModelAndTool};
        use Verdict::{Failed, Rejected, Restricted, Unknown, Works};
        const SUSPECTED: Option<Cooling> =
            cools(Key, AllModels, doubling(MINUTE_MS, 10 * MINUTE_MS));
        const TODAY: Length = Length::UntilNextDay { trial: true };
        let (name, verdict, cure, cooling) = match self {
            Self::Success => ("success", Works, Cure::None, None),
            Self::ClientGone => ("client_gone", Works, Cure::None, None),
            Self::EmptyAnswer => ("empty_answer", Unknown, Cure::PerhapsAnotherKey, None),
            Self::ClientFault => ("client_fault", Unknown, Cure::None, None),
            Self::RequestTooLarge => ("request_too_large", Unknown, Cure::OneOtherProject, None),
            Self::RequestRefused => (
                "request_refused",
                Unknown,
                Cure::OneOtherProject,
                cools_when_another_serves(Key, Model, doubling(5 * MINUTE_MS, HOUR_MS)),
            ),
            Self::EntityNotFound => (
                "entity_not_found",
                Unknown,
                Cure::OneOtherProject,
                cools_when_another_serves(Project, Model, doubling(5 * MINUTE_MS, HOUR_MS)),
            ),
            Self::SignatureMissing => ("signature_missing", Unknown, Cure::None, None),
            Self::SignatureRefused => ("signature_refused", Unknown, Cure::OneOtherProject, None),
            Self::KeyRejected => ("key_rejected", Rejected, Cure::AnotherKey, SUSPECTED),
            Self::KeyRestricted => ("key_restricted", Restricted, Cure::AnotherKey, SUSPECTED),
            Self::CredentialMisplaced => ("credential_misplaced", Unknown, Cure::OtherHeader, None),
            Self::ProjectRefused => ("project_refused", Failed, Cure::AnotherKey, SUSPECTED),
            Self::ResourceRefused => (
                "resource_refused",
                Unknown,
                Cure::AnotherKey,
                cools_when_another_serves(Key, Model, doubling(5 * MINUTE_MS, HOUR_MS)),
            ),
            Self::ModelRefused => (
                "model_refused",
                Unknown,
                Cure::AnotherKey,
                cools(Project, Model, TODAY),
            ),
            Self::PlanRefused => (
                "plan_refused",
                Unknown,
                Cure::AnotherKey,
                cools(Project, Model, TODAY),
            ),
            Self::PlanDoubted => (
                "plan_doubted",
                Unknown,
                Cure::OneOtherProject,
                cools_when_another_serves(Project, Model, TODAY),
            ),
            Self::FreeTierRefused => (
                "free_tier_refused",
                Unknown,
                Cure::AnotherKey,
                cools(Project, AllModels, TODAY),
            ),
            Self::QuotaPerMinute => (
                "quota_per_minute",
                Unknown,
                Cure::AnotherKey,
                cools(Project, Model, Length::AsAsked),
            ),
            Self::QuotaPerDay => (
                "quota_per_day",
                Unknown,
                Cure::AnotherKey,
                cools(Project, Model, Length::UntilNextDay { trial: false }),
            ),
            Self::QuotaNone => (
                "quota_none",
                Unknown,
                Cure::AnotherKey,
                cools(Project, Model, TODAY),
            ),
            Self::BillingExhausted => (
                "billing_exhausted",
                Unknown,
                Cure::AnotherKey,
                cools(Project, AllModels, doubling(HOUR_MS, 24 * HOUR_MS)),
            ),
            Self::QuotaUnspecified => (
                "quota_unspecified",
                Unknown,
                Cure::AnotherKey,
                cools(Project, Model, doubling(5 * SECOND_MS, MINUTE_MS)),
            ),
            Self::ToolQuota => (
                "tool_quota",
                Unknown,
                Cure::AnotherKey,
                cools(Project, ModelAndTool, doubling(5 * SECOND_MS, MINUTE_MS)),
            ),
            Self::EgressRefused => (
                "egress_refused",
                Unknown,
                Cure::PerhapsAnotherKey,
                cools_when_another_serves(Key, Model, doubling(MINUTE_MS, 10 * MINUTE_MS)),
            ),
            Self::ModelOverloaded => ("model_overloaded", Unknown, Cure::AnotherTime, None),
            Self::UpstreamTrouble => ("upstream_trouble", Unknown, Cure::AnotherTime, None),
            Self::NotSent => ("not_sent", Unknown, Cure::AtOnce, None),
            Self::Unanswered => ("unanswered", Unknown, Cure::AtOnce, None),
            Self::PoolFault => ("pool_fault", Unknown, Cure::PerhapsAnotherKey, None),
        };
        Rule {
            name,
            verdict,
            cure,
            cooling,
        }
    }

    /// The outcome's name in log lines and in the database.
    pub fn name(self) -> &'static str {
        self.rule().name
    }

    /// The outcome of this [`name`](Self::name); `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// What it says about the key.
    pub fn verdict(self) -> Verdict {
        self.rule().verdict
    }

    /// Whether the caller waits in vain: the key's project cannot serve it for want of quota or money.
    pub fn is_of_quota(self) -> bool {
        matches!(
            self,
            Self::QuotaPerMinute
                | Self::QuotaPerDay
                | Self::QuotaNone
                | Self::QuotaUnspecified
                | Self::ToolQuota
                | Self::BillingExhausted
        )
    }

    /// Whether the project's plan keeps the key from the call, so that no time brings it back soon.
    pub fn is_of_plan(self) -> bool {
        matches!(
            self,
            Self::ModelRefused | Self::PlanRefused | Self::PlanDoubted | Self::FreeTierRefused
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn with(verdict: Verdict) -> Vec<Outcome> {
        Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.verdict() == verdict)
            .collect()
    }

    #[test]
    fn only_what_the_key_or_its_project_is_refused_for_counts_against_the_key() {
        assert_eq!(with(Verdict::Rejected), [Outcome::KeyRejected]);
        assert_eq!(with(Verdict::Restricted), [Outcome::KeyRestricted]);
        assert_eq!(with(Verdict::Failed), [Outcome::ProjectRefused]);
    }

    #[test]
    fn only_a_call_that_was_answered_counts_for_the_key() {
        assert_eq!(
            with(Verdict::Works),
            [Outcome::Success, Outcome::ClientGone]
        );
    }

    #[test]
    fn a_fault_of_the_request_or_of_the_upstream_cools_nothing_at_once() {
        for outcome in [
            Outcome::ClientFault,
            Outcome::RequestTooLarge,
            Outcome::RequestRefused,
            Outcome::EntityNotFound,
            Outcome::SignatureMissing,
            Outcome::SignatureRefused,
            Outcome::PlanDoubted,
            Outcome::ResourceRefused,
            Outcome::EgressRefused,
            Outcome::EmptyAnswer,
            Outcome::ModelOverloaded,
            Outcome::UpstreamTrouble,
            Outcome::NotSent,
            Outcome::Unanswered,
            Outcome::PoolFault,
        ] {
            let cooling = outcome.rule().cooling;
            assert!(
                cooling.is_none_or(|cooling| cooling.blame == Blame::WhenAnotherServes
                    && cooling.extent == Extent::Model),
                "{outcome:?}"
            );
        }
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
