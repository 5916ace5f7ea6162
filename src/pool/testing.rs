//! Keys for tests.

use super::{ApiKey, KeyId, KeyState, KeyStatus, PoolKey, UnixMillis};

/// An active key, last used at [`USED`], that never failed.
pub(crate) fn key(id: i64) -> PoolKey {
    PoolKey {
        id: KeyId(id),
        key: ApiKey::try_new(format!("fake-key-{id}")).unwrap(),
        name: None,
        project: None,
        priority: 100,
        state: KeyState {
            status: KeyStatus::Active,
            consecutive_failures: 0,
            disabled_until: None,
        },
        last_used_at: Some(USED),
        last_success_began_at: None,
        last_outcome: None,
        trial_until: None,
        disabled_reason: None,
        credential_header: None,
        edits: 0,
        models: None,
    }
}

/// [`key`] with a change.
pub(crate) fn key_with(change: impl FnOnce(&mut PoolKey)) -> PoolKey {
    let mut key = key(1);
    change(&mut key);
    key
}

/// [`key`] in a project.
pub(crate) fn key_of(id: i64, project: &str) -> PoolKey {
    PoolKey {
        project: Some(project.to_owned()),
        ..key(id)
    }
}

/// When [`key`] was last used.
pub(crate) const USED: UnixMillis = UnixMillis(1_800_000_000_000);
