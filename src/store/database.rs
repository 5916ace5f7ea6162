//! The database interface of the store, and how long its statements wait for a locked or slow
//! database.
//!
//! | statements | wait at most |
//! |---|---|
//! | reads, operator requests | 5 s each |
//! | set-up: migrations, imported keys | 30 s each |
//! | what a request can do without: counts, claims, reservations, cool-downs | 250 ms in total per request |
//! | the log rows of the calls behind a response | 4.5 s in total per request |
//!
//! Waits are measured by a monotonic clock, including the time that attempts take: see [`Within`].

use super::{Row, Value};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// How long a statement waits for the lock by default, in milliseconds: 5 s, like Spin's own
/// timeout.
const LOCK_WAIT_MS: u64 = 5_000;
/// How long a set-up statement waits for the lock, in milliseconds: 30 s. The instance cannot serve
/// without it, and a pool that starts under load has many instances that set up a new database at
/// once.
const SET_UP_WAIT_MS: u64 = 30_000;
/// How long all optional statements of a request may take together, in milliseconds.
pub const OPTIONAL_WAIT_MS: u64 = 250;
/// How long a response waits for the log rows of its calls, in milliseconds: with
/// [`OPTIONAL_WAIT_MS`], 5 s at most.
pub const ROW_WAIT_MS: u64 = 4_500;
/// The shortest pause between two attempts, in milliseconds: 1 ms, since others usually hold the
/// lock for a tenth of that.
const MIN_PAUSE_MS: u64 = 1;
/// The longest pause between two attempts, in milliseconds, once the lock has been held for long.
const MAX_PAUSE_MS: u64 = 20;

/// What a statement does, which determines whether it may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It writes, and running it twice has the same effect as running it once.
    Write,
    /// It writes, and must not run twice.
    WriteOnce,
}

/// The kinds of error that callers distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another connection held the lock for longer than the statement could wait. The statement did
    /// not run.
    Busy,
    /// The connection is dead and has refused the statement. The statement did not run.
    Expired,
    /// The connection broke, or the statement took too long. It may have run.
    Lost,
    /// A table does not exist. The statement changed nothing.
    NoSuchTable,
    /// A column exists already. The statement changed nothing.
    DuplicateColumn,
    /// The statement was refused or failed for another reason. It changed nothing.
    Refused,
    /// Keys are sealed with an encryption key that the pool does not have. Nothing was changed.
    WrongEncryptionKey,
}

impl ErrorKind {
    /// Whether the database refused the statement itself, so that no retry helps.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::NoSuchTable
            | Self::DuplicateColumn
            | Self::Refused
            | Self::WrongEncryptionKey => true,
            Self::Busy | Self::Expired | Self::Lost => false,
        }
    }

    /// Classifies an error by its text, which is all that hosts report.
    fn classify(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let has_any = |words: &[&str]| {
            let mut words = words.iter().map(|words| words.to_ascii_lowercase());
            words.any(|words| text.contains(&words))
        };
        if has_any(&BUSY) {
            Self::Busy
        } else if has_any(&EXPIRED) {
            Self::Expired
        } else if has_any(&LOST) {
            Self::Lost
        } else if has_any(&["no such table"]) {
            Self::NoSuchTable
        } else if has_any(&["duplicate column name"]) {
            Self::DuplicateColumn
        } else {
            Self::Refused
        }
    }
}

/// A failed statement. The message is the database's own and contains neither the statement nor its
/// parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseError {
    kind: ErrorKind,
    text: String,
}

/// Messages of a locked database.
const BUSY: [&str; 3] = [
    "database is locked",
    "database table is locked",
    "SQLITE_BUSY",
];
/// Messages of libSQL about a stream that it has closed or dropped (`Hrana: api error: …`).
const EXPIRED: [&str; 4] = [
    "STREAM_EXPIRED",
    "stream has expired",
    "invalid baton",
    "stream not found",
];
/// Messages of libSQL, or of its HTTP client, about a broken exchange.
const LOST: [&str; 12] = [
    "http error",
    "stream closed",
    "connection closed",
    "connection error",
    "connection reset",
    "broken pipe",
    "error sending request",
    "error trying to connect",
    "IncompleteMessage",
    "unexpected end of file",
    "connection is not open",
    "timed out",
];
/// The most characters of an encryption key's id in a message.
const MAX_ID_CHARS: usize = 16;
/// The first words of statements, by which a quoted statement is recognized.
const VERBS: [&str; 9] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "PRAGMA",
];

impl DatabaseError {
    /// Creates an error from the host's message, without the statement that it may quote: `no such
    /// table: t in SELECT … at offset 14`.
    pub fn new(text: &str) -> Self {
        let quote = text.match_indices(" in ").find(|(at, between)| {
            let quoted = text.get(at + between.len()..).unwrap_or_default();
            VERBS.iter().any(|verb| {
                let begins = quoted.get(..verb.len());
                begins.is_some_and(|begins| begins.eq_ignore_ascii_case(verb))
            })
        });
        let end = quote.map_or(text.len(), |(at, _)| at);
        Self::from_message(text.get(..end).unwrap_or_default().to_owned())
    }

    /// The error of a wait that has used up its allowance.
    pub(super) fn gave_up_waiting() -> Self {
        Self::from_message("database is locked or slow: gave up waiting".to_owned())
    }

    /// The error of a database with an envelope that the pool's encryption keys do not open.
    pub(super) fn wrong_encryption_key(envelope: &str) -> Self {
        // The envelope itself is of no use without its key, but is none of the log's business.
        let id = envelope.split(':').nth(2).unwrap_or_default();
        Self {
            kind: ErrorKind::WrongEncryptionKey,
            text: format!(
                "keys are sealed with an encryption key that is neither encryption_key nor encryption_key_previous; its id is {:?}",
                id.chars().take(MAX_ID_CHARS).collect::<String>()
            ),
        }
    }

    /// The error of a statement that timed out.
    pub(super) fn timed_out() -> Self {
        Self::from_message("the statement timed out".to_owned())
    }

    fn from_message(text: String) -> Self {
        Self {
            kind: ErrorKind::classify(&text),
            text,
        }
    }

    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Prefixes the message with `context`.
    pub(super) fn within(self, context: &str) -> Self {
        Self {
            text: format!("{context}: {}", self.text),
            ..self
        }
    }

    /// Whether another connection held the lock for too long; the same statement may succeed later.
    pub fn is_busy(&self) -> bool {
        self.kind() == ErrorKind::Busy
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database: {}", self.text)
    }
}

impl std::error::Error for DatabaseError {}

/// What a statement returns. Its errors are as [`ErrorKind`] says.
pub type Result<T> = std::result::Result<T, DatabaseError>;

/// The pool's database.
pub trait Database: 'static {
    /// Runs one statement, with `?1`, `?2`, … bound in order, and returns all its rows. Makes one
    /// attempt, which fails within milliseconds while another connection holds the lock, and takes
    /// little longer than `limit_ms` at most.
    ///
    /// # Errors
    /// As [`ErrorKind`] says.
    async fn try_execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>>;

    /// Milliseconds of a monotonic clock, since an arbitrary moment.
    fn clock_ms(&self) -> u64;

    /// Waits for `ms` milliseconds, so that another connection can release the lock.
    async fn pause(&self, ms: u64);

    /// How long a statement may wait for the lock, in milliseconds.
    fn patience_ms(&self, _access: Access) -> u64 {
        LOCK_WAIT_MS
    }

    /// Whether the lock has been held for so long that another short wait would be futile.
    fn is_stuck(&self) -> bool {
        false
    }

    /// How many statements have failed that the database has not been told of; `None` if they are not
    /// counted.
    fn errors(&self) -> Option<&Cell<u64>> {
        None
    }

    /// Runs one statement, and waits for the lock for up to [`patience_ms`](Self::patience_ms).
    ///
    /// # Errors
    /// Those of [`try_execute`](Self::try_execute).
    async fn execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let began = self.clock_ms();
        let deadline = began.saturating_add(self.patience_ms(access));
        loop {
            let left = deadline.saturating_sub(self.clock_ms());
            let result = self
                .try_execute(access, statement, parameters.clone(), left)
                .await;
            let pause = pause_after(self.clock_ms().saturating_sub(began));
            match result {
                Err(error)
                    if error.is_busy()
                        && self.clock_ms() + pause < deadline
                        && self.patience_ms(access) > 0 =>
                {
                    self.pause(pause).await;
                }
                Err(error) => {
                    if let Some(errors) = self.errors() {
                        errors.set(errors.get().saturating_add(1));
                    }
                    return Err(error);
                }
                Ok(rows) => return Ok(rows),
            }
        }
    }
}

/// The pause before the next attempt, after `waited_ms` milliseconds.
pub(super) fn pause_after(waited_ms: u64) -> u64 {
    (waited_ms / 20).clamp(MIN_PAUSE_MS, MAX_PAUSE_MS)
}

/// Wraps a database for set-up statements, which wait longer for the lock, and some of which are
/// expected to fail.
#[derive(Debug)]
pub struct SettingUp<D>(pub Rc<D>);

impl<D: Database> Database for SettingUp<D> {
    async fn try_execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>> {
        self.0
            .try_execute(access, statement, parameters, limit_ms)
            .await
    }

    fn clock_ms(&self) -> u64 {
        self.0.clock_ms()
    }

    async fn pause(&self, ms: u64) {
        self.0.pause(ms).await;
    }

    fn patience_ms(&self, _access: Access) -> u64 {
        SET_UP_WAIT_MS
    }
}

/// Wraps a database for writes that share one time allowance. Reads are not charged.
pub struct Within<D> {
    database: Rc<D>,
    left_ms: Cell<u64>,
    is_optional: bool,
}

impl<D: Database> Within<D> {
    /// For optional writes: within `ms` milliseconds, but failing at once while the lock is stuck.
    pub fn optional(database: Rc<D>, ms: u64) -> Self {
        Self {
            database,
            left_ms: Cell::new(ms),
            is_optional: true,
        }
    }

    /// For required writes, within `ms` milliseconds.
    pub fn new(database: Rc<D>, ms: u64) -> Self {
        Self {
            is_optional: false,
            ..Self::optional(database, ms)
        }
    }

    /// The underlying database, without the allowance.
    pub fn inner(&self) -> &Rc<D> {
        &self.database
    }

    /// The rest of the allowance, in milliseconds.
    pub(super) fn left_ms(&self) -> u64 {
        self.left_ms.get()
    }

    /// Whether to fail at once because the lock is stuck.
    fn is_futile(&self) -> bool {
        self.is_optional && self.database.is_stuck()
    }

    /// Charges the time since `began` to the allowance.
    fn charge(&self, began: u64) {
        let took = self.database.clock_ms().saturating_sub(began);
        self.left_ms.set(self.left_ms.get().saturating_sub(took));
    }
}

impl<D: Database> Database for Within<D> {
    async fn try_execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>> {
        if access == Access::Read {
            let read = self
                .database
                .try_execute(access, statement, parameters, limit_ms);
            return read.await;
        }
        let left = self.left_ms.get();
        if left == 0 || self.is_futile() {
            return Err(DatabaseError::gave_up_waiting());
        }
        let began = self.database.clock_ms();
        let result = self
            .database
            .try_execute(access, statement, parameters, limit_ms.min(left))
            .await;
        self.charge(began);
        result
    }

    fn clock_ms(&self) -> u64 {
        self.database.clock_ms()
    }

    async fn pause(&self, ms: u64) {
        let began = self.database.clock_ms();
        self.database.pause(ms).await;
        self.charge(began);
    }

    fn patience_ms(&self, access: Access) -> u64 {
        match access {
            Access::Read => self.database.patience_ms(access),
            _ if self.is_futile() => 0,
            Access::Write | Access::WriteOnce => self.left_ms.get(),
        }
    }

    fn is_stuck(&self) -> bool {
        self.database.is_stuck()
    }

    fn errors(&self) -> Option<&Cell<u64>> {
        self.database.errors()
    }
}

/// Runs a statement that reads.
pub(super) async fn read(
    database: &impl Database,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>> {
    database.execute(Access::Read, statement, parameters).await
}

/// Runs a statement that writes and may run twice.
pub(super) async fn write(
    database: &impl Database,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>> {
    database.execute(Access::Write, statement, parameters).await
}

/// Runs a statement that writes and must not run twice.
pub(super) async fn write_once(
    database: &impl Database,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>> {
    database
        .execute(Access::WriteOnce, statement, parameters)
        .await
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    /// Writes with a statement that may run twice.
    fn write(database: &impl Database) -> Result<Vec<Row>> {
        let statement = "UPDATE readiness SET checks = checks";
        block_on(super::write(database, statement, Vec::new()))
    }

    fn locked() -> Rc<NativeDatabase> {
        let database = NativeDatabase::migrated();
        database.fail("UPDATE", "database is locked", usize::MAX);
        Rc::new(database)
    }

    #[test]
    fn errors_are_classified_by_their_message() {
        use ErrorKind::*;
        for (text, kind) in [
            ("database is locked", Busy),
            (
                "Hrana: `cursor error: `error at step 0: (error code: SQLITE_BUSY) database is locked``",
                Busy,
            ),
            (
                r#"Hrana: `api error: `status=400 Bad Request, body={"message":"The stream has expired due to inactivity","code":"STREAM_EXPIRED"}``"#,
                Expired,
            ),
            (
                "Hrana: `api error: `status=400 Bad Request, body=Received an invalid baton``",
                Expired,
            ),
            (
                "Hrana: `http error: `connection closed before message completed``",
                Lost,
            ),
            (
                "Hrana: `http error: `error trying to connect: tcp connect error: Connection refused (os error 111)``",
                Lost,
            ),
            ("the connection is not open", Lost),
            ("the statement timed out", Lost),
            ("no such table: api_keys", NoSuchTable),
            ("disk I/O error", Refused),
            ("attempt to write a readonly database", Refused),
        ] {
            assert_eq!(DatabaseError::new(text).kind(), kind, "{text}");
        }
    }

    #[test]
    fn an_error_contains_no_statement() {
        for (text, message) in [
            (
                "no such column: secret in SELECT secret FROM t at offset 7",
                "no such column: secret",
            ),
            (
                "near \"in\": syntax error in insert into t at offset 3",
                "near \"in\": syntax error",
            ),
            ("incomplete input in WITH a AS (", "incomplete input"),
            (
                "error in index i after drop column: x",
                "error in index i after drop column: x",
            ),
            ("disk I/O error", "disk I/O error"),
        ] {
            assert_eq!(DatabaseError::new(text).text(), message);
        }
    }

    #[test]
    fn set_up_statements_wait_longer() {
        let database = locked();
        let setting_up = SettingUp(Rc::clone(&database));
        let began = database.clock_ms();
        write(&setting_up).unwrap_err();
        let waited = database.clock_ms() - began;
        let range = SET_UP_WAIT_MS - MAX_PAUSE_MS..=SET_UP_WAIT_MS;
        assert!(range.contains(&waited), "{waited} ms");
    }

    #[test]
    fn waits_for_the_lock_include_the_time_of_attempts() {
        for try_ms in [0, 10, 900] {
            let database = locked();
            database.each_try_takes(try_ms);
            assert!(write(&*database).is_err_and(|error| error.is_busy()));
            let waited = database.clock_ms();
            let range = LOCK_WAIT_MS - MAX_PAUSE_MS..LOCK_WAIT_MS + try_ms.max(1);
            assert!(range.contains(&waited), "{try_ms}: {waited}");
        }
    }

    #[test]
    fn optional_writes_share_one_allowance_unlike_reads() {
        let database = locked();
        database.each_try_takes(10);
        let within = Within::optional(Rc::clone(&database), OPTIONAL_WAIT_MS);
        for _ in 0..20 {
            assert!(write(&within).is_err());
        }
        let waited = database.clock_ms();
        assert!((200..=OPTIONAL_WAIT_MS + 10).contains(&waited), "{waited}");
        let statements = database.statements();
        assert!(write(&within).is_err());
        assert_eq!(database.statements(), statements, "there is no attempt");
        assert!(block_on(read(&within, "SELECT 1", Vec::new())).is_ok());
    }

    #[test]
    fn slow_writes_use_up_the_allowance() {
        let database = Rc::new(NativeDatabase::migrated());
        database.each_try_takes(100);
        let within = Within::optional(Rc::clone(&database), OPTIONAL_WAIT_MS);
        let done = (0..10).filter(|_| write(&within).is_ok());
        assert_eq!(done.count(), 3);
    }
}
