//! What needs no comparison: a kill under load, the component's size, and how long operators wait with a long log.

use crate::cases::Scale;
use crate::load::{self, Load, Target};
use crate::measure::{start_upstream, write_request};
use crate::service::{POOL_PATH, Places, Pool, Service, TOKEN, count_successes, get};
use crate::summary::Spread;
use crate::upstream::Upstream;
use anyhow::Result;
use std::time::{Duration, Instant};

/// What is asked while the log is long: a page each.
pub(crate) const PAGES: [&str; 2] = [
    "/api/keys/status",
    "/api/pool/explain?model=gemini-flash-latest",
];
const PAGE_PATIENCE: Duration = Duration::from_secs(30);

/// A host killed under load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Killed {
    /// Answers that clients had.
    pub(crate) answered: u64,
    /// Rows in the log afterwards.
    pub(crate) rows: u64,
}

/// Kills the host with 32 requests under way.
pub(crate) fn kill(places: &Places, scale: Scale) -> Result<Killed> {
    let upstream = start_upstream(&Upstream::default())?;
    let pool = Pool {
        keys: 10,
        ..Pool::default()
    };
    let mut service = Service::pool(places, upstream.address(), &pool)?;
    let target = Target {
        address: service.process.address(),
        path: POOL_PATH,
        token: TOKEN.to_owned(),
        headers: Vec::new(),
    };
    // The load is to meet a pool that serves, not one that makes its schema.
    get(target.address, "/readyz", PAGE_PATIENCE)?;
    let body = write_request(places, 10)?;
    let load = Load {
        connections: 32,
        rate: None,
    };
    let answers = std::thread::scope(|scope| {
        let asking = scope.spawn(|| load::run(&places.oha, &load, scale.turn, &target, &body));
        // Not a wait for something to be done: the middle of the load is as good a moment as any.
        std::thread::park_timeout(scale.turn / 2);
        service.process.kill();
        asking.join()
    });
    let answers =
        answers.map_err(|_| anyhow::anyhow!("the load generator's thread has failed"))??;
    Ok(Killed {
        answered: answers.answered,
        rows: count_successes(&service.database())?,
    })
}

/// How long each of [`PAGES`] takes with a long log, in milliseconds.
pub(crate) fn pages(places: &Places, scale: Scale) -> Result<Vec<(&'static str, Spread)>> {
    let upstream = start_upstream(&Upstream::default())?;
    let pool = Pool {
        keys: 1000,
        log_rows: scale.log_rows,
        ..Pool::default()
    };
    let service = Service::pool(places, upstream.address(), &pool)?;
    let address = service.process.address();
    let mut pages = Vec::new();
    for path in PAGES {
        get(address, path, PAGE_PATIENCE)?;
        let times: Result<Vec<f64>> = (0..scale.rounds.max(3))
            .map(|_| {
                let began = Instant::now();
                get(address, path, PAGE_PATIENCE)?;
                Ok(began.elapsed().as_secs_f64() * 1e3)
            })
            .collect();
        pages.extend(Spread::of(times?).map(|spread| (path, spread)));
    }
    service.stop(None)?;
    Ok(pages)
}

/// The component's size in bytes.
pub(crate) fn component_size(places: &Places) -> Result<u64> {
    let file = places.target("wasm32-wasip2/component/gemini_keypool.wasm");
    Ok(std::fs::metadata(file)?.len())
}
