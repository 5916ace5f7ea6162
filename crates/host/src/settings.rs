//! Checks the pool's settings before the host listens. The component checks them again at its first
//! request, as it must on Spin.

use crate::manifest::App;
use anyhow::{Result, bail};
use gemini_keypool::config::{Config, VARIABLES};
use std::collections::BTreeMap;

/// Checks the component's variables if it is the pool, and returns warnings.
///
/// # Errors
/// One line per problem.
pub(crate) fn check(app: &App, variables: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let is_pool = VARIABLES
        .iter()
        .all(|name| app.component_variables.contains_key(*name));
    if !is_pool {
        return Ok(Vec::new());
    }
    match Config::from_variables(|name| variables.get(name).cloned()) {
        Ok(config) => Ok(config.warnings().to_vec()),
        Err(invalid) => bail!("{}", invalid.problems().join("\nerror: ")),
    }
}
