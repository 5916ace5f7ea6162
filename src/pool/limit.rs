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
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 2] = [Self::Requests, Self::InputTokens];

    /// The unit's name in log lines and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::InputTokens => "input_tokens",
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

#[cfg(test)]
mod tests {
    use super::*;

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
