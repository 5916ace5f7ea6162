//! The settings in force, as operators may see them: every variable, but nothing of a secret.
//!
//! Names, defaults and which variables are secret come from `spin.toml`, so that the list is
//! complete and no secret is missed.

use super::{Secret, VARIABLES};
use serde::Serialize;

/// The section `[variables]` of `spin.toml`: see `build.rs`.
const DECLARATIONS: &str = include_str!(concat!(env!("OUT_DIR"), "/variables.toml"));

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The value in force; `None` for a secret, or if there is none.
    pub value: Option<String>,
    /// Whether there is a value.
    pub is_set: bool,
    /// Whether it is the default.
    pub is_default: bool,
}

impl Setting {
    /// All variables, with the values that were given, redacted by `redact`: a secret may stand where
    /// it does not belong. The default of `llm_api_endpoint` depends on another variable.
    pub(super) fn all(
        given: &[Option<Secret>],
        redact: impl Fn(&str) -> String,
        endpoint: &str,
    ) -> Vec<Self> {
        let of = |(name, given): (&'static str, &Option<Secret>)| {
            let Declared { default, is_secret } = Declared::of(name);
            let default = match name {
                "llm_api_endpoint" => endpoint,
                _ => default,
            };
            let default = (!default.is_empty()).then(|| default.to_owned());
            let given = given.as_ref().map(|text| text.expose().to_owned());
            let is_default = given.is_none() || given == default;
            let value = given.or(default);
            Self {
                name,
                is_set: value.is_some(),
                is_default,
                value: value.filter(|_| !is_secret).as_deref().map(&redact),
            }
        };
        VARIABLES.into_iter().zip(given).map(of).collect()
    }
}

/// How the manifest declares a variable.
struct Declared {
    default: &'static str,
    is_secret: bool,
}

impl Declared {
    /// A variable that is not declared would be a secret.
    fn of(name: &str) -> Self {
        let mut lines = DECLARATIONS.lines();
        let declared = lines.find_map(|line| {
            let line = line.strip_prefix(name)?.strip_prefix(" = { default = \"")?;
            line.split_once('"')
        });
        let (default, rest) = declared.unwrap_or_default();
        Self {
            default,
            is_secret: declared.is_none() || rest.contains("secret = true"),
        }
    }
}
