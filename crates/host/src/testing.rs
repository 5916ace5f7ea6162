//! Helpers for unit tests.

use anyhow::Result;
use std::path::PathBuf;
use tempfile::TempDir;

/// Writes a file into a new folder, which exists as long as the returned handle.
pub(crate) fn temp_file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// Asserts that a result is an error whose message contains all `parts` and quotes no secret.
#[track_caller]
pub(crate) fn assert_error<T>(result: Result<T>, parts: &[&str]) {
    let Err(error) = result else {
        panic!("no error with {parts:?}");
    };
    let error = format!("{error:#}");
    let has_all = parts.iter().all(|part| error.contains(part));
    assert!(has_all, "not all of {parts:?} are in {error}");
    let quotes_secret = error.contains("s3cret") || error.contains("AIza");
    assert!(!quotes_secret, "{error}");
}
