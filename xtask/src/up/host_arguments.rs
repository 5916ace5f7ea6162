//! The host's arguments, as far as `up` must understand them: paths, variables and grace.

use std::path::Path;
use std::time::Duration;

/// Host options whose value is a path.
const PATHS: [&str; 4] = [
    "--state-dir",
    "--log-dir",
    "--runtime-config-file",
    "--env-file",
];
/// Host options whose value may be `@` and a path.
const FILES: [&str; 2] = ["--sqlite", "--variable"];

/// The arguments with paths made absolute, relative to `folder`.
pub(super) fn absolute(arguments: &[String], folder: &Path) -> Vec<String> {
    let path = |text: &str| folder.join(text).to_string_lossy().into_owned();
    let value = |option: &str, value: &str| match value.strip_prefix('@') {
        Some(file) if FILES.contains(&option) => format!("@{}", path(file)),
        None if option == "--variable" => match value.split_once("=@") {
            Some((name, file)) if !name.contains('=') => format!("{name}=@{}", path(file)),
            _ => value.to_owned(),
        },
        _ if PATHS.contains(&option) => path(value),
        _ => value.to_owned(),
    };
    let mut previous = "";
    let mut result = Vec::new();
    for argument in arguments {
        result.push(match argument.split_once('=') {
            Some((option, text)) if option.starts_with("--") => {
                format!("{option}={}", value(option, text))
            }
            _ => value(previous, argument),
        });
        previous = argument;
    }
    result
}

/// The last value that `--variable` gives to a variable.
pub(super) fn variable(arguments: &[String], name: &str) -> Option<String> {
    let settings = values(arguments).filter_map(|setting| setting.split_once('='));
    settings
        .filter(|(key, value)| *key == name && !value.starts_with('@'))
        .last()
        .map(|(_, value)| value.to_owned())
}

/// Whether variables come from a file, which is not read here.
pub(super) fn has_variables_file(arguments: &[String]) -> bool {
    values(arguments).any(|setting| setting.starts_with('@') || setting.contains("=@"))
}

/// The last value of `--grace`.
pub(super) fn grace(arguments: &[String]) -> Option<Duration> {
    let value = values_of(arguments, "--grace").last()?;
    let (number, unit): (&str, fn(u64) -> Duration) = match value.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis),
        None => (
            value.strip_suffix('s').unwrap_or(value),
            Duration::from_secs,
        ),
    };
    number.parse().map(unit).ok()
}

fn values(arguments: &[String]) -> impl Iterator<Item = &str> {
    values_of(arguments, "--variable")
}

fn values_of<'a>(arguments: &'a [String], option: &'static str) -> impl Iterator<Item = &'a str> {
    let previous = std::iter::once("").chain(arguments.iter().map(String::as_str));
    previous
        .zip(arguments)
        .filter_map(move |(previous, argument)| {
            argument
                .strip_prefix(option)
                .and_then(|rest| rest.strip_prefix('='))
                .or_else(|| (previous == option).then_some(argument.as_str()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn only_paths_are_made_absolute() {
        for (given, expected) in [
            ("--sqlite @dump.sql", "--sqlite @/here/dump.sql"),
            ("--sqlite=@dump.sql", "--sqlite=@/here/dump.sql"),
            ("--sqlite @/there/dump.sql", "--sqlite @/there/dump.sql"),
            ("--sqlite SELECT=@x", "--sqlite SELECT=@x"),
            ("--variable @v.toml", "--variable @/here/v.toml"),
            ("--variable a=@b", "--variable a=@/here/b"),
            ("--variable=a=@b", "--variable=a=@/here/b"),
            ("--variable a=b=@c", "--variable a=b=@c"),
            ("--state-dir x --quiet", "--state-dir /here/x --quiet"),
            ("--state-dir=../x", "--state-dir=/here/../x"),
            ("--quiet @x", "--quiet @x"),
            ("", ""),
        ] {
            let result = absolute(&split(given), Path::new("/here"));
            assert_eq!(result.join(" "), expected, "{given}");
        }
    }

    #[test]
    fn last_grace_wins_in_either_form() {
        for (given, expected) in [
            ("--grace 60s", Some(60_000)),
            ("--grace=500ms --quiet", Some(500)),
            ("--grace 60s --grace 2", Some(2_000)),
            ("--grace soon", None),
            ("--quiet", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(grace(&split(given)), expected, "{given}");
        }
    }

    #[test]
    fn last_variable_wins_in_either_form() {
        for (given, value, has_file) in [
            ("--variable a=1", Some("1"), false),
            ("--variable=a=1=2", Some("1=2"), false),
            ("--variable a=1 --quiet --variable a=2", Some("2"), false),
            ("--variable b=1", None, false),
            ("a=1", None, false),
            ("--variable a=1 --variable @file", Some("1"), true),
            ("--variable=@file", None, true),
            ("--variable a=@file", None, true),
        ] {
            let arguments = split(given);
            assert_eq!(variable(&arguments, "a").as_deref(), value, "{given}");
            assert_eq!(has_variables_file(&arguments), has_file, "{given}");
        }
    }
}
