//! How an attempt ended, whose fault it was, and what follows from it.
//!
//! Most key pools ban good keys because they count every error against the key: a caller's
//! malformed request, an overloaded model, a blocked address. So this module first determines who
//! is at fault; everything that follows is one row of [`Outcome::rule`]: what the outcome says
//! about the key, which retry may help, what cools down and what the caller receives.
//! [`crate::wire::gemini::diagnose`] maps responses to outcomes.

use super::{HOUR_MS, MINUTE_MS};

/// Everything that follows from an [`Outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The outcome's name in log lines and in the database.
    pub name: &'static str,
    /// What the outcome says about the key.
    pub verdict: Verdict,
    /// Which retry may help.
    pub cure: Cure,
    /// What the caller receives if no attempt does better.
    pub caller_error: CallerError,
    /// What cools down, if anything. If the verdict is against the key, it cools down only while
    /// the upstream is [suspected](super::suspicion).
    pub cooling: Option<Cooling>,
    /// Whether several keys with this outcome make the upstream, or this machine's address,
    /// suspect.
    pub is_systemic: bool,
    /// Whether the upstream may have processed the request, so that a request that must not run
    /// twice is not sent again.
    pub may_have_run: bool,
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
    /// The outcome says nothing about the key.
    Unknown,
}

impl Verdict {
    /// Whether it changes the key's state, so that it cannot be written in a batch.
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
    /// One key of another project, at once. If it gets the same answer, the request is at fault.
    OneOtherProject,
    /// Another key, at once; charged to the retry budget, since it may not help.
    PerhapsAnotherKey,
    /// Another key after a back-off; charged to the retry budget.
    AfterBackOff,
    /// The same key in its other credential header.
    OtherHeader,
    /// Any key at once, including the same one; the second time in a request, like
    /// [`AfterBackOff`](Self::AfterBackOff).
    AtOnce,
}

/// How a failure is reported to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerError {
    /// The upstream's own error: the request is at fault.
    RequestFault,
    /// The request is larger than any quota.
    TooLarge,
    /// This machine's address or country is refused.
    Location,
    /// The request's resource or method is not permitted.
    Permission,
    /// The project's plan does not include the request; waiting will not help soon.
    Plan,
    /// A quota is used up until it resets.
    Quota,
    /// The plan has no quota.
    NoQuota,
    /// The project is out of billing.
    Billing,
    /// The pool's key was rejected, which is not the caller's fault.
    KeyRejected,
    /// The pool's own call was wrong.
    PoolFault,
    /// The upstream is in trouble.
    Trouble,
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
    /// When it starts.
    pub blame: Blame,
}

/// Whether a key or its project cools down.
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
    /// As long as the upstream asks, at most 60 s; 60 s if it does not say. No trial.
    AsAsked,
    /// Until midnight Pacific, regardless of what the upstream asks.
    UntilNextDay {
        /// Whether one trial call must succeed before the rest follow.
        trial: bool,
    },
    /// Doubles after each consecutive incident, with a trial call after each.
    Doubling {
        /// The first one, in milliseconds.
        first_ms: i64,
        /// The longest one, in milliseconds.
        longest_ms: i64,
    },
}

const SECOND_MS: i64 = 1000;

const TODAY: Length = Length::UntilNextDay { trial: true };

const fn doubling(first_ms: i64, longest_ms: i64) -> Length {
    Length::Doubling {
        first_ms,
        longest_ms,
    }
}

impl Rule {
    /// A rule for an outcome that says nothing about the key and cools nothing.
    const fn new(name: &'static str, cure: Cure, caller_error: CallerError) -> Self {
        Self {
            name,
            verdict: Verdict::Unknown,
            cure,
            caller_error,
            cooling: None,
            is_systemic: false,
            may_have_run: false,
        }
    }

    /// A failure of the key itself. While the upstream is suspected, the key cools down instead.
    const fn against_key(self, verdict: Verdict) -> Self {
        let length = doubling(MINUTE_MS, 10 * MINUTE_MS);
        Self {
            verdict,
            is_systemic: true,
            ..self.cools(CoolingScope::Key, Extent::AllModels, length)
        }
    }

    const fn works(self) -> Self {
        Self {
            verdict: Verdict::Works,
            ..self
        }
    }

    const fn cools(self, scope: CoolingScope, extent: Extent, length: Length) -> Self {
        self.with_cooling(Cooling {
            scope,
            extent,
            length,
            blame: Blame::AtOnce,
        })
    }

    /// Cools the scope for the model once another key has served the same request.
    const fn cools_when_another_serves(self, scope: CoolingScope, length: Length) -> Self {
        self.with_cooling(Cooling {
            scope,
            extent: Extent::Model,
            length,
            blame: Blame::WhenAnotherServes,
        })
    }

    const fn with_cooling(self, cooling: Cooling) -> Self {
        Self {
            cooling: Some(cooling),
            ..self
        }
    }

    const fn systemic(self) -> Self {
        Self {
            is_systemic: true,
            ..self
        }
    }

    const fn may_have_run(self) -> Self {
        Self {
            may_have_run: true,
            ..self
        }
    }
}

/// Declares the outcomes, each with its documentation and its rule, so that neither can be missing.
macro_rules! outcomes {
    ($($(#[$doc:meta])* $variant:ident => $rule:expr;)*) => {
        /// How an attempt ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Outcome {
            $($(#[$doc])* $variant,)*
        }

        impl Outcome {
            /// Every outcome, in the order of the table.
            pub const ALL: [Self; [$(stringify!($variant)),*].len()] = [$(Self::$variant,)*];

            /// Everything that follows from the outcome.
            pub const fn rule(self) -> Rule {
                use CoolingScope::{Key, Project};
                use Extent::{AllModels, Model, ModelAndTool};
                match self {
                    $(Self::$variant => $rule,)*
                }
            }
        }
    };
}

outcomes! {
    /// The upstream answered, and the whole answer was relayed.
    Success => Rule::new("success", Cure::None, CallerError::Trouble).works();
    /// The upstream answered, but the client disconnected before the end.
    ClientGone => Rule::new("client_gone", Cure::None, CallerError::Trouble).works();
    /// The upstream answered 200 without content: no text, no call, at most thoughts.
    EmptyAnswer => Rule::new("empty_answer", Cure::PerhapsAnotherKey, CallerError::Trouble);
    /// The request itself is wrong (400, 404, 413 and the like): every key would get the same
    /// answer.
    ClientFault => Rule::new("client_fault", Cure::None, CallerError::RequestFault);
    /// The request alone exceeds the quota: it can never succeed where that limit applies.
    RequestTooLarge => Rule::new("request_too_large", Cure::OneOtherProject, CallerError::TooLarge);
    /// The method takes no API keys, belongs to another service, or was refused by a front end.
    /// This is most likely the request's fault, and the key's only if another key succeeds.
    RequestRefused => Rule::new("request_refused", Cure::OneOtherProject, CallerError::Permission)
        .cools_when_another_serves(Key, doubling(5 * MINUTE_MS, HOUR_MS));
    /// "Not found" for a call that names nothing but its model: only some projects may use it.
    EntityNotFound => Rule::new("entity_not_found", Cure::OneOtherProject, CallerError::RequestFault)
        .cools_when_another_serves(Project, doubling(5 * MINUTE_MS, HOUR_MS));
    /// A tool call in the request's history lacks its thought signature, and the model refuses it.
    /// The pool can repair this.
    SignatureMissing => Rule::new("signature_missing", Cure::None, CallerError::RequestFault);
    /// The request carries a thought signature that this project cannot read.
    SignatureRefused => Rule::new("signature_refused", Cure::OneOtherProject, CallerError::RequestFault);
    /// The upstream does not accept this key: invalid, expired, leaked, suspended.
    KeyRejected => Rule::new("key_rejected", Cure::AnotherKey, CallerError::KeyRejected)
        .against_key(Verdict::Rejected);
    /// The key is restricted to other addresses, referrers, apps or services, which its owner can
    /// change.
    KeyRestricted => Rule::new("key_restricted", Cure::AnotherKey, CallerError::KeyRejected)
        .against_key(Verdict::Restricted);
    /// The upstream expects this key in the other header.
    CredentialMisplaced => Rule::new("credential_misplaced", Cure::OtherHeader, CallerError::PoolFault);
    /// The key's project has the API switched off, or is denied access. Its owner can change that,
    /// so it is not final.
    ProjectRefused => Rule::new("project_refused", Cure::AnotherKey, CallerError::KeyRejected)
        .against_key(Verdict::Failed);
    /// This key may not use this resource or model; others may.
    ResourceRefused => Rule::new("resource_refused", Cure::AnotherKey, CallerError::Permission)
        .cools_when_another_serves(Key, doubling(5 * MINUTE_MS, HOUR_MS));
    /// The model is not available to the key's project; other projects may have it.
    ModelRefused => Rule::new("model_refused", Cure::AnotherKey, CallerError::Plan)
        .cools(Project, Model, TODAY);
    /// The project's plan does not include what was asked for; other projects may have another
    /// plan.
    PlanRefused => Rule::new("plan_refused", Cure::AnotherKey, CallerError::Plan)
        .cools(Project, Model, TODAY);
    /// The message mentions plans or billing: either the plan or the request is at fault.
    PlanDoubted => Rule::new("plan_doubted", Cure::OneOtherProject, CallerError::Plan)
        .cools_when_another_serves(Project, TODAY);
    /// The project has no billing, and there is no free tier where the pool runs.
    FreeTierRefused => Rule::new("free_tier_refused", Cure::AnotherKey, CallerError::Plan)
        .cools(Project, AllModels, TODAY);
    /// The project's quota per minute for this model is used up.
    QuotaPerMinute => Rule::new("quota_per_minute", Cure::AnotherKey, CallerError::Quota)
        .cools(Project, Model, Length::AsAsked);
    /// The project's quota per day for this model is used up, until midnight Pacific.
    QuotaPerDay => Rule::new("quota_per_day", Cure::AnotherKey, CallerError::Quota)
        .cools(Project, Model, Length::UntilNextDay { trial: false });
    /// The project's plan has no quota for this model (`limit: 0`). Waiting does not help; another
    /// plan does.
    QuotaNone => Rule::new("quota_none", Cure::AnotherKey, CallerError::NoQuota)
        .cools(Project, Model, TODAY);
    /// The project's spending cap is reached, its credits are used up, or its billing account is
    /// closed.
    BillingExhausted => Rule::new("billing_exhausted", Cure::AnotherKey, CallerError::Billing)
        .cools(Project, AllModels, doubling(HOUR_MS, 24 * HOUR_MS));
    /// A refusal for "quota" that names none: a burst, or capacity shared with others.
    QuotaUnspecified => Rule::new("quota_unspecified", Cure::AnotherKey, CallerError::Quota)
        .cools(Project, Model, doubling(5 * SECOND_MS, MINUTE_MS))
        .systemic();
    /// The same for a request with a server-side tool such as search, which has its own quota.
    ToolQuota => Rule::new("tool_quota", Cure::AnotherKey, CallerError::Quota)
        .cools(Project, ModelAndTool, doubling(5 * SECOND_MS, MINUTE_MS));
    /// This machine's address or country is refused.
    EgressRefused => Rule::new("egress_refused", Cure::PerhapsAnotherKey, CallerError::Location)
        .cools_when_another_serves(Key, doubling(MINUTE_MS, 10 * MINUTE_MS))
        .systemic();
    /// The model is overloaded (503), regardless of the key.
    ModelOverloaded => Rule::new("model_overloaded", Cure::AfterBackOff, CallerError::Trouble).systemic();
    /// The upstream is broken or unreachable, or sent an invalid answer.
    UpstreamTrouble => Rule::new("upstream_trouble", Cure::AfterBackOff, CallerError::Trouble)
        .systemic()
        .may_have_run();
    /// The call never reached the upstream.
    NotSent => Rule::new("not_sent", Cure::AtOnce, CallerError::Trouble).systemic();
    /// The connection failed before the response began; the upstream may have read the request.
    Unanswered => Rule::new("unanswered", Cure::AtOnce, CallerError::Trouble)
        .systemic()
        .may_have_run();
    /// The pool sent something that it should not have sent, or may not send at all.
    PoolFault => Rule::new("pool_fault", Cure::PerhapsAnotherKey, CallerError::PoolFault);
}

impl Outcome {
    /// The outcome's name in log lines and in the database.
    pub fn name(self) -> &'static str {
        self.rule().name
    }

    /// The outcome with this [`name`](Self::name), if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// What the outcome says about the key.
    pub fn verdict(self) -> Verdict {
        self.rule().verdict
    }

    /// When its cool-down begins, if it causes one.
    pub fn blame(self) -> Option<Blame> {
        self.rule().cooling.map(|cooling| cooling.blame)
    }

    /// Whether the key's project lacks the quota or the credit for the call.
    pub fn is_of_quota(self) -> bool {
        let caller_error = self.rule().caller_error;
        matches!(
            caller_error,
            CallerError::Quota | CallerError::NoQuota | CallerError::Billing
        )
    }

    /// Whether the project's plan excludes the call, so that waiting will not help soon.
    pub fn is_of_plan(self) -> bool {
        self.rule().caller_error == CallerError::Plan
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
    fn only_refused_keys_and_projects_count_against_the_key() {
        assert_eq!(with(Verdict::Rejected), [Outcome::KeyRejected]);
        assert_eq!(with(Verdict::Restricted), [Outcome::KeyRestricted]);
        assert_eq!(with(Verdict::Failed), [Outcome::ProjectRefused]);
    }

    #[test]
    fn only_answered_calls_count_as_success() {
        assert_eq!(
            with(Verdict::Works),
            [Outcome::Success, Outcome::ClientGone]
        );
    }

    #[test]
    fn request_and_upstream_faults_cool_nothing_at_once() {
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
    fn names_are_unique_and_parse_back() {
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
