//! How much of a model a project may use within a window, as the upstream's errors state it.
//!
//! Google no longer publishes the numbers and changes them without notice, so the pool learns them
//! from errors. Limits apply to a project and one model, however many keys the project has
//! (<https://ai.google.dev/gemini-api/docs/rate-limits>).

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Calls, including refused ones.
    Requests,
    /// Tokens of prompts.
    InputTokens,
    /// Texts to embed, of which one call may have many. Checked for single calls only.
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

    /// The unit with this [`name`](Self::name), if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }
}

/// The period in which a limit counts, ordered by length.
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

    /// The window with this [`name`](Self::name), if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.name() == name)
    }
}

/// How much may be used in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Limit {
    /// What the limit counts.
    pub unit: Unit,
    /// The period.
    pub window: Window,
    /// How many units one window allows.
    pub value: u64,
}

/// What one request uses by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Estimated tokens of its text. Images, audio and other encoded data are excluded, since their
    /// size does not indicate their tokens.
    pub input_tokens: u64,
    /// Texts to embed; 0 for other requests.
    pub texts: u64,
}

impl RequestSize {
    /// Whether the request alone exceeds a limit by the estimate of its tokens. Use this after the
    /// upstream has refused the request because of the limit.
    pub fn exceeds(&self, limit: &Limit) -> bool {
        self.used_of(limit.unit) > limit.value
    }

    /// Whether the request alone certainly exceeds a limit: estimated tokens must exceed it by
    /// half.
    pub fn surely_exceeds(&self, limit: &Limit) -> bool {
        let threshold = match limit.unit {
            Unit::InputTokens => limit.value.saturating_add(limit.value / 2),
            Unit::Requests | Unit::Texts => limit.value,
        };
        self.used_of(limit.unit) > threshold
    }

    fn used_of(&self, unit: Unit) -> u64 {
        match unit {
            // A limit of 0 means that the plan excludes the model, not that the request is too
            // large.
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
    fn estimated_tokens_surely_exceed_a_limit_only_by_half() {
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
    fn names_parse_back() {
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
