//! The case `reads`: how much longer the pool takes to read its keys if they are sealed.
//!
//! Readings are timed natively and in this process, since a request hides them: an instance reads
//! at most twice a second. Both databases are in memory and take turns, reading by reading, so that
//! their ratio holds wherever it is measured.

use crate::case::Scale;
use crate::report::{Spread, table};
use anyhow::{Context, Result, ensure};
use gemini_keypool::config::Config;
use gemini_keypool::pool::UnixMillis;
use gemini_keypool::store::{
    self, Access, Database, DatabaseError, KeyVault, Row, Value, read_pool,
};
use rusqlite::Connection;
use rusqlite::types::{Value as SqlValue, ValueRef};
use std::time::{Duration, Instant};

/// The name of the case.
pub(crate) const NAME: &str = "reads";

const KEYS: usize = 1000;
/// 32 bytes in base64.
const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// All keys, by an instance that has read them before.
    Whole,
    /// About fifty keys, as for a request.
    Sample,
    /// All keys, by a new instance.
    First,
}

impl Reading {
    const ALL: [Self; 3] = [Self::Whole, Self::Sample, Self::First];

    fn label(self) -> &'static str {
        match self {
            Self::Whole => "all keys",
            Self::Sample => "a sample",
            Self::First => "all keys, a new instance's first",
        }
    }
}

/// Measures the case, and returns its section of the report.
///
/// # Errors
/// A key was not read.
pub(crate) fn run(scale: Scale) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let plain = runtime.block_on(Pool::new(None))?;
    let sealed = runtime.block_on(Pool::new(Some(ENCRYPTION_KEY)))?;
    let header = ["", "clear ms", "sealed ms", "sealed ÷ clear"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for reading in Reading::ALL {
        let mut rounds = Vec::new();
        for _ in 0..scale.rounds {
            let began = Instant::now();
            let mut times = [Vec::new(), Vec::new()];
            while began.elapsed() < scale.turn {
                for (pool, times) in [&plain, &sealed].into_iter().zip(&mut times) {
                    times.push(runtime.block_on(pool.read(reading))?);
                }
            }
            rounds.push(times.map(|times| median(&times)));
        }
        let figures: [fn(&[f64; 2]) -> f64; 3] = [
            |[clear, _]| *clear,
            |[_, sealed]| *sealed,
            |[clear, sealed]| sealed / clear,
        ];
        let spreads = figures.map(|figure| {
            let spread = Spread::of(rounds.iter().map(figure));
            spread.map_or_else(String::new, |spread| spread.show(3))
        });
        rows.push(
            [reading.label().to_owned()]
                .into_iter()
                .chain(spreads)
                .collect(),
        );
    }
    Ok(format!(
        "\n## {NAME}: {KEYS} keys in clear text and sealed\n\n{}",
        table(&rows)
    ))
}

/// In milliseconds.
fn median(times: &[Duration]) -> f64 {
    let times = times.iter().map(|time| time.as_secs_f64() * 1e3);
    Spread::of(times).map_or(f64::NAN, |spread| spread.median)
}

/// A pool's database, and an instance's vault.
struct Pool {
    database: Memory,
    encryption_key: Option<&'static str>,
    vault: KeyVault,
}

impl Pool {
    async fn new(encryption_key: Option<&'static str>) -> Result<Self> {
        let database = Memory(Connection::open_in_memory()?);
        store::migrate(&database).await?;
        let insert = format!(
            "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n LIMIT {KEYS})
             INSERT INTO api_keys (id, api_key)
             SELECT id, printf('AIzaFAKE-key-of-the-benchmark-%09d', id) FROM n"
        );
        database.0.execute_batch(&insert)?;
        let vault = vault(encryption_key)?;
        let mut nonce = 0u64;
        let sealed = store::seal_keys(&database, &vault, || {
            nonce += 1;
            let mut bytes = [0; 24];
            bytes[..8].copy_from_slice(&nonce.to_le_bytes());
            bytes
        });
        let expected = encryption_key.map_or(0, |_| KEYS);
        ensure!(sealed.await? == expected, "not all keys were sealed");
        Ok(Self {
            database,
            encryption_key,
            vault,
        })
    }

    /// Reads once, and returns the time that it took.
    async fn read(&self, reading: Reading) -> Result<Duration> {
        let new;
        let (vault, sample) = match reading {
            Reading::Whole => (&self.vault, None),
            Reading::Sample => (&self.vault, Some(0.5)),
            Reading::First => {
                new = vault(self.encryption_key)?;
                (&new, None)
            }
        };
        let now = UnixMillis::parse("2027-01-15T08:00:00.000Z").context("no time")?;
        let began = Instant::now();
        let read = read_pool(&self.database, vault, sample, now).await?;
        let took = began.elapsed();
        let keys = read.snapshot.keys().len();
        let is_complete = sample.is_some() && keys > 0 || keys == KEYS;
        ensure!(
            is_complete && read.broken.is_empty(),
            "only {keys} keys were read"
        );
        Ok(took)
    }
}

fn vault(encryption_key: Option<&str>) -> Result<KeyVault> {
    let variable = |name: &str| match name {
        "encryption_key" => encryption_key.map(str::to_owned),
        _ => None,
    };
    Ok(KeyVault::new(&Config::from_variables(variable)?.encryption))
}

/// A database in memory, which nothing else uses.
struct Memory(Connection);

impl Database for Memory {
    async fn try_execute(
        &self,
        _access: Access,
        statement: &str,
        parameters: Vec<Value>,
        _limit_ms: u64,
    ) -> store::Result<Vec<Row>> {
        let rows = self.rows(statement, parameters);
        rows.map_err(|error| DatabaseError::new(&error.to_string()))
    }

    fn clock_ms(&self) -> u64 {
        0
    }

    async fn pause(&self, _ms: u64) {}
}

impl Memory {
    fn rows(&self, statement: &str, parameters: Vec<Value>) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.0.prepare(statement)?;
        let columns = statement.column_count();
        let parameters = parameters.into_iter().map(|value| match value {
            Value::Null => SqlValue::Null,
            Value::Integer(value) => SqlValue::Integer(value),
            Value::Real(value) => SqlValue::Real(value),
            Value::Text(text) => SqlValue::Text(text),
            Value::Blob(bytes) => SqlValue::Blob(bytes),
        });
        let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(value) => Value::Integer(value),
                    ValueRef::Real(value) => Value::Real(value),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                })
            };
            Ok(Row((0..columns)
                .map(value)
                .collect::<rusqlite::Result<_>>()?))
        })?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn each_reading_reads_the_keys() {
        for encryption_key in [None, Some(ENCRYPTION_KEY)] {
            let pool = Pool::new(encryption_key).await.unwrap();
            for reading in Reading::ALL {
                pool.read(reading).await.unwrap();
            }
            pool.database
                .0
                .execute("DELETE FROM api_keys WHERE id = 1", [])
                .unwrap();
            let error = pool.read(Reading::Whole).await.unwrap_err();
            assert_eq!(error.to_string(), "only 999 keys were read");
        }
    }
}
