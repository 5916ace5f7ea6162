//! What the store needs of a database, and how long anything waits for one that is locked or slow.
//!
//! | what | waits at most |
//! |---|---|
//! | reading, what an operator asks for | 5 s a statement |
//! | setting up: migrations, imported keys | 30 s a statement |
//! | what a request can do without: counts, claims, reservations, cool-downs | 250 ms for all of a request together |
//! | the rows of the calls that a response was made of | 4.5 s for all of a request together |
//!
//! Waits are measured by a monotonic clock, whatever a try takes: see [`Within`].

use super::{Row, Value};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// How long a statement waits for the lock where nothing else is said, in milliseconds: 5 s, as Spin's own time-out is.
const LOCK_WAIT_MS: u64 = 5_000;
/// How long one waits that an instance is set up by, in milliseconds: 30 s. Nothing is served without it, and a pool that begins
/// under load has many instances that set up a new database at once.
const SET_UP_WAIT_MS: u64 = 30_000;
/// How long all statements together wait that a request can do without, in milliseconds.
pub const OPTIONAL_WAIT_MS: u64 = 250;
/// How long a response waits for the rows of its calls, in milliseconds: with [`OPTIONAL_WAIT_MS`], 5 s.
pub const ROW_WAIT_MS: u64 = 4_500;
/// The shortest pause between two tries, in milliseconds: 1 ms, since others hold the lock for a tenth of that.
const SHORTEST_PAUSE_MS: u64 = 1;
/// The longest one, in milliseconds, where the lock is held for long.
const LONGEST_PAUSE_MS: u64 = 20;

/// What a statement does, as far as it matters when it fails for want of a lock or of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It changes something, and running it twice does the same as running it once.
    Write,
    /// It changes something, and must not run twice.
    WriteOnce,
}

/// What went wrong, as far as something follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another connection held the lock for longer than the statement could wait. The statement did not
    /// run.
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
}

impl ErrorKind {
    /// Whether the database has refused the statement itself, so that no retry helps.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::NoSuchTable | Self::DuplicateColumn | Self::Refused => true,
            Self::Busy | Self::Expired | Self::Lost => false,
        }
    }

    /// Hosts report errors as text alone.
    fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let says = |words: &[&str]| {
            let mut words = words.iter().map(|words| words.to_ascii_lowercase());
            words.any(|words| text.contains(&words))
        };
        if says(&BUSY) {
            Self::Busy
        } else if says(&EXPIRED) {
            Self::Expired
        } else if says(&LOST) {
            Self::Lost
        } else if says(&["no such table"]) {
            Self::NoSuchTable
        } else if says(&["duplicate column name"]) {
            Self::DuplicateColumn
        } else {
            Self::Refused
        }
    }
}

/// A statement that failed: the database's own words, which contain neither a parameter nor the
/// statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseError {
    kind: ErrorKind,
    text: String,
}

/// Texts of a database that is locked.
const BUSY: [&str; 3] = [
    "database is locked",
    "database table is locked",
    "SQLITE_BUSY",
];
/// What libSQL says of a stream that it has closed, or forgotten (`Hrana: api error: …`).
const EXPIRED: [&str; 4] = [
    "STREAM_EXPIRED",
    "stream has expired",
    "invalid baton",
    "stream not found",
];
/// What it says, or the HTTP client below it, of an exchange that broke.
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
/// What statements begin with, where a host quotes one.
const VERBS: [&str; 9] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "PRAGMA",
];

impl DatabaseError {
    /// The error that a host describes with `text`, without the statement that it may quote: `no such table: t in SELECT …
    /// at offset 14`.
    pub fn new(text: &str) -> Self {
        let quote = text.match_indices(" in ").find(|(at, between)| {
            let quoted = text.get(at + between.len()..).unwrap_or_default();
            VERBS.iter().any(|verb| {
                let begins = quoted.get(..verb.len());
                begins.is_some_and(|begins| begins.eq_ignore_ascii_case(verb))
            })
        });
        let end = quote.map_or(text.len(), |(at, _)| at);
        Self::of(text.get(..end).unwrap_or_default().to_owned())
    }

    /// The error of a wait that has taken all the time that it may.
    pub(super) fn waited() -> Self {
        Self::of("database is locked or slow, and was waited for long enough".to_owned())
    }

    /// The error of a statement that was given up while it ran.
    pub(super) fn timed_out() -> Self {
        Self::of("the statement timed out".to_owned())
    }

    fn of(text: String) -> Self {
        Self {
            kind: ErrorKind::of(&text),
            text,
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The database's words.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same error with `context` before its words.
    pub(super) fn within(self, context: &str) -> Self {
        Self {
            text: format!("{context}: {}", self.text),
            ..self
        }
    }

    /// Another connection held the lock for too long; the same statement may go through next time.
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

/// The pool's database.
#[expect(
    async_fn_in_trait,
    reason = "components are single-threaded: no future here is ever sent to another thread"
)]
pub trait Database: 'static {
    /// Runs one statement, with `?1`, `?2`, … bound in order, and gives all rows of its result. Tries once, and fails within
    /// some milliseconds where another connection holds the lock. Takes no longer than `limit_ms`, or little longer.
    ///
    /// # Errors
    /// As [`ErrorKind`] says.
    async fn try_execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>, DatabaseError>;

    /// Milliseconds of a clock that never runs backwards, since any moment.
    fn clock_ms(&self) -> u64;

    /// Lets so many milliseconds pass, for another connection to release the lock.
    async fn pause(&self, ms: u64);

    /// How long a statement may wait for the lock, in milliseconds.
    fn patience_ms(&self, _access: Access) -> u64 {
        LOCK_WAIT_MS
    }

    /// Whether the lock was waited for in vain just now, so that another short wait would be in vain, too.
    fn is_stuck(&self) -> bool {
        false
    }

    /// Runs one statement, and waits for the lock, as long as [`patience_ms`](Self::patience_ms) says.
    ///
    /// # Errors
    /// Those of [`try_execute`](Self::try_execute).
    async fn execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, DatabaseError> {
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
                result => return result,
            }
        }
    }
}

/// The pause before another try, after so many milliseconds.
pub(super) fn pause_after(waited_ms: u64) -> u64 {
    (waited_ms / 20).clamp(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS)
}

/// A database for the statements that set an instance up, which wait longer for the lock.
#[derive(Debug)]
pub struct SettingUp<D>(pub Rc<D>);

impl<D: Database> Database for SettingUp<D> {
    async fn try_execute(
        &self,
        access: Access,
        statement: &str,
        parameters: Vec<Value>,
        limit_ms: u64,
    ) -> Result<Vec<Row>, DatabaseError> {
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

/// A database for statements that change something and share one allowance of time.
pub struct Within<D> {
    database: Rc<D>,
    left_ms: Cell<u64>,
    is_optional: bool,
}

impl<D: Database> Within<D> {
    /// For what can be left undone: within `ms` milliseconds, and at once where the lock was just waited for in vain.
    pub fn optional(database: Rc<D>, ms: u64) -> Self {
        Self {
            database,
            left_ms: Cell::new(ms),
            is_optional: true,
        }
    }

    /// For what is to be done within `ms` milliseconds.
    pub fn new(database: Rc<D>, ms: u64) -> Self {
        Self {
            is_optional: false,
            ..Self::optional(database, ms)
        }
    }

    /// The database without the allowance.
    pub fn inner(&self) -> &Rc<D> {
        &self.database
    }

    /// What is left of the allowance, in milliseconds.
    pub(super) fn left_ms(&self) -> u64 {
        self.left_ms.get()
    }

    /// Whether another short wait would be in vain.
    fn is_in_vain(&self) -> bool {
        self.is_optional && self.database.is_stuck()
    }

    /// Takes the time since `began` off the allowance.
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
    ) -> Result<Vec<Row>, DatabaseError> {
        if access == Access::Read {
            let read = self
                .database
                .try_execute(access, statement, parameters, limit_ms);
            return read.await;
        }
        let left = self.left_ms.get();
        if left == 0 || self.is_in_vain() {
            return Err(DatabaseError::waited());
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
            _ if self.is_in_vain() => 0,
            Access::Write | Access::WriteOnce => self.left_ms.get(),
        }
    }

    fn is_stuck(&self) -> bool {
        self.database.is_stuck()
    }
}

impl<D> fmt::Debug for Within<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Within({} ms)", self.left_ms.get())
    }
}

/// Runs a statement that reads.
pub(super) async fn read(
    database: &impl Database,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>, DatabaseError> {
    database.execute(Access::Read, statement, parameters).await
}

/// Runs a statement that changes something, and may run twice.
pub(super) async fn write(
    database: &impl Database,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>, DatabaseError> {
    database.execute(Access::Write, statement, parameters).await
}

/// Runs a statement that changes something, and must not run twice.
pub(super) async fn write_once(
    database: &impl Database,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>, DatabaseError> {
    database
        .execute(Access::WriteOnce, statement, parameters)
        .await
}

#[cfg(test)]
mod tests {
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    const WRITE: &str = "UPDATE readiness SET checks = checks";

    fn locked() -> Rc<NativeDatabase> {
        let database = NativeDatabase::migrated();
        database.fail("UPDATE", "database is locked", usize::MAX);
        Rc::new(database)
    }

    #[test]
    fn errors_are_told_apart_by_what_follows_from_them() {
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
    fn an_error_holds_no_statement() {
        for (text, kept) in [
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
            assert_eq!(DatabaseError::new(text).text(), kept);
        }
    }

    #[test]
    fn what_sets_an_instance_up_waits_longer() {
        let database = locked();
        let setting_up = SettingUp(Rc::clone(&database));
        let began = database.clock_ms();
        block_on(write(&setting_up, WRITE, Vec::new())).unwrap_err();
        let waited = database.clock_ms() - began;
        let range = SET_UP_WAIT_MS - LONGEST_PAUSE_MS..=SET_UP_WAIT_MS;
        assert!(range.contains(&waited), "{waited} ms");
    }

    #[test]
    fn a_lock_is_waited_for_by_the_clock_whatever_a_try_takes() {
        for try_ms in [0, 10, 900] {
            let database = locked();
            database.each_try_takes(try_ms);
            let result = block_on(write(&*database, WRITE, Vec::new()));
            assert!(result.is_err_and(|error| error.is_busy()));
            let waited = database.clock_ms();
            let range = LOCK_WAIT_MS - LONGEST_PAUSE_MS..LOCK_WAIT_MS + try_ms.max(1);
            assert!(range.contains(&waited), "{try_ms}: {waited}");
        }
    }

    #[test]
    fn optional_writes_share_one_allowance_and_reads_do_not_use_it() {
        let database = locked();
        database.each_try_takes(10);
        let within = Within::optional(Rc::clone(&database), OPTIONAL_WAIT_MS);
        for _ in 0..20 {
            assert!(block_on(write(&within, WRITE, Vec::new())).is_err());
        }
        let waited = database.clock_ms();
        assert!((200..=OPTIONAL_WAIT_MS + 10).contains(&waited), "{waited}");
        let statements = database.statements();
        assert!(block_on(write(&within, WRITE, Vec::new())).is_err());
        assert_eq!(database.statements(), statements, "not even tried");
        assert!(block_on(read(&within, "SELECT 1", Vec::new())).is_ok());
    }

    #[test]
    fn slow_writes_use_the_allowance_as_well() {
        let database = Rc::new(NativeDatabase::migrated());
        database.each_try_takes(100);
        let within = Within::optional(Rc::clone(&database), OPTIONAL_WAIT_MS);
        let done = (0..10).filter(|_| block_on(write(&within, WRITE, Vec::new())).is_ok());
        assert_eq!(done.count(), 3);
    }
}
