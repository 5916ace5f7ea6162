//! Ids of requests. An id begins with the time of the request's arrival, so that its calls are found
//! in the log by time, without an index of ids.

use crate::pool::UnixMillis;
use std::fmt;

const PREFIX: &str = "req_";
/// The bits after the time, which are random.
const RANDOM_BITS: u32 = 80;

/// The id of a request: `req_` and 32 hexadecimal digits, of which the first 12 are the time of
/// arrival in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u128);

impl RequestId {
    /// A new id for a request that arrives now.
    pub fn new(now: UnixMillis, mut random: impl FnMut() -> u64) -> Self {
        let time = u128::from(now.0.max(0).unsigned_abs()) << RANDOM_BITS;
        let random = (u128::from(random()) << 64) | u128::from(random());
        Self(time | (random & ((1 << RANDOM_BITS) - 1)))
    }

    /// Reads an id; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let id = u128::from_str_radix(text.strip_prefix(PREFIX)?, 16).map(Self);
        // An id has one spelling.
        id.ok().filter(|id| id.to_string() == text)
    }

    /// When the request arrived.
    pub fn arrival(self) -> UnixMillis {
        UnixMillis(i64::try_from(self.0 >> RANDOM_BITS).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_its_request_arrived() {
        let now = UnixMillis(1_800_000_000_123);
        let id = RequestId::new(now, || u64::MAX);
        assert_eq!(id.to_string(), "req_01a3185c507bffffffffffffffffffff");
        assert_eq!(RequestId::parse(&id.to_string()), Some(id));
        assert_eq!(id.arrival(), now);
        for other in ["", "req_", "req_zz", "chatcmpl-1", "req_1"] {
            assert_eq!(RequestId::parse(other), None, "{other}");
        }
    }
}
