//! The statements of a dump: where each ends, and what it does.
//!
//! SQLite could split the text, too, but it would resolve the names in each statement, and a dump
//! may refer to tables that it does not create.

use super::tokens::{Kind, Token, Tokens};

/// A statement without its semicolon.
#[derive(Debug, PartialEq)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a [u8],
    /// The line on which it starts, counted from 1.
    pub(super) line: u64,
    pub(super) end: End,
}

/// How a statement ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Semicolon,
    /// The file ends first.
    EndOfFile,
}

/// The statements of an SQL text; they end where `sqlite3_complete` says so.
pub(super) struct Statements<'a> {
    rest: &'a [u8],
    line: u64,
}

impl<'a> Statements<'a> {
    pub(super) fn new(sql: &'a [u8]) -> Self {
        Self { rest: sql, line: 1 }
    }

    /// Takes so many bytes off the text.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
        taken
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Statement<'a>;

    fn next(&mut self) -> Option<Statement<'a>> {
        let is_empty = |token: &Token<'_>| token.kind == Kind::Blank || token.is_sign(b';');
        let before = Tokens { rest: self.rest }.take_while(is_empty);
        let before = before.map(|token| token.text.len()).sum();
        self.take(before);
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        let (length, end) = match length(self.rest) {
            Some(length) => (length, End::Semicolon),
            None => (self.rest.len(), End::EndOfFile),
        };
        Some(Statement {
            sql: self.take(length),
            line,
            end,
        })
    }
}

/// The length of the first statement up to its semicolon, if it has one.
fn length(sql: &[u8]) -> Option<usize> {
    let is_trigger = is_trigger(sql);
    let mut length = 0;
    let mut previous = [None::<Token<'_>>; 2];
    for token in (Tokens { rest: sql }) {
        if token.is_sign(b';') {
            // The statements of a trigger have semicolons, too; it ends with `; END;`.
            let is_end = matches!(previous, [Some(semicolon), Some(end)]
                if semicolon.is_sign(b';') && end.is("END"));
            if !is_trigger || is_end {
                return Some(length);
            }
        }
        length += token.text.len();
        if token.kind != Kind::Blank {
            previous = [previous[1], Some(token)];
        }
    }
    None
}

fn is_trigger(sql: &[u8]) -> bool {
    let mut words = Words::new(sql);
    words.next().is_some_and(|token| token.is("CREATE"))
        && words
            .find(|token| !token.is("TEMP") && !token.is("TEMPORARY"))
            .is_some_and(|token| token.is("TRIGGER"))
}

/// What a statement does, as far as the import cares.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
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
    /// Nothing that a dump contains.
    Unexpected,
}

impl Action {
    pub(super) fn of(sql: &[u8]) -> Self {
        let mut words = Words::new(sql);
        let Some(first) = words.next() else {
            return Self::Nothing;
        };
        match first.text.to_ascii_uppercase().as_slice() {
            b"BEGIN" => Self::Begin,
            b"COMMIT" | b"END" => Self::Commit,
            b"ROLLBACK" => Self::Rollback,
            b"PRAGMA" | b"ANALYZE" | b"SAVEPOINT" | b"RELEASE" | b"VACUUM" => Self::Nothing,
            b"CREATE" => Self::of_create(&mut words),
            b"INSERT" | b"REPLACE" => {
                let name = words.skip_to(&["INTO"]).and_then(|_| words.name());
                name.map_or(Self::Unexpected, Self::Insert)
            }
            b"DELETE" => match words.skip_to(&["FROM"]).and_then(|_| words.name()) {
                Some(name) if name.eq_ignore_ascii_case("sqlite_sequence") => Self::Nothing,
                _ => Self::Unexpected,
            },
            _ => Self::Unexpected,
        }
    }

    fn of_create(words: &mut Words<'_>) -> Self {
        match words.skip_to(&["TABLE", "INDEX", "TRIGGER", "VIEW"]) {
            Some("TABLE") => words.name().map_or(Self::Unexpected, Self::CreateTable),
            Some("INDEX") => {
                let index = words.name();
                let table = words.skip_to(&["ON"]).and_then(|_| words.name());
                match index.zip(table) {
                    Some((name, table)) => Self::CreateIndex { name, table },
                    None => Self::Unexpected,
                }
            }
            Some(_) => Self::Nothing,
            None => Self::Unexpected,
        }
    }
}

/// The tokens of a statement without blanks.
#[derive(Clone)]
struct Words<'a>(Tokens<'a>);

impl<'a> Iterator for Words<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.0.find(|token| token.kind != Kind::Blank)
    }
}

impl<'a> Words<'a> {
    fn new(sql: &'a [u8]) -> Self {
        Self(Tokens { rest: sql })
    }

    /// Skips the first of these keywords and what may precede it, such as `OR IGNORE` or `UNIQUE`.
    fn skip_to<'k>(&mut self, keywords: &[&'k str]) -> Option<&'k str> {
        const MAX_SKIPPED: usize = 3;
        self.by_ref().take(MAX_SKIPPED).find_map(|token| {
            let mut keywords = keywords.iter();
            keywords.find(|keyword| token.is(keyword)).copied()
        })
    }

    /// The name of a table or an index, without `IF NOT EXISTS` and the database's name.
    fn name(&mut self) -> Option<String> {
        let mut name = self.next()?;
        let mut ahead = self.clone();
        let mut follows = |keyword| ahead.next().is_some_and(|token| token.is(keyword));
        if name.is("IF") && follows("NOT") && follows("EXISTS") {
            *self = ahead;
            name = self.next()?;
        }
        let mut ahead = self.clone();
        if ahead.next().is_some_and(|token| token.is_sign(b'.')) {
            *self = ahead;
            name = self.next()?;
        }
        Some(String::from_utf8_lossy(&name.unquoted()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statements with their lines; one that the end of the file ends has a final `…`.
    fn split(sql: &str) -> String {
        let statements = Statements::new(sql.as_bytes()).map(|statement| {
            let end = match statement.end {
                End::Semicolon => "",
                End::EndOfFile => "…",
            };
            let text = String::from_utf8_lossy(statement.sql);
            format!("{}: {text}{end}", statement.line)
        });
        statements.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn splits_at_semicolons_outside_of_quotes_and_comments() {
        for (sql, expected) in [
            ("", ""),
            (" ;;\n-- nothing;\n/* ; */\n", ""),
            ("A;\nB;", "1: A | 2: B"),
            ("A;\n\n  B\n;C;", "1: A | 3: B\n | 4: C"),
            ("A ';' \";\" `;` [;];B;", "1: A ';' \";\" `;` [;] | 1: B"),
            ("A 'it''s; one';B;", "1: A 'it''s; one' | 1: B"),
            ("A '-- ;';B '/*;';C;", "1: A '-- ;' | 1: B '/*;' | 1: C"),
            ("-- a;\n/* b;\n*/ A -- c;\n+1;B;", "3: A -- c;\n+1 | 4: B"),
            ("A -1 / 2 - 3;B-;C/;", "1: A -1 / 2 - 3 | 1: B- | 1: C/"),
            ("A;B", "1: A | 1: B…"),
            ("A 'cut; off", "1: A 'cut; off…"),
            ("A; -- due to errors", "1: A"),
        ] {
            assert_eq!(split(sql), expected, "{sql:?}");
        }
    }

    #[test]
    fn trigger_ends_with_its_end() {
        let first = "CREATE TRIGGER t BEGIN A; SELECT CASE 1 WHEN 1 THEN 2 END; END";
        let second = "create temp trigger t begin a ';end;'; end";
        assert_eq!(
            split(&format!("{first};\n{second};C;")),
            format!("1: {first} | 2: {second} | 2: C")
        );
        assert_eq!(
            split("CREATE TABLE trigger; BEGIN; END; B;"),
            "1: CREATE TABLE trigger | 1: BEGIN | 1: END | 1: B"
        );
    }

    #[test]
    fn action_is_read_from_the_first_words() {
        let index = |name: &str, table: &str| Action::CreateIndex {
            name: name.to_owned(),
            table: table.to_owned(),
        };
        let create = |name: &str| Action::CreateTable(name.to_owned());
        let insert = |name: &str| Action::Insert(name.to_owned());
        for (sql, expected) in [
            ("", Action::Nothing),
            ("PRAGMA foreign_keys=OFF", Action::Nothing),
            ("begin transaction", Action::Begin),
            ("COMMIT", Action::Commit),
            ("ROLLBACK", Action::Rollback),
            ("CREATE TABLE api_keys (id)", create("api_keys")),
            (
                "CREATE/**/TABLE IF NOT EXISTS \"a\"\"b\" (id)",
                create("a\"b"),
            ),
            ("create table main.[x](id)", create("x")),
            ("create table [a\"b] (id)", create("a\"b")),
            ("create table \"\"\"\" (id)", create("\"")),
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
            ("CREATE TEMP TRIGGER t BEGIN x; END", Action::Nothing),
            ("CREATE VIEW v AS SELECT 1", Action::Nothing),
            ("DELETE FROM sqlite_sequence", Action::Nothing),
            ("ANALYZE sqlite_schema", Action::Nothing),
            ("DELETE FROM api_keys", Action::Unexpected),
            ("ATTACH 'x' AS y", Action::Unexpected),
            ("UPDATE api_keys SET api_key = 1", Action::Unexpected),
            ("AIzaFAKE-1',NULL)", Action::Unexpected),
            ("'", Action::Unexpected),
            ("INSERT INTO", Action::Unexpected),
            ("CREATE", Action::Unexpected),
        ] {
            assert_eq!(Action::of(sql.as_bytes()), expected, "{sql}");
        }
    }
}
