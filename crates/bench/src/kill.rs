//! Kills the host under load: each call that was answered must have its row in the log.

use crate::build::Build;
use crate::case::Scale;
use crate::load::{self, Api, Target};
use crate::service::{Service, TOKEN};
use crate::upstream::Upstream;
use anyhow::{Result, anyhow};
use std::path::Path;

const CONNECTIONS: usize = 32;

/// A host that was killed under load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Killed {
    /// Answers that clients received to the end.
    answered: u64,
    /// Rows in the log afterwards.
    rows: u64,
}

impl Killed {
    /// The result as a line of the report.
    pub(crate) fn line(self) -> String {
        let Self { answered, rows } = self;
        format!("\n## kill -9 under load\n\n{answered} answers, {rows} rows in the log\n")
    }

    /// More rows than answers are in order: an answer may have been on its way.
    pub(crate) fn fault(self) -> Option<String> {
        let Self { answered, rows } = self;
        let is_lost = answered == 0 || rows < answered;
        is_lost.then(|| format!("kill: {answered} answers, but {rows} rows in the log"))
    }
}

/// Kills the host in the middle of a turn.
pub(crate) fn run(build: &Build, scratch: &Path, scale: Scale) -> Result<Killed> {
    let setup = Upstream::default();
    let upstream = setup.start()?;
    let mut service = Service::start_pool(build, scratch, upstream.address(), setup.keys, &[])?;
    let target = Target {
        address: service.process.address(),
        api: Api::Chat,
        path: Api::Chat.path(),
        token: TOKEN.to_owned(),
    };
    let body = load::request_body(10);
    let outcome = std::thread::scope(|scope| {
        let load = scope.spawn(|| load::requests(&target, CONNECTIONS, scale.turn, &body));
        std::thread::sleep(scale.turn / 2);
        service.process.kill();
        load.join()
    });
    let outcome = outcome.map_err(|_| anyhow!("the load generator panicked"))??;
    Ok(Killed {
        answered: outcome.answered(),
        rows: service.count_rows()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_rows_than_answers_are_a_fault() {
        let fault = |answered, rows| Killed { answered, rows }.fault().is_some();
        assert!(!fault(10, 10));
        assert!(!fault(10, 12));
        assert!(fault(10, 9));
        assert!(fault(0, 0));
    }
}
