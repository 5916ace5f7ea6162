//! Running other programs, with their output on the terminal or captured.

use crate::workspace;
use anyhow::{Result, bail};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many lines of a failed program's output an error quotes.
const QUOTED_LINES: usize = 5;
/// How many characters of a command line an error quotes; temporary paths come last.
const QUOTED_CHARACTERS: usize = 80;

/// Arguments for the program that a command runs.
#[derive(clap::Args)]
pub(crate) struct PassedOn {
    /// Arguments for the program, such as `--quick`; `-- --help` lists them.
    #[arg(
        value_name = "ARGUMENT",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<OsString>,
}

/// A program that runs in the project's root, where rust-toolchain.toml applies.
///
/// A backtrace of rustup or cargo would only bury their message.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command
        .current_dir(workspace::root())
        .env_remove("RUST_BACKTRACE");
    command
}

/// The Cargo that runs xtask.
fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The Cargo that runs xtask, building into the project's own target folder.
///
/// spin.toml and the tests name files below `target/`, so the caller's `CARGO_TARGET_DIR` does not
/// apply. The variables that Cargo sets for xtask would make some build scripts run again.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(cargo_program());
    for (name, _) in std::env::vars_os() {
        let of_xtask = name.to_string_lossy();
        if of_xtask.starts_with("CARGO_PKG_") || of_xtask.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::root().join("target"))
        .args(arguments.split_whitespace());
    command
}

/// Shows `command` and runs it with its output on the terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = display(command);
    eprintln!("    $ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`{line}` failed: {status}"),
        Err(error) => bail!("{}", could_not_start(command, &error)),
    }
}

/// Runs `command` quietly and returns its standard output.
///
/// # Errors
/// It cannot be started or fails; the error quotes its output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    // Versions and error messages are parsed, so they must not be translated.
    let output = match command.env("LC_ALL", "C").output() {
        Ok(output) => output,
        Err(error) => bail!("{}", could_not_start(command, &error)),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let said = String::from_utf8_lossy(said);
    bail!(
        "`{}` failed ({}){}",
        shortened(&display(command)),
        output.status,
        error_lines(&said)
            .iter()
            .map(|line| format!("\n{line}"))
            .collect::<String>()
    )
}

/// Finds `name` as the shell would.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn could_not_start(command: &Command, error: &std::io::Error) -> String {
    let name = Path::new(command.get_program()).display().to_string();
    if error.kind() == ErrorKind::NotFound {
        format!("`{name}` is not installed, or not in PATH")
    } else {
        format!("`{name}` could not be started: {error}")
    }
}

fn display(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// The lines from the first that is marked as an error, or else the last lines.
fn error_lines(output: &str) -> Vec<&str> {
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let first_error = lines
        .iter()
        .position(|line| line.starts_with("error") || line.starts_with("E: "));
    let start = first_error.unwrap_or(lines.len().saturating_sub(QUOTED_LINES));
    let end = lines.len().min(start + QUOTED_LINES);
    lines[start..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_quotes_lines_from_the_first_error() {
        for (output, shown) in [
            ("", vec![]),
            ("a\n\nb  \n", vec!["a", "b"]),
            (
                "info: downloading\nerror: no route\n  why\n",
                vec!["error: no route", "  why"],
            ),
            (
                "Get:1 x\nW: slow\nE: Unable to locate",
                vec!["E: Unable to locate"],
            ),
            ("1\n2\n3\n4\n5\n6", vec!["2", "3", "4", "5", "6"]),
            (
                "error: why\n2\n3\n4\n5\n6",
                vec!["error: why", "2", "3", "4", "5"],
            ),
        ] {
            assert_eq!(error_lines(output), shown, "{output:?}");
        }
    }

    #[test]
    fn failure_names_program_and_quotes_output() {
        let error = capture(program("sh").args(["-c", "echo out; echo broken >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("`sh -c"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with("\nbroken"), "{error}");
    }

    #[test]
    fn long_command_is_truncated() {
        assert_eq!(shortened("apt-get update"), "apt-get update");
        let cut = shortened(&"é".repeat(200));
        assert_eq!(cut.chars().count(), QUOTED_CHARACTERS + 1);
    }

    #[test]
    fn missing_program_is_reported_as_missing() {
        let error = capture(&mut program("no-such-program-here")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-program-here` is not installed, or not in PATH"
        );
    }
}
