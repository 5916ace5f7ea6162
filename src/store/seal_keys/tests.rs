use super::super::read_pool;
use super::super::testing::{DatabaseFile, NOW, NativeDatabase, vault};
use super::super::{DatabaseError, ErrorKind};
use super::*;
use futures::executor::block_on;
use std::sync::atomic::{AtomicUsize, Ordering};

const ENVELOPES: &str = "api_keys WHERE api_key LIKE 'sealed:1:%' AND key_digest IS NOT NULL";

fn try_seal(database: &NativeDatabase, vault: &KeyVault) -> Result<usize> {
    let mut nonce = 0u8;
    block_on(seal_keys(database, vault, || {
        nonce = nonce.wrapping_add(1);
        [nonce; 24]
    }))
}

fn seal(database: &NativeDatabase, vault: &KeyVault) -> usize {
    try_seal(database, vault).unwrap()
}

fn at_rest(database: &NativeDatabase, vault: &KeyVault) -> [u64; 4] {
    let KeysAtRest {
        plain,
        current,
        previous,
        unreadable,
    } = block_on(keys_at_rest(database, vault)).unwrap();
    [plain, current, previous, unreadable]
}

/// The keys that can be read, and the number of broken rows.
fn try_read(database: &NativeDatabase, vault: &KeyVault) -> Result<(Vec<String>, usize)> {
    let read = block_on(read_pool(database, vault, None, NOW))?;
    let keys = read.snapshot.keys().iter();
    let keys = keys.map(|key| key.key.expose().to_owned());
    Ok((keys.collect(), read.broken.len()))
}

#[track_caller]
fn assert_reads(database: &NativeDatabase, vault: &KeyVault, keys: usize) {
    let expected: Vec<_> = (1..=keys).map(|id| format!("fake-{id}")).collect();
    assert_eq!(try_read(database, vault), Ok((expected, 0)));
}

fn rows(database: &NativeDatabase) -> Vec<String> {
    database.query("SELECT id, hex(api_key), key_digest FROM api_keys ORDER BY id")
}

#[test]
fn seals_what_is_in_clear_text_and_then_nothing() {
    let database = NativeDatabase::with_keys(250);
    let plain = rows(&database);
    assert_eq!(seal(&database, &vault(0, 0)), 0);
    assert_eq!(rows(&database), plain);
    let vault = vault(1, 0);
    assert_eq!(at_rest(&database, &vault), [250, 0, 0, 0]);
    assert_eq!(seal(&database, &vault), 250);
    assert_eq!(at_rest(&database, &vault), [0, 250, 0, 0]);
    assert_eq!(database.count(ENVELOPES), 250);
    assert_reads(&database, &vault, 250);
    let (sealed, statements) = (rows(&database), database.statements());
    assert_eq!(seal(&database, &vault), 0);
    assert_eq!(database.statements() - statements, 1);
    assert_eq!(rows(&database), sealed);
}

#[test]
fn rows_in_clear_text_and_of_both_encryption_keys_may_stand_together() {
    let database = NativeDatabase::with_keys(1);
    seal(&database, &vault(1, 0));
    database.run("INSERT INTO api_keys (id, api_key) VALUES (2, 'fake-2')");
    let both = vault(2, 1);
    database.fail("UPDATE", "disk I/O error", 1);
    assert!(try_seal(&database, &both).is_err());
    assert_reads(&database, &both, 2);
    assert_eq!(at_rest(&database, &both), [1, 0, 1, 0]);
    assert_eq!(seal(&database, &both), 2);
    // By hand, a new row and a replaced key.
    database.run(
        "INSERT INTO api_keys (id, api_key) VALUES (3, 'fake-3');
         UPDATE api_keys SET api_key = 'fake-2' WHERE id = 2",
    );
    assert_eq!(at_rest(&database, &both), [2, 1, 0, 0]);
    for vault in [both, vault(2, 0), vault(3, 2)] {
        assert_reads(&database, &vault, 3);
    }
}

#[test]
fn many_instances_seal_and_rotate_at_once() {
    let file = DatabaseFile::migrated();
    file.open().add_keys(300);
    let old = file.open();
    for (current, previous) in [(1, 0), (2, 1), (3, 2)] {
        let sealed = AtomicUsize::new(0);
        file.in_parallel(4, |_, database| {
            let vault = vault(current, previous);
            while at_rest(&database, &vault)[1] < 300 {
                match try_seal(&database, &vault) {
                    Ok(count) => drop(sealed.fetch_add(count, Ordering::Relaxed)),
                    Err(error) => assert!(error.is_busy(), "{error}"),
                }
                // Meanwhile, every instance reads every key.
                assert_reads(&database, &vault, 300);
            }
        });
        assert!(sealed.into_inner() >= 300);
        assert_eq!(old.count(ENVELOPES), 300);
        assert_eq!(
            old.query("SELECT count(DISTINCT key_digest) FROM api_keys"),
            ["300"]
        );
    }
    assert_reads(&old, &vault(3, 0), 300);
}

#[test]
fn a_row_that_changes_meanwhile_is_left_to_the_next_instance() {
    let file = DatabaseFile::migrated();
    let database = file.open();
    database.add_keys(2);
    let (other, statements) = (file.open(), std::cell::Cell::new(0));
    database.before_each(move || {
        statements.set(statements.get() + 1);
        // After the batch was read, and before it is written.
        if statements.get() == 3 {
            other.run("UPDATE api_keys SET api_key = 'fake-new' WHERE id = 1");
        }
    });
    let vault = vault(1, 0);
    assert_eq!(seal(&database, &vault), 1);
    assert_eq!(
        database.query("SELECT id FROM api_keys WHERE api_key = 'fake-new'"),
        ["1"]
    );
    assert_eq!(seal(&database, &vault), 1);
    let keys = ["fake-new", "fake-2"].map(str::to_owned).to_vec();
    assert_eq!(try_read(&database, &vault), Ok((keys, 0)));
}

#[test]
fn what_cannot_be_sealed_stays_as_it_is() {
    let database = NativeDatabase::with_keys(2);
    let vault = vault(1, 0);
    seal(&database, &vault);
    database.run(
        "INSERT INTO api_keys (id, api_key) VALUES (3, 'two words'), (4, ''), (5, CAST(x'ff' AS TEXT)),
             -- The same key as the first.
             (6, 'fake-1')",
    );
    let before = rows(&database);
    assert_eq!(seal(&database, &vault), 0);
    assert_eq!(rows(&database), before);
    assert_eq!(at_rest(&database, &vault), [4, 2, 0, 0]);
}

#[test]
fn a_key_that_was_stored_as_bytes_is_sealed() {
    let database = NativeDatabase::migrated();
    database.run("INSERT INTO api_keys (id, api_key) VALUES (1, x'66616b652d31')");
    assert_eq!(seal(&database, &vault(1, 0)), 1);
    assert_reads(&database, &vault(1, 0), 1);
}

#[test]
fn a_moved_or_tampered_envelope_is_a_broken_row() {
    let moved = "UPDATE api_keys SET api_key = 'fake-2' WHERE id = 2;
         UPDATE api_keys SET api_key = (SELECT api_key FROM copies WHERE id = 2) WHERE id = 1";
    for change in [
        moved,
        "UPDATE api_keys SET api_key = api_key || 'A' WHERE id = 1",
        "UPDATE api_keys SET key_digest = 'A' WHERE id = 1",
        "UPDATE api_keys SET key_digest = NULL WHERE id = 1",
    ] {
        let database = NativeDatabase::with_keys(2);
        let vault = vault(1, 0);
        seal(&database, &vault);
        assert_reads(&database, &vault, 2);
        database.run("CREATE TABLE copies AS SELECT * FROM api_keys");
        database.run(change);
        let before = rows(&database);
        for plain in [usize::from(change == moved), 0] {
            let second = vec!["fake-2".to_owned()];
            assert_eq!(try_read(&database, &vault), Ok((second, 1)), "{change}");
            assert_eq!(seal(&database, &vault), plain, "{change}");
            assert_eq!(rows(&database)[0], before[0], "{change}");
        }
    }
}

#[test]
fn a_wrong_encryption_key_fails_and_changes_nothing() {
    let database = NativeDatabase::with_keys(2);
    seal(&database, &vault(1, 0));
    database.run("INSERT INTO api_keys (id, api_key) VALUES (3, 'fake-3')");
    let before = rows(&database);
    for wrong in [vault(0, 0), vault(2, 0), vault(2, 3)] {
        let error: DatabaseError = try_read(&database, &wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongEncryptionKey);
        assert!(error.text().contains("b2a6772931a0"), "{error}");
        assert_eq!(seal(&database, &wrong), 0);
        assert_eq!(rows(&database), before);
        assert_eq!(at_rest(&database, &wrong)[3], 2);
    }
    // Of no known format.
    let odd = NativeDatabase::with_keys(1);
    odd.run("UPDATE api_keys SET api_key = 'sealed:2:more'");
    assert!(try_read(&odd, &vault(1, 0)).is_err());
    assert_reads(&NativeDatabase::with_keys(1), &vault(1, 0), 1);
}

#[test]
fn the_checks_of_every_reading_use_the_index() {
    let database = NativeDatabase::with_keys(1);
    for (vault, seeks) in [(vault(0, 0), 1), (vault(1, 0), 2), (vault(2, 1), 3)] {
        let plan = database.plan(&format!("SELECT {}", vault.foreign_envelope()));
        let seek = "SEARCH api_keys USING COVERING INDEX sqlite_autoindex_api_keys_1";
        assert_eq!(plan.matches(seek).count(), seeks, "{plan}");
        if let Some(is_due) = vault.is_due() {
            let plan = database.plan(&due_rows(&is_due));
            let seek = "SEARCH api_keys USING INDEX sqlite_autoindex_api_keys_1";
            assert_eq!(plan.matches(seek).count(), 2, "{plan}");
        }
    }
}
