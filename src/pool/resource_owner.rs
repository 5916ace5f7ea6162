//! Who created a resource at the upstream.

use super::{KeyId, PoolKey};

/// The creator of an upstream resource that only keys of one project can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The key that created it.
    pub key: KeyId,
    /// That key's project, if known.
    pub project: Option<String>,
}

impl Owner {
    /// Whether a key can use the resource.
    pub fn shares_with(&self, key: &PoolKey) -> bool {
        key.id == self.key || (self.project.is_some() && key.project == self.project)
    }
}
