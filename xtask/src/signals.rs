//! Signals to stop, recorded instead of obeyed.
//!
//! A process that dies of a signal leaves its children and temporary folders behind. While a
//! [`Hold`] exists, a signal is only recorded, and its owner shuts down in order.

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

struct Switches {
    /// Whether a signal has its default effect.
    obey: Arc<AtomicBool>,
    recorded: Arc<AtomicBool>,
}

impl Switches {
    fn new() -> std::io::Result<Self> {
        let switches = Self {
            obey: Arc::default(),
            recorded: Arc::default(),
        };
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&switches.obey))?;
            flag::register(signal, Arc::clone(&switches.recorded))?;
        }
        Ok(switches)
    }
}

/// Suppresses the default effect of signals while it exists. There is only one at a time.
pub(crate) struct Hold(&'static Switches);

impl Hold {
    /// Starts to record Ctrl-C, SIGTERM and SIGHUP.
    pub(crate) fn new() -> Result<Self> {
        static SWITCHES: LazyLock<std::io::Result<Switches>> = LazyLock::new(Switches::new);
        let switches = SWITCHES.as_ref().context("cannot handle signals")?;
        switches.recorded.store(false, Ordering::SeqCst);
        switches.obey.store(false, Ordering::SeqCst);
        Ok(Self(switches))
    }

    /// Whether a signal has arrived since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.recorded.swap(false, Ordering::SeqCst)
    }

    /// Fails once a signal has arrived.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.recorded.load(Ordering::SeqCst) {
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
