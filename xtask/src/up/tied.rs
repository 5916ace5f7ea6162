//! Children that do not outlive this process, however it ends.
//!
//! Linux sends a child a signal when its parent dies, SIGKILL included, but only the child itself can ask for that.
//! Calling it between fork and exec needs unsafe code. So xtask starts itself with a hidden command, which asks and
//! then becomes the program that is wanted: same process id, and the wish outlives exec. Elsewhere there is no such
//! wish, and only an orderly end of xtask takes the children along.

use anyhow::{Context, Result};
use rustix::process::{Pid, getpid};
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The hidden command's name.
pub(crate) const TIED: &str = "__tied";

#[derive(clap::Args)]
pub(crate) struct Tied {
    /// The process to end with.
    parent: i32,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

impl Tied {
    /// Becomes the program.
    pub(crate) fn run(&self) -> Result<Infallible> {
        end_with(self.parent)?;
        let (program, arguments) = self.command.split_first().context("no program to run")?;
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("cannot run {}", program.display()))
    }
}

#[cfg(target_os = "linux")]
fn end_with(parent: i32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have died before the wish was known, and then no signal comes.
    anyhow::ensure!(
        getppid().map(Pid::as_raw_pid) == Some(parent),
        "the process that asked for this is gone"
    );
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn end_with(_: i32) -> Result<()> {
    Ok(())
}

/// `command`, tied to this process. To be spawned from the main thread: Linux means the thread when it says parent.
pub(super) fn tie(command: &Command) -> Command {
    // On Linux this is right even after a rebuild has replaced the file.
    let own = if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe().unwrap_or_else(|_| "xtask".into())
    };
    let mut tied = Command::new(own);
    tied.arg(TIED)
        .arg(Pid::as_raw_pid(getpid()).to_string())
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    tied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tied_command_keeps_arguments_folder_and_environment() {
        let mut command = Command::new("program");
        command
            .args(["--flag", "value"])
            .current_dir("/")
            .env("SET", "1")
            .env_remove("REMOVED");

        let tied = tie(&command);

        let arguments: Vec<_> = tied.get_args().skip(2).collect();
        assert_eq!(arguments, ["program", "--flag", "value"]);
        assert_eq!(tied.get_current_dir(), command.get_current_dir());
        assert!(tied.get_envs().eq(command.get_envs()));
    }
}
