//! The statements of an SQL file, one after the other, as bytes: a text in an old encoding is no reason to stop.
//!
//! Statements end where `sqlite3_complete` says that they do. Comments are left out.

use std::io::{BufRead, Result};

/// A statement without its semicolon.
#[derive(Debug, PartialEq)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a [u8],
    /// The line on which it begins; the first is 1.
    pub(super) line: u64,
    /// Whether a semicolon ended it, and not the end of the file.
    pub(super) is_complete: bool,
}

/// Reads statements from a file.
pub(super) struct Statements<R> {
    file: R,
    sql: Vec<u8>,
    line: u64,
}

impl<R: BufRead> Statements<R> {
    pub(super) fn new(file: R) -> Self {
        Self {
            file,
            sql: Vec::new(),
            line: 1,
        }
    }

    /// The next statement; `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Statement<'_>>> {
        self.sql.clear();
        let mut scanner = Scanner::default();
        let mut begins = self.line;
        loop {
            let chunk = self.file.fill_buf()?;
            if chunk.is_empty() {
                scanner.end(&mut self.sql);
                let is_blank = self.sql.is_empty();
                return Ok((!is_blank).then_some(Statement {
                    sql: &self.sql,
                    line: begins,
                    is_complete: false,
                }));
            }
            let mut used = 0;
            let mut is_complete = false;
            for &byte in chunk {
                used += 1;
                if self.sql.is_empty() {
                    begins = self.line;
                }
                self.line += u64::from(byte == b'\n');
                if scanner.push(byte, &mut self.sql) {
                    is_complete = !self.sql.is_empty();
                    scanner = Scanner::default();
                    if is_complete {
                        break;
                    }
                }
            }
            self.file.consume(used);
            if is_complete {
                return Ok(Some(Statement {
                    sql: &self.sql,
                    line: begins,
                    is_complete,
                }));
            }
        }
    }
}

/// Where in the text a byte stands.
#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    #[default]
    Plain,
    /// Within quotes that this byte ends. A doubled one ends them here and opens the next at once, which comes to the same.
    Quoted(u8),
    /// After a `-` that may begin a comment.
    Dash,
    /// After a `/` that may begin one.
    Slash,
    LineComment,
    BlockComment {
        after_star: bool,
    },
}

/// Where in a statement a semicolon may stand.
#[derive(Clone, Copy, Default)]
enum Position {
    #[default]
    Start,
    /// After `CREATE`, or `CREATE TEMP`.
    Create,
    /// In a statement that the next semicolon ends.
    Statement,
    /// In a trigger, whose statements have semicolons of their own.
    Trigger,
    /// After one of those.
    TriggerSemicolon,
    /// After the `END` that follows one of those.
    TriggerEnd,
}

impl Position {
    fn after(self, word: &[u8]) -> Self {
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        match self {
            Self::Start if is("CREATE") => Self::Create,
            Self::Create if is("TEMP") || is("TEMPORARY") => Self::Create,
            Self::Create if is("TRIGGER") => Self::Trigger,
            Self::Start | Self::Create | Self::Statement => Self::Statement,
            Self::TriggerSemicolon if is("END") => Self::TriggerEnd,
            Self::Trigger | Self::TriggerSemicolon | Self::TriggerEnd => Self::Trigger,
        }
    }
}

#[derive(Default)]
struct Scanner {
    place: Place,
    position: Position,
    /// Where in the statement the word that is being read begins.
    word: Option<usize>,
}

impl Scanner {
    /// Takes a byte, and adds it to the statement unless it is of a comment or before the statement. Whether it ends the
    /// statement.
    fn push(&mut self, byte: u8, sql: &mut Vec<u8>) -> bool {
        match self.place {
            Place::Plain => return self.push_plain(byte, sql),
            Place::Quoted(end) => {
                sql.push(byte);
                if byte == end {
                    self.place = Place::Plain;
                }
            }
            Place::Dash if byte == b'-' => self.place = Place::LineComment,
            Place::Slash if byte == b'*' => {
                self.place = Place::BlockComment { after_star: false };
            }
            Place::Dash | Place::Slash => {
                self.end(sql);
                self.place = Place::Plain;
                return self.push_plain(byte, sql);
            }
            Place::LineComment if byte == b'\n' => self.end_comment(sql),
            Place::BlockComment { after_star: true } if byte == b'/' => self.end_comment(sql),
            Place::BlockComment { .. } => {
                self.place = Place::BlockComment {
                    after_star: byte == b'*',
                };
            }
            Place::LineComment => {}
        }
        false
    }

    fn push_plain(&mut self, byte: u8, sql: &mut Vec<u8>) -> bool {
        let in_word = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80;
        if in_word {
            self.word.get_or_insert(sql.len());
            sql.push(byte);
            return false;
        }
        self.end_word(sql);
        match byte {
            b'-' => self.place = Place::Dash,
            b'/' => self.place = Place::Slash,
            b';' => match self.position {
                Position::Trigger | Position::TriggerSemicolon => {
                    self.position = Position::TriggerSemicolon;
                    sql.push(byte);
                }
                _ => return true,
            },
            _ if byte.is_ascii_whitespace() => {
                if !sql.is_empty() {
                    sql.push(byte);
                }
            }
            _ => {
                self.position = self.position.after(&[byte]);
                self.place = match byte {
                    b'\'' | b'"' | b'`' => Place::Quoted(byte),
                    b'[' => Place::Quoted(b']'),
                    _ => Place::Plain,
                };
                sql.push(byte);
            }
        }
        false
    }

    fn end_word(&mut self, sql: &[u8]) {
        if let Some(word) = self.word.take().and_then(|begins| sql.get(begins..)) {
            self.position = self.position.after(word);
        }
    }

    fn end_comment(&mut self, sql: &mut Vec<u8>) {
        self.place = Place::Plain;
        if !sql.is_empty() {
            sql.push(b' ');
        }
    }

    /// Adds the sign that has been held back since it might have begun a comment.
    fn end(&mut self, sql: &mut Vec<u8>) {
        match self.place {
            Place::Dash => sql.push(b'-'),
            Place::Slash => sql.push(b'/'),
            _ => return,
        }
        self.position = self.position.after(b"-");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// Statements with their lines, read in pieces of so many bytes; an incomplete one ends with `…`.
    fn split(sql: &[u8], piece: usize) -> Vec<(u64, String)> {
        let mut statements = Statements::new(BufReader::with_capacity(piece, sql));
        let mut all = Vec::new();
        while let Some(statement) = statements.next().unwrap() {
            let mut text = String::from_utf8_lossy(statement.sql).into_owned();
            if !statement.is_complete {
                text.push('…');
            }
            all.push((statement.line, text));
        }
        all
    }

    #[test]
    fn a_file_is_split_where_statements_end() {
        for (sql, expected) in [
            ("", vec![]),
            (" ;;\n-- nothing;\n/* ; */\n", vec![]),
            ("A;\nB;", vec![(1, "A"), (2, "B")]),
            ("A;\n\n  B\n;C;", vec![(1, "A"), (3, "B\n"), (4, "C")]),
            (
                "A ';' \";\" `;` [;];B;",
                vec![(1, "A ';' \";\" `;` [;]"), (1, "B")],
            ),
            ("A 'it''s; one';B;", vec![(1, "A 'it''s; one'"), (1, "B")]),
            (
                "A '-- ;';B '/*;';C;",
                vec![(1, "A '-- ;'"), (1, "B '/*;'"), (1, "C")],
            ),
            (
                "-- a;\n/* b;\n*/ A -- c;\n+1;B;",
                vec![(3, "A  +1"), (4, "B")],
            ),
            (
                "A -1 / 2 - 3;B-;C/;",
                vec![(1, "A -1 / 2 - 3"), (1, "B-"), (1, "C/")],
            ),
            ("A /* * / **/ B;", vec![(1, "A   B")]),
            ("A;B", vec![(1, "A"), (1, "B…")]),
            ("A 'cut; off", vec![(1, "A 'cut; off…")]),
            ("A; -- due to errors", vec![(1, "A")]),
            (
                "CREATE TRIGGER t BEGIN A; SELECT CASE 1 WHEN 1 THEN 2 END; END;\nC;",
                vec![
                    (
                        1,
                        "CREATE TRIGGER t BEGIN A; SELECT CASE 1 WHEN 1 THEN 2 END; END",
                    ),
                    (2, "C"),
                ],
            ),
            (
                "create temp trigger t begin a ';end;'; end\n;c;",
                vec![
                    (1, "create temp trigger t begin a ';end;'; end\n"),
                    (2, "c"),
                ],
            ),
            (
                "CREATE TABLE trigger; BEGIN; END; B;",
                vec![
                    (1, "CREATE TABLE trigger"),
                    (1, "BEGIN"),
                    (1, "END"),
                    (1, "B"),
                ],
            ),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(line, text): (u64, &str)| (line, text.to_owned()))
                .collect();
            for piece in [1, 2, 7, 4096] {
                assert_eq!(split(sql.as_bytes(), piece), expected, "{sql:?} by {piece}");
            }
        }
    }

    #[test]
    fn bytes_in_any_encoding_pass() {
        assert_eq!(
            Statements::new(&b"A '\xe9;\xc4\xe3';"[..]).next().unwrap(),
            Some(Statement {
                sql: b"A '\xe9;\xc4\xe3'",
                line: 1,
                is_complete: true
            })
        );
    }
}
