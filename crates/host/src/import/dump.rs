//! The dump, read into a temporary database.
//!
//! Of all its statements only those run that create one of the two tables or insert into it, so that nothing in a file can
//! reach the pool's database or the file system. Errors name the line and no value: any text may be a key.

use super::progress::Progress;
use super::statements::{Statement, Statements};
use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, ErrorCode};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A table that is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Keys,
    Calls,
}

impl Table {
    pub(super) const ALL: [Self; 2] = [Self::Keys, Self::Calls];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keys => "api_keys",
            Self::Calls => "api_call_logs",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let is_name = |table: &Self| table.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_name)
    }

    /// The table as the earlier deployment has it, for a dump without the schema.
    fn create(self) -> &'static str {
        match self {
            Self::Keys => {
                "CREATE TABLE api_keys (id INTEGER PRIMARY KEY, api_key TEXT, name TEXT, priority INTEGER, status INTEGER,
                consecutive_failures INTEGER, total_calls INTEGER, success_calls INTEGER, last_used_at TEXT,
                last_success_at TEXT, last_failure_at TEXT, disabled_until TEXT, created_at TEXT, updated_at TEXT)"
            }
            Self::Calls => {
                "CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id INTEGER, success INTEGER,
                response_status INTEGER, error_message TEXT, response_time_ms INTEGER, called_at TEXT)"
            }
        }
    }
}

/// What a dump held.
#[derive(Debug)]
pub(super) struct Dump {
    /// A temporary database with those of the two tables that the dump has.
    pub(super) database: Connection,
    pub(super) tables: BTreeSet<Table>,
    /// Rows of both.
    pub(super) rows: u64,
    /// Names of the indexes on both.
    pub(super) indexes: BTreeSet<String>,
    /// Names of other tables.
    pub(super) ignored: BTreeSet<String>,
}

impl Dump {
    /// Reads a dump to its end.
    ///
    /// # Errors
    /// It cannot be read, is no dump, is not complete, or has a statement that SQLite refuses.
    pub(super) fn read(path: &Path, progress: &mut Progress) -> Result<Self> {
        let file = File::open(path).context("cannot be opened")?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        check_start(&mut file)?;
        // An empty name makes a private temporary file, which is deleted when the process ends.
        let database = Connection::open("")?;
        database.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -65536;
             CREATE TABLE sequences (id INTEGER PRIMARY KEY AUTOINCREMENT); BEGIN",
        )?;
        let mut dump = Self {
            database,
            tables: BTreeSet::new(),
            rows: 0,
            indexes: BTreeSet::new(),
            ignored: BTreeSet::new(),
        };
        let mut statements = Statements::new(file);
        let mut in_transaction = false;
        let mut number = 0u64;
        while let Some(statement) = statements.next().context("cannot be read")? {
            number += 1;
            let line = statement.line;
            let run = dump
                .take(&statement, &mut in_transaction)
                .with_context(|| format!("line {line} (statement {number})"))?;
            dump.rows += run;
            progress.show(dump.rows);
        }
        ensure!(
            !in_transaction,
            "there is no COMMIT at the end, so a part of the file is missing; export it again"
        );
        ensure!(
            !dump.tables.is_empty(),
            "there is neither a table api_keys nor a table api_call_logs in it, so it is no dump of an earlier deployment"
        );
        Ok(dump)
    }

    /// Runs a statement that is for one of the two tables; gives the rows that it inserted.
    fn take(&mut self, statement: &Statement<'_>, in_transaction: &mut bool) -> Result<u64> {
        let kind = Kind::of(statement.sql);
        ensure!(
            statement.is_complete || kind == Kind::Other,
            "the file ends within this statement, so a part of it is missing; export it again"
        );
        match kind {
            Kind::Begin => *in_transaction = true,
            Kind::Commit => *in_transaction = false,
            Kind::Nothing => {}
            Kind::Rollback => bail!(
                "sqlite3 ends a dump with ROLLBACK when it could not read all of the database; repair that database first \
                 (`.recover` of sqlite3)"
            ),
            Kind::CreateIndex { name, table } => {
                if Table::named(&table).is_some() {
                    self.indexes.insert(name.to_ascii_lowercase());
                }
            }
            Kind::CreateTable(name) => match Table::named(&name) {
                Some(table) => {
                    self.run(statement.sql)?;
                    self.tables.insert(table);
                }
                None => self.ignore(name),
            },
            Kind::Insert(name) => match Table::named(&name) {
                Some(table) => {
                    if self.tables.insert(table) {
                        self.database.execute_batch(table.create())?;
                    }
                    return self.run(statement.sql);
                }
                None if name.eq_ignore_ascii_case("sqlite_sequence") => {
                    self.run(statement.sql)?;
                }
                None => self.ignore(name),
            },
            Kind::Other => bail!(
                "this is no statement of a dump (CREATE, INSERT, PRAGMA, BEGIN, COMMIT); is a quote missing before it?"
            ),
        }
        Ok(0)
    }

    fn ignore(&mut self, name: String) {
        if !name.to_ascii_lowercase().starts_with("sqlite_") {
            self.ignored.insert(name);
        }
    }

    fn run(&self, sql: &[u8]) -> Result<u64> {
        let rewritten;
        let sql = match std::str::from_utf8(sql) {
            Ok(sql) => sql,
            Err(_) => {
                rewritten = with_blobs(sql).context("it has a name that is not UTF-8")?;
                &rewritten
            }
        };
        let rows = self.database.execute(sql, []).map_err(without_values)?;
        Ok(rows as u64)
    }
}

/// Refuses what is no SQL text.
fn check_start(file: &mut impl BufRead) -> Result<()> {
    let start = file.fill_buf().context("cannot be read")?;
    ensure!(
        !start.starts_with(b"SQLite format 3\0"),
        "this is a database and not a dump; make one: sqlite3 FILE .dump > dump.sql"
    );
    ensure!(
        !start.starts_with(&[0xff, 0xfe]) && !start.starts_with(&[0xfe, 0xff]),
        "this is UTF-16, as PowerShell's `>` writes it; have the program write the file itself (sqlite3: .output dump.sql)"
    );
    ensure!(
        !start.starts_with(&[0x1f, 0x8b]),
        "this is compressed; unpack it first (gunzip)"
    );
    if start.starts_with("\u{feff}".as_bytes()) {
        file.consume("\u{feff}".len());
    }
    Ok(())
}

/// What SQLite says about a statement may quote it.
fn without_values(error: rusqlite::Error) -> anyhow::Error {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(code, Some(message)) if code.code == ErrorCode::Unknown => {
            message
        }
        // About the database, such as a full disk.
        rusqlite::Error::SqliteFailure(code, _) => return code.into(),
        _ => String::new(),
    };
    anyhow::anyhow!(
        if message.contains("values were supplied") || message.contains("values for") {
            "it has another number of values than the table has columns"
        } else if message.contains("already exists") {
            "the table is there already"
        } else if message.contains("no column named") {
            "it names a column that the table does not have"
        } else {
            "it is no SQL that SQLite understands"
        }
    )
}

/// The statement with every text that is not UTF-8 written as a blob: SQLite takes the same bytes from it, and a statement
/// itself has to be UTF-8. `None` where something else is not.
fn with_blobs(sql: &[u8]) -> Option<String> {
    let mut rewritten = Vec::with_capacity(2 * sql.len());
    let mut rest = sql;
    while let Some((&first, after)) = rest.split_first() {
        let end = match first {
            b'\'' | b'"' | b'`' => first,
            b'[' => b']',
            _ => {
                rewritten.push(first);
                rest = after;
                continue;
            }
        };
        let length = quoted_length(rest, end);
        let (quoted, after) = rest.split_at(length);
        if first == b'\'' && std::str::from_utf8(quoted).is_err() {
            rewritten.extend_from_slice(b"CAST(X'");
            for byte in unquote(quoted) {
                rewritten.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
            rewritten.extend_from_slice(b"' AS TEXT)");
        } else {
            rewritten.extend_from_slice(quoted);
        }
        rest = after;
    }
    String::from_utf8(rewritten).ok()
}

/// The length of the quoted text that `sql` begins with, both quotes included.
fn quoted_length(sql: &[u8], end: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = sql.get(at) {
        at += 1;
        if byte == end {
            // A doubled quote is a part of the text.
            if end == b']' || sql.get(at) != Some(&end) {
                return at;
            }
            at += 1;
        }
    }
    sql.len()
}

/// A quoted text without its quotes.
fn unquote(quoted: &[u8]) -> Vec<u8> {
    let end = match quoted.first() {
        Some(b'[') => b']',
        Some(&quote) => quote,
        None => return Vec::new(),
    };
    let inner = quoted.get(1..).unwrap_or_default();
    let inner = inner.strip_suffix(&[end]).unwrap_or(inner);
    let mut text = Vec::with_capacity(inner.len());
    let mut after_quote = false;
    for &byte in inner {
        after_quote = byte == end && !after_quote;
        if !after_quote {
            text.push(byte);
        }
    }
    text
}

/// What a statement is, as far as the import cares.
#[derive(Debug, PartialEq)]
enum Kind {
    Begin,
    Commit,
    Rollback,
    CreateTable(String),
    CreateIndex {
        name: String,
        table: String,
    },
    Insert(String),
    /// Nothing that the pool's database needs.
    Nothing,
    Other,
}

impl Kind {
    fn of(sql: &[u8]) -> Self {
        let mut words = Words(sql);
        let Some(first) = words.next() else {
            return Self::Nothing;
        };
        match first.keyword().as_str() {
            "BEGIN" => Self::Begin,
            "COMMIT" | "END" => Self::Commit,
            "ROLLBACK" => Self::Rollback,
            "PRAGMA" | "ANALYZE" | "SAVEPOINT" | "RELEASE" | "VACUUM" => Self::Nothing,
            "CREATE" => Self::of_create(&mut words),
            "INSERT" | "REPLACE" => match words.skip_to(&["INTO"]) {
                Some(_) => words.name().map_or(Self::Other, Self::Insert),
                None => Self::Other,
            },
            "DELETE" => match words.skip_to(&["FROM"]).and_then(|_| words.name()) {
                Some(name) if name.eq_ignore_ascii_case("sqlite_sequence") => Self::Nothing,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    fn of_create(words: &mut Words<'_>) -> Self {
        match words
            .skip_to(&["TABLE", "INDEX", "TRIGGER", "VIEW"])
            .as_deref()
        {
            Some("TABLE") => words.name().map_or(Self::Other, Self::CreateTable),
            Some("INDEX") => {
                let index = words.name();
                let table = words.skip_to(&["ON"]).and_then(|_| words.name());
                match index.zip(table) {
                    Some((name, table)) => Self::CreateIndex { name, table },
                    None => Self::Other,
                }
            }
            Some(_) => Self::Nothing,
            None => Self::Other,
        }
    }
}

/// The first words, names and signs of a statement.
#[derive(Clone)]
struct Words<'a>(&'a [u8]);

/// A word, a quoted text with its quotes, or a sign.
struct Word<'a>(&'a [u8]);

impl Word<'_> {
    /// In capitals; empty for what cannot be a keyword.
    fn keyword(&self) -> String {
        match self.0.iter().all(u8::is_ascii_alphabetic) {
            true => String::from_utf8_lossy(self.0).to_ascii_uppercase(),
            false => String::new(),
        }
    }

    fn name(&self) -> String {
        let name = match self.0.first() {
            Some(b'"' | b'\'' | b'`' | b'[') => unquote(self.0),
            _ => self.0.to_vec(),
        };
        String::from_utf8_lossy(&name).into_owned()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let sql = self.0.trim_ascii_start();
        let in_word =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
        let length = match sql.first()? {
            quote @ (b'"' | b'\'' | b'`') => quoted_length(sql, *quote),
            b'[' => quoted_length(sql, b']'),
            first if in_word(first) => sql.iter().take_while(|&byte| in_word(byte)).count(),
            _ => 1,
        };
        let (word, rest) = sql.split_at_checked(length)?;
        self.0 = rest;
        Some(Word(word))
    }
}

impl Words<'_> {
    /// Skips what may stand before one of these keywords, such as `OR IGNORE` or `UNIQUE`, and the keyword itself.
    fn skip_to(&mut self, keywords: &[&str]) -> Option<String> {
        const MOST_BEFORE: usize = 3;
        self.by_ref()
            .take(MOST_BEFORE)
            .map(|word| word.keyword())
            .find(|word| keywords.contains(&word.as_str()))
    }

    /// A table's or an index's name, without `IF NOT EXISTS` and the database before it.
    fn name(&mut self) -> Option<String> {
        let mut first = self.next()?;
        let mut ahead = self.clone();
        let follows =
            |ahead: &mut Self, word: &str| ahead.next().is_some_and(|next| next.keyword() == word);
        if first.keyword() == "IF" && follows(&mut ahead, "NOT") && follows(&mut ahead, "EXISTS") {
            *self = ahead;
            first = self.next()?;
        }
        let mut ahead = self.clone();
        if ahead.next().is_some_and(|next| next.0 == b".") {
            *self = ahead;
            first = self.next()?;
        }
        Some(first.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::types::Value;

    fn read(dump: &[u8]) -> Result<Dump> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.sql");
        std::fs::write(&path, dump).unwrap();
        Dump::read(&path, &mut Progress::new())
    }

    /// The values of the first column that a query gives.
    fn values(dump: &Dump, query: &str) -> Vec<Value> {
        let mut statement = dump.database.prepare(query).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn texts_are_read_however_a_dump_writes_them() {
        for (text, expected) in [
            ("'it''s; \"one\"'", "it's; \"one\""),
            ("replace('a\\nb','\\n',char(10))", "a\nb"),
            (
                "replace(replace('a\\r\\nb','\\r',char(13)),'\\n',char(10))",
                "a\r\nb",
            ),
            ("unistr('a\\u000ab')", "a\nb"),
            ("'a\nb -- c'", "a\nb -- c"),
            ("CAST(X'c3a9' AS TEXT)", "é"),
        ] {
            let dump =
                format!("INSERT INTO api_keys (api_key, name) VALUES ('AIzaFAKE-1',{text});");
            let dump = read(dump.as_bytes()).unwrap();
            let names = values(&dump, "SELECT name FROM api_keys");
            assert_eq!(names, [Value::Text(expected.to_owned())], "{text}");
        }
    }

    #[test]
    fn texts_in_another_encoding_keep_their_bytes() {
        let dump: &[u8] = b"INSERT INTO \"api_keys\" (id, api_key, name) VALUES (1,'AIzaFAKE-1','caf\xe9; it''s'),
            (2,'AIzaFAKE-2',replace('\xb2\xe2\\n\xca\xd4','\\n',char(10)));";
        let dump = read(dump).unwrap();
        assert_eq!(
            values(&dump, "SELECT typeof(name) || hex(name) FROM api_keys"),
            [
                Value::Text("text636166E93B2069742773".to_owned()),
                Value::Text("textB2E20ACAD4".to_owned())
            ]
        );
    }

    #[test]
    fn a_statement_is_told_by_its_first_words() {
        let index = |name: &str, table: &str| Kind::CreateIndex {
            name: name.to_owned(),
            table: table.to_owned(),
        };
        let (create, insert) = (
            |name: &str| Kind::CreateTable(name.to_owned()),
            |name: &str| Kind::Insert(name.to_owned()),
        );
        for (sql, expected) in [
            ("", Kind::Nothing),
            ("PRAGMA foreign_keys=OFF", Kind::Nothing),
            ("begin transaction", Kind::Begin),
            ("COMMIT", Kind::Commit),
            ("ROLLBACK", Kind::Rollback),
            ("CREATE TABLE api_keys (id)", create("api_keys")),
            ("CREATE TABLE IF NOT EXISTS \"a\"\"b\" (id)", create("a\"b")),
            ("create table main.[x](id)", create("x")),
            ("CREATE TABLE 'if'(id)", create("if")),
            ("CREATE VIRTUAL TABLE f USING fts5(x)", create("f")),
            ("INSERT INTO \"api_keys\" VALUES(1)", insert("api_keys")),
            ("INSERT INTO api_keys(id) VALUES(1)", insert("api_keys")),
            (
                "insert or ignore into main.`api_keys` VALUES(1)",
                insert("api_keys"),
            ),
            ("REPLACE INTO x VALUES(1)", insert("x")),
            ("CREATE INDEX i ON t(c)", index("i", "t")),
            (
                "CREATE UNIQUE INDEX IF NOT EXISTS main.\"i\" ON \"t\" (c)",
                index("i", "t"),
            ),
            ("CREATE TEMP TRIGGER t BEGIN x; END", Kind::Nothing),
            ("CREATE VIEW v AS SELECT 1", Kind::Nothing),
            ("DELETE FROM sqlite_sequence", Kind::Nothing),
            ("ANALYZE sqlite_schema", Kind::Nothing),
            ("DELETE FROM api_keys", Kind::Other),
            ("ATTACH 'x' AS y", Kind::Other),
            ("UPDATE api_keys SET api_key = 1", Kind::Other),
            ("AIzaFAKE-1',NULL)", Kind::Other),
            ("'", Kind::Other),
            ("INSERT INTO", Kind::Other),
            ("CREATE", Kind::Other),
        ] {
            assert_eq!(Kind::of(sql.as_bytes()), expected, "{sql}");
        }
    }

    #[test]
    fn an_error_names_the_line_and_no_value() {
        for (dump, expected) in [
            (
                "\n\nINSERT INTO api_keys VALUES(1,'AIzaFAKE-1'));",
                "line 3 (statement 1)",
            ),
            (
                "INSERT INTO api_keys VALUES(1,AIzaFAKE);",
                "no SQL that SQLite understands",
            ),
            (
                "INSERT INTO api_keys VALUES(1,\"AIzaFAKE-1\");",
                "another number of values",
            ),
            (
                "INSERT INTO api_keys VALUES(1,AIzaFAKE());",
                "no SQL that SQLite understands",
            ),
            (
                "INSERT INTO api_keys (AIzaFAKE) VALUES (1);",
                "names a column",
            ),
            (
                "PRAGMA x;\nAIzaFAKE-1',NULL);",
                "line 2 (statement 2): this is no statement of a dump",
            ),
            (
                "INSERT INTO api_keys VALUES(1,'AIzaFAKE-1",
                "line 1 (statement 1): the file ends within",
            ),
            (
                "BEGIN;\nINSERT INTO api_keys (api_key) VALUES('AIzaFAKE-1');",
                "no COMMIT",
            ),
            (
                "BEGIN;\nROLLBACK; -- due to errors",
                "line 2 (statement 2): sqlite3 ends a dump",
            ),
            ("ATTACH 'AIzaFAKE' AS x;", "no statement of a dump"),
            ("CREATE TABLE AIzaFAKE (id);", "neither a table api_keys"),
            ("", "neither a table api_keys"),
            ("SQLite format 3\0AIzaFAKE", "a database and not a dump"),
        ] {
            let error = format!("{:#}", read(dump.as_bytes()).unwrap_err());
            assert!(error.contains(expected), "{dump}: {error}");
            assert!(!error.contains("AIza"), "{dump}: {error}");
        }
        for (dump, expected) in [
            (&b"\xff\xfeB\0E\0"[..], "UTF-16"),
            (b"\x1f\x8b\x08", "compressed"),
            (
                b"INSERT INTO api_keys (\xe9) VALUES (1);",
                "a name that is not UTF-8",
            ),
        ] {
            let error = format!("{:#}", read(dump).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_statement() {
        let dump = read("\u{feff}INSERT INTO api_keys (api_key) VALUES ('AIzaFAKE-1');".as_bytes());
        assert_eq!(dump.unwrap().rows, 1);
    }

    #[test]
    fn other_tables_are_ignored_and_named() {
        let dump = read(
            b"CREATE TABLE d1_migrations (id); INSERT INTO d1_migrations VALUES (1);
              CREATE TABLE _cf_KV (id); INSERT INTO sqlite_stat1 VALUES (1);
              CREATE TABLE API_KEYS (id, api_key); CREATE INDEX i ON api_keys (id); CREATE INDEX j ON d1_migrations (id);
              CREATE TRIGGER t AFTER INSERT ON api_keys BEGIN DELETE FROM api_keys; END;
              INSERT INTO api_keys VALUES (1, 'AIzaFAKE-1');",
        )
        .unwrap();
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(&dump.ignored), ["_cf_KV", "d1_migrations"]);
        assert_eq!(names(&dump.indexes), ["i"]);
        assert_eq!(dump.rows, 1);
    }
}
