//! The client tokens that an instance has looked up. What was found is valid for half a second, like
//! the view of the pool, so that a token that is disabled elsewhere stops working by then. Unknown
//! tokens are never remembered.

use super::ports::System;
use crate::pool::{ClientToken, UnixMillis};
use crate::store::{self, Database, TokenDigest, TokenSecret};
use std::cell::RefCell;
use std::rc::Rc;

/// How long a token that was found is valid, in milliseconds.
const MAX_AGE_MS: i64 = 500;

/// The tokens found lately.
#[derive(Default)]
pub(super) struct ClientTokens(RefCell<Vec<Found>>);

struct Found {
    digest: TokenDigest,
    read_at: UnixMillis,
    token: Rc<ClientToken>,
}

impl ClientTokens {
    /// The token that a client has sent, as of at most half a second ago; `None` if there is none.
    pub(super) async fn find(
        &self,
        database: &impl Database,
        system: &impl System,
        presented: &TokenSecret,
    ) -> store::Result<Option<Rc<ClientToken>>> {
        let digest = presented.digest();
        let now = system.now();
        if let Some(token) = self.known(&digest, now) {
            return Ok(Some(token));
        }
        let found = store::find_client_token(database, &digest, now).await?;
        let found = found.map(Rc::new);
        if let Some(token) = &found {
            let mut tokens = self.0.borrow_mut();
            // They are in order of time, unless the clock was set.
            if tokens.first().is_some_and(|first| !first.is_fresh(now)) {
                tokens.clear();
            }
            tokens.push(Found {
                digest,
                read_at: now,
                token: Rc::clone(token),
            });
        }
        Ok(found)
    }

    /// Forgets all, so that they are looked up again.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    fn known(&self, digest: &TokenDigest, now: UnixMillis) -> Option<Rc<ClientToken>> {
        let tokens = self.0.borrow();
        let is_known = |found: &&Found| found.digest.matches(digest) && found.is_fresh(now);
        let found = tokens.iter().find(is_known);
        found.map(|found| Rc::clone(&found.token))
    }
}

impl Found {
    fn is_fresh(&self, now: UnixMillis) -> bool {
        self.read_at > now.plus(-MAX_AGE_MS) && self.read_at <= now
    }
}
