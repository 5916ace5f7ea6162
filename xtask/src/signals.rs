//! Being told to stop, noted instead of obeyed.
//!
//! A process that dies of a signal leaves its temporary folders and its children behind. While a [`Hold`] lives, an
//! interrupt only leaves a mark, and whoever holds it winds up in order; at any other time signals do what they
//! always do.

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

struct Switches {
    /// Whether a signal does what it does by default.
    obey: Arc<AtomicBool>,
    noted: Arc<AtomicBool>,
}

impl Switches {
    fn new() -> std::io::Result<Self> {
        let switches = Self {
            obey: Arc::default(),
            noted: Arc::default(),
        };
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&switches.obey))?;
            flag::register(signal, Arc::clone(&switches.noted))?;
        }
        Ok(switches)
    }
}

/// Keeps interrupts from ending the process for as long as it lives. There is one at a time.
pub(crate) struct Hold(&'static Switches);

impl Hold {
    /// Starts to note Ctrl-C, SIGTERM and SIGHUP.
    pub(crate) fn new() -> Result<Self> {
        static SWITCHES: LazyLock<std::io::Result<Switches>> = LazyLock::new(Switches::new);
        let switches = SWITCHES.as_ref().context("cannot handle signals")?;
        switches.noted.store(false, Ordering::SeqCst);
        switches.obey.store(false, Ordering::SeqCst);
        Ok(Self(switches))
    }

    /// Whether a signal came since the last time this was asked.
    pub(crate) fn take(&self) -> bool {
        self.0.noted.swap(false, Ordering::SeqCst)
    }

    /// Fails once a signal came.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.noted.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.obey.store(true, Ordering::SeqCst);
    }
}
