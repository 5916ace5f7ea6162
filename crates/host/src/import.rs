//! `keypool import-sql`: imports the dump of an earlier deployment into the pool's database.
//!
//! | module | what it does |
//! |---|---|
//! | [`tokens`], [`statements`] | splits the file into statements |
//! | [`dump`] | runs them in a temporary database |
//! | [`pool`] | fills the pool's database, in one transaction |
//! | [`copy`] | copies the rows from one to the other |
//! | [`notes`], [`progress`] | messages to the operator |

mod copy;
mod dump;
mod notes;
mod pool;
mod progress;
mod statements;
mod tokens;

use crate::cli::ImportSql;
use crate::log::{announce, log};
use crate::{manifest, sqlite, variables};
use anyhow::{Context, Result};
use dump::Dump;
use gemini_keypool::config::DEFAULT_LOG_RETENTION_DAYS;
use pool::Pool;
use progress::Progress;

/// The variable that sets how long calls stay in the log.
const RETENTION: &str = "log_retention_days";

/// How many calls take a while to count.
const MANY_CALLS: u64 = 100_000;

/// Imports a dump into the pool's database, as a whole or not at all.
///
/// # Errors
/// The dump or the database is unusable; nothing is changed. Messages quote no value of the dump.
pub(crate) fn import_sql(options: &ImportSql) -> Result<()> {
    let app = manifest::load(&options.app.from)?;
    let days = retention_days(&app)?;
    let state_dir = options.app.state_dir();
    std::fs::create_dir_all(&state_dir)
        .with_context(|| format!("cannot create the folder {}", state_dir.display()))?;
    let database = state_dir.join(sqlite::FILE);
    let about_database = || format!("the database {}", database.display());
    let about_dump = || options.file.display().to_string();

    let mut pool = Pool::open(&database).with_context(about_database)?;
    let mut progress = Progress::new();
    progress.begin("reading");
    let dump = Dump::read(&options.file, &mut progress).with_context(about_dump)?;
    progress.begin("importing");
    let filled = pool
        .fill(&dump, &mut progress)
        .with_context(about_database)?;
    if filled.calls >= MANY_CALLS {
        log("counting the calls of each hour");
    }
    pool.count_calls().with_context(about_database)?;
    let old = match days {
        0 => 0,
        days => pool.old_calls(days).with_context(about_database)?,
    };
    pool.commit().with_context(about_database)?;
    drop(progress);

    for line in filled.notes.to_string().lines() {
        log(line);
    }
    if !dump.ignored.is_empty() {
        let tables = dump.ignored.iter();
        let tables: Vec<_> = tables.map(|it| it.escape_debug().to_string()).collect();
        log(format_args!("ignored tables: {}", tables.join(", ")));
    }
    announce(format_args!(
        "Imported {} keys, {} client tokens and {} calls into {}.",
        filled.keys,
        filled.tokens,
        filled.calls,
        database.display()
    ));
    if old > 0 {
        announce(format_args!(
            "{old} calls are older than {days} days. Once it serves requests, the pool deletes \
             them from its log, up to ten per request; the hourly sums stay. To keep them, set \
             {RETENTION} before you start it: SPIN_VARIABLE_LOG_RETENTION_DAYS=0 keeps all calls \
             forever, any other number for so many days."
        ));
    }
    Ok(())
}

/// The days for which the pool keeps calls, from the current variables; 0 means forever.
fn retention_days(app: &manifest::App) -> Result<u32> {
    let environment = variables::Environment::read(&[])?;
    // Missing variables do not matter to the import.
    let resolved = variables::resolve(app, &environment).ok();
    let value = resolved.and_then(|mut resolved| resolved.component.remove(RETENTION));
    match value.unwrap_or_default().trim() {
        "" => Ok(DEFAULT_LOG_RETENTION_DAYS),
        days => {
            let days = days.parse().ok();
            days.with_context(|| format!("{RETENTION} must be a whole number of days"))
        }
    }
}
