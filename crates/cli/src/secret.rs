//! `keypool secret new`: secrets for the pool's settings.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use std::io::Write;

/// The commands about secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Write a new random secret of 32 bytes, in base64: a token, or an `encryption_key`.
    New,
}

pub(crate) fn run(command: &SecretCommand, out: &mut impl Write) -> Result<()> {
    match command {
        SecretCommand::New => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).context("the system has no random numbers")?;
            Ok(writeln!(out, "{}", STANDARD.encode(bytes))?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_32_random_bytes() {
        let new = || {
            let mut out = Vec::new();
            run(&SecretCommand::New, &mut out).unwrap();
            STANDARD.decode(out.trim_ascii()).unwrap()
        };
        assert_eq!(new().len(), 32);
        assert_ne!(new(), new());
    }
}
