//! The commands of `keypool` that work against a running pool, over its admin API and nothing else.
//!
//! | module | what it does |
//! |---|---|
//! | `connection` | the pool's address, the operator's token, requests and errors |
//! | `output` | tables for people, JSON for programs |
//! | `keys`, `new_keys`, `key_tests` | `keypool keys …` |
//! | `tokens` | `keypool tokens …` |
//! | `calls` | `keypool calls …` |
//! | `status` | `keypool status` |
//! | `explain` | `keypool explain MODEL` |
//! | `forecast` | `keypool forecast` |
//! | `settings` | `keypool settings` |
//! | `secret` | `keypool secret new` |
//!
//! Exit codes: see [`EXIT_CODES`].

mod calls;
mod connection;
mod explain;
mod forecast;
mod key_tests;
mod keys;
mod new_keys;
mod output;
mod secret;
mod settings;
mod status;
mod tokens;

use anyhow::Result;
use clap::Subcommand;
use connection::ConnectionArgs;
use output::Format;
use std::io::{self, Write};

/// What the program's exit codes mean, for its help.
pub const EXIT_CODES: &str = "Exit codes: 0 for success, 1 if the command failed or the pool \
    refused it or cannot be reached, 2 for a wrong command line.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, change and delete the keys of a running pool.
    Keys {
        /// The pool.
        #[command(flatten)]
        connection: ConnectionArgs,
        /// What to do.
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Create, list, rotate and delete the client tokens of a running pool.
    Tokens {
        /// The pool.
        #[command(flatten)]
        connection: ConnectionArgs,
        /// What to do.
        #[command(subcommand)]
        command: tokens::TokensCommand,
    },
    /// Read the log of a running pool.
    Calls {
        /// The pool.
        #[command(flatten)]
        connection: ConnectionArgs,
        /// What to do.
        #[command(subcommand)]
        command: calls::CallsCommand,
    },
    /// Show the state of a running pool.
    Status {
        /// The pool.
        #[command(flatten)]
        connection: ConnectionArgs,
        /// How to show it.
        #[command(flatten)]
        options: status::StatusOptions,
    },
    /// Show which keys could serve a call for a model now, and why the others could not.
    Explain {
        /// The pool.
        #[command(flatten)]
        connection: ConnectionArgs,
        /// The model, or an alias of one.
        model: String,
    },
    /// Show when the budgets of a day will be used up at the pace of the last hours.
    Forecast {
        /// The pool.
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show the settings of a running pool, without secrets.
    Settings {
        /// The pool.
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Make secrets for the pool's settings. Needs no pool.
    #[command(subcommand)]
    Secret(secret::SecretCommand),
}

/// Runs a command and writes its output to the standard output.
///
/// # Errors
/// The pool refused or cannot be reached. The message says what to do.
pub fn run(command: Command) -> Result<()> {
    let out = &mut io::stdout().lock();
    let done = match command {
        Command::Keys {
            connection,
            command,
        } => keys::run(&connection.connect()?, connection.format(), command, out),
        Command::Tokens {
            connection,
            command,
        } => tokens::run(&connection.connect()?, connection.format(), &command, out),
        Command::Calls {
            connection,
            command,
        } => calls::run(&connection.connect()?, connection.format(), &command, out),
        Command::Status {
            connection,
            options,
        } => status::run(&connection.connect()?, connection.format(), options, out),
        Command::Explain { connection, model } => {
            explain::run(&connection.connect()?, connection.format(), &model, out)
        }
        Command::Forecast { connection } => {
            forecast::run(&connection.connect()?, connection.format(), out)
        }
        Command::Settings { connection } => {
            settings::run(&connection.connect()?, connection.format(), out)
        }
        Command::Secret(command) => secret::run(&command, out),
    };
    ignore_closed_pipe(done.and_then(|()| Ok(out.flush()?)))
}

/// A reader such as `head` may stop early.
fn ignore_closed_pipe(done: Result<()>) -> Result<()> {
    match done {
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Writes the script that completes the words of `program` in a shell to the standard output.
///
/// # Errors
/// The standard output cannot be written to.
pub fn completions(shell: clap_complete::Shell, program: &mut clap::Command) -> Result<()> {
    let name = program.get_name().to_owned();
    // `generate` would panic if a reader such as `head` stops early.
    let mut script = Vec::new();
    clap_complete::generate(shell, program, name, &mut script);
    ignore_closed_pipe(io::stdout().write_all(&script).map_err(Into::into))
}

pub use clap_complete::Shell;

impl ConnectionArgs {
    fn format(&self) -> Format {
        match self.json {
            true => Format::Json,
            false => Format::Table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_command_lines_are_told_from_failures() {
        for line in [
            "keypool",
            "keypool nothing",
            "keypool keys show",
            "keypool keys show x",
            "keypool calls export --format xml",
            "keypool tokens rotate 1 --grace -1",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        for line in ["keypool --help", "keypool calls export --help"] {
            let help = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(help.exit_code(), 0, "{line}");
        }
    }

    #[test]
    fn options_of_the_connection_may_stand_anywhere() {
        for line in [
            "keypool keys list --json --status active",
            "keypool keys --json list --sort -id",
            "keypool calls list --failed --json",
            "keypool status --json",
            "keypool explain --json m",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let (Command::Keys { connection, .. }
            | Command::Calls { connection, .. }
            | Command::Status { connection, .. }
            | Command::Explain { connection, .. }) = cli.command
            else {
                panic!("{line}")
            };
            assert_eq!(connection.format(), Format::Json, "{line}");
        }
    }

    #[test]
    fn a_drill_has_a_fault_or_is_ended() {
        for (options, is_valid) in [
            ("--fault 503", true),
            ("--fault reset --calls 7", true),
            ("--end", true),
            ("", false),
            ("--calls 7", false),
            ("--fault 503 --end", false),
        ] {
            let line = format!("keypool keys drill 1 {options}");
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert_eq!(parsed.is_ok(), is_valid, "{line}");
        }
    }
}
