//! How much a project may use of a model in a while, as the upstream's refusals tell it.
//!
//! Google publishes no numbers any more and changes them without notice, so the pool learns them from errors. Limits
//! hold for a project and one model, however many keys the project has
//! (<https://ai.google.dev/gemini-api/docs/rate-limits>).

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Calls, refused ones included.
    Requests,
    /// Tokens of prompts.
    InputTokens,
    /// Texts to be embedded, of which one call may have many. Only a single call is held against it.
    Texts,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 3] = [Self::Requests, Self::InputTokens, Self::Texts];

    /// The unit's name in log lines and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::InputTokens => "input_tokens",
            Self::Texts => "texts",
        }
    }

    /// The unit of this [`name`](Self::name); `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }
}

/// The while in which a limit counts. The longer, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// From midnight to midnight Pacific.
    Day,
}

impl Window {
    /// Every window.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Day];

    /// The window's name in log lines and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Day => "day",
        }
    }

    /// The window of this [`name`](Self::name); `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.name() == name)
    }
}

/// How much may be used in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// In which while.
    pub window: Window,
    /// How many of the unit in one window.
    pub value: u64,
}

/// What one request uses by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Estimated tokens of its text. Images, sound and other encoded data are left out: their tokens cannot be told from
    /// their size.
    pub input_tokens: u64,
    /// Texts to be embedded; 0 for other requests.
    pub texts: u64,
}

impl RequestSize {
    /// Whether the request alone is larger than a limit, as far as its tokens can be estimated: what to believe where the
    /// upstream has refused it by this limit.
    pub fn exceeds(&self, limit: &Limit) -> bool {
        self.used_of(limit.unit) > limit.value
    }

    /// Whether it is larger for certain. An estimate of tokens has to be half as large again.
    pub fn surely_exceeds(&self, limit: &Limit) -> bool {
        let least = match limit.unit {
            Unit::InputTokens => limit.value.saturating_add(limit.value / 2),
            Unit::Requests | Unit::Texts => limit.value,
        };
        self.used_of(limit.unit) > least
    }

    fn used_of(&self, unit: Unit) -> u64 {
        match unit {
            // A limit of 0 is a plan without the model.
            Unit::Requests => 0,
            Unit::InputTokens => self.input_tokens,
            Unit::Texts => self.texts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_larger_than_a_limit_for_certain_only_by_a_margin() {
        let limit = |unit, value| Limit {
            unit,
            window: Window::Minute,
            value,
        };
        let size = RequestSize {
            input_tokens: 24_000,
            texts: 100,
        };
        for (unit, value, exceeds, surely) in [
            (Unit::InputTokens, 15_999, true, true),
            (Unit::InputTokens, 16_000, true, false),
            (Unit::InputTokens, 23_999, true, false),
            (Unit::InputTokens, 24_000, false, false),
            (Unit::Texts, 99, true, true),
            (Unit::Texts, 100, false, false),
            (Unit::Requests, 1, false, false),
        ] {
            let limit = limit(unit, value);
            assert_eq!(
                (size.exceeds(&limit), size.surely_exceeds(&limit)),
                (exceeds, surely),
                "{limit:?}"
            );
        }
    }

    #[test]
    fn names_lead_back() {
        for unit in Unit::ALL {
            assert_eq!(Unit::from_name(unit.name()), Some(unit));
        }
        for window in Window::ALL {
            assert_eq!(Window::from_name(window.name()), Some(window));
        }
        assert_eq!(Unit::from_name("tokens"), None);
        assert_eq!(Window::from_name("hour"), None);
    }
}
