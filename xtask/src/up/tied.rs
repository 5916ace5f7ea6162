//! Children that do not outlive this process, even if it is killed.
//!
//! Linux can signal a child when its parent dies, but only the child can request that, and code
//! between fork and exec is unsafe. So xtask starts itself with a hidden command, which makes the
//! request and then executes the program; the process id and the request survive. On other systems
//! only an orderly exit of xtask stops the children.

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
    /// The parent's process id.
    parent: i32,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

impl Tied {
    /// Executes the program in this process.
    pub(crate) fn run(&self) -> Result<Infallible> {
        stop_with(self.parent)?;
        let (program, arguments) = self.command.split_first().context("no program to run")?;
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("cannot run {}", program.display()))
    }
}

#[cfg(target_os = "linux")]
fn stop_with(parent: i32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::TERM))?;
    // If it died before the request, no signal comes.
    anyhow::ensure!(
        getppid().map(Pid::as_raw_pid) == Some(parent),
        "the parent process is gone"
    );
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn stop_with(_: i32) -> Result<()> {
    Ok(())
}

/// Ties `command` to this process. To be spawned on the main thread: the parent is a thread for
/// Linux.
pub(super) fn tie(command: &Command) -> Command {
    // On Linux, this works even after a rebuild has replaced the file.
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
    fn tied_command_keeps_arguments_folder_and_environment() {
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
