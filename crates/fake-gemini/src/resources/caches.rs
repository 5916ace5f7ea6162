//! Cached contents: prompts that are kept for a while. Source: <https://ai.google.dev/api/caching>.

use super::{Circumstances, Found, Resources};
use crate::errors::{self, ApiError};
use crate::ids;
use crate::models::bare;

/// So long a cache stays when nothing is said, in milliseconds: an hour.
const LIFETIME_MS: i64 = 60 * 60 * 1000;

/// When a cache is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// In milliseconds from now.
    After(i64),
    /// In milliseconds since the Unix epoch.
    At(i64),
}

impl Expiry {
    fn unix_ms(self, now_ms: i64) -> i64 {
        match self {
            Self::After(ms) => now_ms.saturating_add(ms),
            Self::At(unix_ms) => unix_ms,
        }
    }
}

/// What a new cache is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewCache {
    pub(crate) model: String,
    pub(crate) display_name: String,
    pub(crate) tokens: u64,
    pub(crate) expiry: Option<Expiry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cache {
    /// With `cachedContents/`.
    pub(crate) name: String,
    /// Without `models/`.
    pub(crate) model: String,
    /// Empty where there is none.
    pub(crate) display_name: String,
    pub(crate) tokens: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub(crate) updated_ms: i64,
    /// From when on it is gone, in milliseconds since the Unix epoch.
    pub(crate) expires_ms: i64,
}

impl Resources {
    pub(super) fn create_cache(&mut self, new: &NewCache, at: &Circumstances<'_>) -> Found {
        let expiry = new.expiry.unwrap_or(Expiry::After(LIFETIME_MS));
        let cache = Cache {
            name: format!("cachedContents/{}", ids::resource_id(at.number, 40)),
            model: bare(&new.model).to_owned(),
            display_name: new.display_name.clone(),
            tokens: new.tokens,
            created_ms: at.now_ms,
            updated_ms: at.now_ms,
            expires_ms: expiry.unix_ms(at.now_ms),
        };
        self.put_cache(cache, at)
    }

    pub(super) fn update_cache(
        &mut self,
        name: &str,
        expiry: Option<Expiry>,
        at: &Circumstances<'_>,
    ) -> Result<Found, ApiError> {
        let mut cache = self.cache(name, at)?.clone();
        cache.updated_ms = at.now_ms;
        if let Some(expiry) = expiry {
            cache.expires_ms = expiry.unix_ms(at.now_ms);
        }
        Ok(self.put_cache(cache, at))
    }

    fn put_cache(&mut self, cache: Cache, at: &Circumstances<'_>) -> Found {
        let until = Some(cache.expires_ms);
        self.caches
            .add(&cache.name, until, cache.clone(), at.project);
        Found::Cache(cache)
    }

    pub(super) fn cache(&self, name: &str, at: &Circumstances<'_>) -> Result<&Cache, ApiError> {
        self.caches
            .get(name, at)
            .ok_or_else(errors::cached_content_denied)
    }
}
