//! Tests of reading a dump.

use super::*;
use crate::testing::{assert_error, temp_file};
use rusqlite::types::Value;

fn read(dump: &[u8]) -> Result<Dump> {
    let (_folder, path) = temp_file("dump.sql", dump);
    Dump::read(&path, &mut Progress::new())
}

/// The values in the first column of a query.
fn values(dump: &Dump, query: &str) -> Vec<Value> {
    let mut statement = dump.database.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn reads_every_notation_of_text() {
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
        let dump = format!("INSERT INTO api_keys (api_key, name) VALUES ('AIzaFAKE-1',{text});");
        let dump = read(dump.as_bytes()).unwrap();
        let names = values(&dump, "SELECT name FROM api_keys");
        assert_eq!(names, [Value::Text(expected.to_owned())], "{text}");
    }
}

#[test]
fn text_in_another_encoding_keeps_its_bytes() {
    let dump: &[u8] =
        b"INSERT INTO \"api_keys\" (id, api_key, name) VALUES (1,'AIzaFAKE-1','caf\xe9; it''s'),
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
fn error_names_the_line_and_quotes_no_value() {
    let cases: [(&[u8], &str); 16] = [
        (
            b"\n\nINSERT INTO api_keys VALUES(1,'AIzaFAKE-1'));",
            "line 3 (statement 1)",
        ),
        (
            b"INSERT INTO api_keys VALUES(1,AIzaFAKE);",
            "no such column",
        ),
        (
            b"INSERT INTO api_keys VALUES(1,\"AIzaFAKE-1\");",
            "the number of values differs",
        ),
        (
            b"INSERT INTO api_keys VALUES(1,AIzaFAKE());",
            "no such function",
        ),
        (
            b"INSERT INTO api_keys (AIzaFAKE) VALUES (1);",
            "names a column",
        ),
        (
            b"PRAGMA x;\nAIzaFAKE-1',NULL);",
            "line 2 (statement 2): this is not a statement of a dump",
        ),
        (
            b"INSERT INTO api_keys VALUES(1,'AIzaFAKE-1",
            "line 1 (statement 1): the file ends within",
        ),
        (
            b"BEGIN;\nINSERT INTO api_keys (api_key) VALUES('AIzaFAKE-1');",
            "the COMMIT at the end is missing",
        ),
        (
            b"BEGIN;\nROLLBACK; -- due to errors",
            "line 2 (statement 2): sqlite3 ends a dump",
        ),
        (b"ATTACH 'AIzaFAKE' AS x;", "not a statement of a dump"),
        (
            b"CREATE TABLE AIzaFAKE (id);",
            "none of the tables api_keys",
        ),
        (b"", "none of the tables api_keys"),
        (b"SQLite format 3\0AIzaFAKE", "a database and not a dump"),
        (b"\xff\xfeB\0E\0", "UTF-16"),
        (b"\x1f\x8b\x08", "compressed"),
        (
            b"INSERT INTO api_keys (\xe9) VALUES (1);",
            "a name that is not UTF-8",
        ),
    ];
    for (dump, expected) in cases {
        assert_error(read(dump), &[expected]);
    }
}

#[test]
fn byte_order_mark_is_skipped() {
    let dump = read("\u{feff}INSERT INTO api_keys (api_key) VALUES ('AIzaFAKE-1');".as_bytes());
    assert_eq!(dump.unwrap().rows, 1);
}

#[test]
fn other_tables_are_ignored_and_listed() {
    let dump = read(
        b"CREATE TABLE d1_migrations (id); INSERT INTO d1_migrations VALUES (1);
          CREATE TABLE _cf_KV (id); INSERT INTO sqlite_stat1 VALUES (1);
          CREATE TABLE API_KEYS (id, api_key); CREATE INDEX i ON api_keys (id);
          CREATE INDEX j ON d1_migrations (id);
          CREATE TRIGGER t AFTER INSERT ON api_keys BEGIN DELETE FROM api_keys; END;
          INSERT INTO api_keys VALUES (1, 'AIzaFAKE-1');",
    )
    .unwrap();
    let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(&dump.ignored), ["_cf_KV", "d1_migrations"]);
    assert_eq!(names(&dump.indexes), ["i"]);
    assert_eq!(dump.rows, 1);
}
