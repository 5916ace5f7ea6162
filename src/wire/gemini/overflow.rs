//! Requests that are longer than a model's context.
//!
//! Agents that recognize this error shorten the conversation, or tell the user to.

/// How long a request is, and how long it may be, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow {
    /// Unknown if Google did not say it.
    pub tokens: Option<u64>,
    /// Unknown if Google did not say it.
    pub limit: Option<u64>,
}

impl Overflow {
    /// Reads a message such as `The input token count (1050000) exceeds the maximum number of tokens
    /// allowed (1048576).`, in which either number may be missing; `None` if it is another message.
    pub fn in_message(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("input token count")?;
        let (before, after) = rest.split_once("exceeds the maximum number of tokens")?;
        Some(Self {
            tokens: first_number(before),
            limit: first_number(after),
        })
    }
}

fn first_number(text: &str) -> Option<u64> {
    let is_digit = |c: char| c.is_ascii_digit();
    let digits = text.get(text.find(is_digit)?..)?;
    let end = digits.find(|c| !is_digit(c)).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_published_messages() {
        for (message, tokens, limit) in [
            (
                "The input token count (1050000) exceeds the maximum number of tokens allowed (1048576).",
                Some(1_050_000),
                Some(1_048_576),
            ),
            (
                "The input token count exceeds the maximum number of tokens allowed 1048576.",
                None,
                Some(1_048_576),
            ),
        ] {
            assert_eq!(
                Overflow::in_message(message),
                Some(Overflow { tokens, limit })
            );
        }
        assert_eq!(
            Overflow::in_message("You exceeded your current quota"),
            None
        );
    }
}
