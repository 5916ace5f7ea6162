//! Faults that a drill simulates, as Google would answer.

/// How a call ends in a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A 429: the quota per minute is exhausted for a few seconds.
    RateLimited,
    /// A 503: the model is overloaded.
    Unavailable,
    /// The connection breaks before the response.
    Reset,
}

/// States no value of the quota, which the pool would learn as a limit.
const RATE_LIMITED: &str = r#"{
  "error": {
    "code": 429,
    "message": "You exceeded your current quota, please check your plan and billing details. Please retry in 5s.",
    "status": "RESOURCE_EXHAUSTED",
    "details": [
      {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
          {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
          }
        ]
      },
      {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": "5s"
      }
    ]
  }
}
"#;

const UNAVAILABLE: &str = r#"{
  "error": {
    "code": 503,
    "message": "The model is overloaded. Please try again later.",
    "status": "UNAVAILABLE"
  }
}
"#;

impl Fault {
    /// Every fault with its name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("429", Self::RateLimited),
        ("503", Self::Unavailable),
        ("reset", Self::Reset),
    ];

    /// The name in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "429",
            Self::Unavailable => "503",
            Self::Reset => "reset",
        }
    }

    /// The fault with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let fault = Self::ALL.iter().find(|(known, _)| *known == name);
        fault.map(|(_, fault)| *fault)
    }

    /// The status and body of the response; `None` if there is none.
    pub fn response(self) -> Option<(u16, &'static str)> {
        match self {
            Self::RateLimited => Some((429, RATE_LIMITED)),
            Self::Unavailable => Some((503, UNAVAILABLE)),
            Self::Reset => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CallResult, diagnose};
    use super::*;
    use crate::pool::Outcome;
    use crate::wire::request_traits::RequestTraits;

    #[test]
    fn each_has_its_name() {
        for (name, fault) in Fault::ALL {
            assert_eq!(fault.name(), name);
            assert_eq!(Fault::from_name(name), Some(fault));
        }
        assert_eq!(Fault::from_name("418"), None);
    }

    #[test]
    fn responses_are_taken_for_googles_and_teach_no_limit() {
        let headers = http::HeaderMap::new();
        for (fault, outcome, retry_after_ms) in [
            (Fault::RateLimited, Outcome::QuotaPerMinute, Some(5_000)),
            (Fault::Unavailable, Outcome::ModelOverloaded, None),
        ] {
            let (status, body) = fault.response().unwrap();
            let response = CallResult::Response {
                status,
                headers: &headers,
                body: body.as_bytes(),
            };
            let diagnosis = diagnose(response, &RequestTraits::default());
            assert_eq!(diagnosis.outcome, outcome);
            assert_eq!(diagnosis.retry_after_ms, retry_after_ms);
            assert_eq!((diagnosis.limits, diagnosis.project), (vec![], None));
        }
        assert_eq!(Fault::Reset.response(), None);
    }
}
