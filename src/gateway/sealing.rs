//! Seals the pool's keys in the background.

use super::ports::System;
use super::view::PoolView;
use crate::store::{self, Database, KeysAtRest};
use std::rc::Rc;

/// Seals, in a task of its own, the keys that are not sealed with the current encryption key, if
/// there is one. Each new instance does it, so that the work of one that is stopped is continued,
/// and keys that operators have added in clear text are sealed, too.
pub(super) fn seal_keys<D: Database, S: System>(view: &Rc<PoolView<D>>, system: &S) {
    if !view.vault.can_seal() {
        return;
    }
    let (view, own) = (Rc::clone(view), system.clone());
    system.spawn(async move {
        match sealed(&view, &own).await {
            Ok(Some(line)) => own.log(&line),
            // Another instance will do it.
            Err(error) if error.is_busy() => {}
            Err(error) => own.log(&format!("keys cannot be sealed: {error}")),
            Ok(None) => {}
        }
    });
}

/// What the operator is told, if any keys were sealed.
async fn sealed<D: Database, S: System>(
    view: &PoolView<D>,
    system: &S,
) -> store::Result<Option<String>> {
    let database = view.unlimited_database();
    let sealed = store::seal_keys(database, &view.vault, || system.new_nonce()).await?;
    if sealed == 0 {
        return Ok(None);
    }
    let KeysAtRest {
        plain,
        current,
        previous,
        unreadable,
    } = store::keys_at_rest(database, &view.vault).await?;
    Ok(Some(format!(
        "{sealed} keys were sealed with encryption_key. Now {current} are; {previous} are sealed with encryption_key_previous, {unreadable} with another one, and {plain} are in clear text"
    )))
}
