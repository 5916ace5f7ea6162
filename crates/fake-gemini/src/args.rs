//! The program's command line.
//!
//! Keys are read here and not by clap, whose messages would repeat them.

use crate::demo::Pace;
use crate::script;
use anyhow::{Context, Result, bail, ensure};
use fake_gemini::{Condition, Quota, Reply};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A stand-in for Google's Gemini API: made-up answers, real bytes.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// A key, as KEY, KEY@PROJECT, KEY=CONDITION or KEY@PROJECT=CONDITION; may be given several times. Without a
    /// project it gets one of its own. Conditions: valid, invalid, expired, not-found, unauthenticated, leaked,
    /// suspended, project-denied, service-disabled, service-blocked, permission-denied, location-unsupported.
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// What a key answers first, once each, before anything else holds for it, as KEY_NUMBER=REPLY,REPLY,…; may be
    /// given several times. Keys are numbered from 1, in their order. Replies: ok, empty, high-demand, overloaded,
    /// unavailable, internal, deadline, exhausted, quota-minute, quota-day, quota-zero, prepaid, html-502, cut (short,
    /// in the middle of the body), reset, close (both without an answer), silence, break:N (closed after N events of a
    /// stream), reset:N (reset then), error:N (an error then).
    #[arg(long = "script", value_name = "SCRIPT")]
    scripts: Vec<String>,
    /// Requests per minute, for each project and model.
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Requests per day until midnight Pacific, for each project and model.
    #[arg(long, value_name = "N")]
    rpd: Option<u64>,
    /// Tokens of input per minute, for each project and model.
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Tokens of input per day until midnight Pacific, for each project and model.
    #[arg(long, value_name = "N")]
    tpd: Option<u64>,
    /// Ignore fields that Google would refuse.
    #[arg(long)]
    pub(crate) lenient: bool,
    /// Milliseconds between the words of a stream.
    #[arg(long, value_name = "N", default_value_t = 40)]
    event_gap_ms: u64,
    /// Milliseconds before each answer.
    #[arg(long, value_name = "N", default_value_t = 0)]
    delay_ms: u64,
}

/// A key of the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyArg {
    pub(crate) text: String,
    pub(crate) project: Option<String>,
    pub(crate) condition: Condition,
}

impl Args {
    /// The keys, in order. An error names a key by its place.
    pub(crate) fn keys(&self) -> Result<Vec<KeyArg>> {
        let mut seen = HashSet::new();
        self.keys
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let key = key(text).with_context(|| format!("--key number {}", index + 1))?;
                ensure!(
                    seen.insert(key.text.clone()),
                    "--key number {} is the same as an earlier one",
                    index + 1
                );
                Ok(key)
            })
            .collect()
    }

    /// The replies of each script, in order, with the place of its key among `keys` keys, from 1. An error names a
    /// script by its place, in case that it has a key in it.
    pub(crate) fn scripts(&self, keys: usize) -> Result<Vec<(usize, Vec<Reply>)>> {
        self.scripts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                script::parse(text, keys, self.pace())
                    .with_context(|| format!("--script number {}", index + 1))
            })
            .collect()
    }

    pub(crate) fn quota(&self) -> Quota {
        let mut quota = Quota::unlimited();
        if let Some(limit) = self.rpm {
            quota = quota.requests_per_minute(limit);
        }
        if let Some(limit) = self.rpd {
            quota = quota.requests_per_day(limit);
        }
        if let Some(limit) = self.tpm {
            quota = quota.input_tokens_per_minute(limit);
        }
        if let Some(limit) = self.tpd {
            quota = quota.input_tokens_per_day(limit);
        }
        quota
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            delay: Duration::from_millis(self.delay_ms),
            gap: Duration::from_millis(self.event_gap_ms),
        }
    }
}

fn key(text: &str) -> Result<KeyArg> {
    let (rest, condition) = match text.rsplit_once('=') {
        Some((rest, name)) => match name.parse() {
            Ok(condition) => (rest, condition),
            Err(_) => {
                // What follows may be the end of a key, so it is not repeated.
                let names: Vec<_> = Condition::ALL.iter().map(|c| c.name()).collect();
                bail!("after `=` comes one of: {}", names.join(", "));
            }
        },
        None => (text, Condition::Valid),
    };
    let (key, project) = match rest.split_once('@') {
        Some((_, "")) => bail!("the project after `@` is empty"),
        Some((key, project)) => (key, Some(project.to_owned())),
        None => (rest, None),
    };
    ensure!(!key.is_empty(), "the key is empty");
    ensure!(
        key.bytes().all(|byte| byte.is_ascii_graphic()),
        "the key has a character that no HTTP header can carry"
    );
    Ok(KeyArg {
        text: key.to_owned(),
        project,
        condition,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    fn args(more: &[&str]) -> Args {
        Args::try_parse_from(["fake-gemini"].iter().chain(more)).unwrap()
    }

    #[test]
    fn a_key_comes_with_or_without_project_and_condition() {
        for (text, key, project, condition) in [
            ("AIzaFAKE-1", "AIzaFAKE-1", None, Condition::Valid),
            ("k@projects/7", "k", Some("projects/7"), Condition::Valid),
            ("k=leaked", "k", None, Condition::Leaked),
            (
                "AQ.k@p=service-blocked",
                "AQ.k",
                Some("p"),
                Condition::ServiceBlocked,
            ),
        ] {
            let expected = KeyArg {
                text: key.into(),
                project: project.map(Into::into),
                condition,
            };
            assert_eq!(args(&["--key", text]).keys().unwrap(), [expected], "{text}");
        }
    }

    #[test]
    fn an_error_names_the_key_by_its_place_and_never_shows_it() {
        for (bad, reason) in [
            ("AIzaFAKE-secret=secret", "after `=` comes one of: valid, "),
            ("AIzaFAKE-secret@", "the project after `@` is empty"),
            ("@secret", "the key is empty"),
            ("AIzaFAKE secret", "no HTTP header can carry"),
        ] {
            let error = args(&["--key", "k", "--key", bad]).keys().unwrap_err();
            let error = format!("{error:#}");
            assert!(
                error.starts_with("--key number 2") && error.contains(reason),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
        let twice = args(&["--key", "k", "--key", "k@p"]).keys().unwrap_err();
        assert_eq!(
            twice.to_string(),
            "--key number 2 is the same as an earlier one"
        );
    }

    #[test]
    fn quotas_and_pace_are_those_given() {
        let given = args(&[
            "--key",
            "k",
            "--rpm",
            "1",
            "--rpd",
            "2",
            "--tpm",
            "3",
            "--tpd",
            "4",
            "--event-gap-ms",
            "0",
            "--delay-ms",
            "5",
        ]);
        let expected = Quota::unlimited()
            .requests_per_minute(1)
            .requests_per_day(2)
            .input_tokens_per_minute(3)
            .input_tokens_per_day(4);
        assert_eq!(given.quota(), expected);
        assert_eq!(
            (given.pace().gap, given.pace().delay),
            (Duration::ZERO, Duration::from_millis(5))
        );
        assert_eq!(args(&["--key", "k"]).quota(), Quota::unlimited());
    }

    #[test]
    fn the_help_names_all_replies_and_conditions() {
        let help = Args::command().render_long_help().to_string();
        let words: HashSet<&str> = help.split([' ', '\n', ',', '.']).collect();
        let conditions = Condition::ALL.map(|condition| condition.name());
        for name in script::NAMES.iter().chain(&conditions) {
            assert!(words.contains(name), "{name}");
        }
    }

    #[test]
    fn an_error_names_the_script_by_its_place() {
        let given = args(&["--key", "k", "--script", "1=ok", "--script", "AIzaFAKE=ok"]);
        let error = format!("{:#}", given.scripts(1).unwrap_err());
        assert_eq!(
            error,
            "--script number 2: before `=` comes a key's place, from 1 to 1"
        );
    }

    #[test]
    fn without_a_key_the_command_line_is_refused() {
        assert!(Args::try_parse_from(["fake-gemini"]).is_err());
    }
}
