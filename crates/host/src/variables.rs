//! The values of variables, from `--variable`, the environment, a `.env` file or the manifest's
//! default, in this order. `--variable NAME=@FILE` reads a value, `--variable @FILE` a JSON or TOML
//! file of several.
//!
//! As with Spin, an application's variable `my_token` is `SPIN_VARIABLE_MY_TOKEN` in the
//! environment, and the component's variables are templates such as `"{{ my_token }}"`.

use crate::bindings::variables::{Error, Host, HostWithStore};
use crate::manifest::App;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;
use wasmtime::component::{Accessor, HasData};

const PREFIX: &str = "SPIN_VARIABLE_";
const ENV_FILE: &str = ".env";

/// Values from outside of the manifest.
#[derive(Default)]
pub(crate) struct Environment {
    arguments: HashMap<String, String>,
    environment: HashMap<String, String>,
}

impl Environment {
    /// Reads the `--variable` arguments, the environment and the `.env` file of the current folder.
    ///
    /// # Errors
    /// A malformed argument, an unreadable file, or a value that is not UTF-8. Values are not
    /// quoted.
    pub(crate) fn read(arguments: &[String]) -> Result<Self> {
        let mut read = Self::default();
        for argument in arguments {
            read.add_argument(argument)?;
        }
        match std::fs::read_to_string(ENV_FILE) {
            Ok(text) => read.add_env_file(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => bail!("cannot read {ENV_FILE}: {error}"),
        }
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let Ok(value) = value.into_string() else {
                bail!("the environment variable {name} is not UTF-8");
            };
            read.environment.insert(name.to_owned(), value);
        }
        Ok(read)
    }

    fn add_argument(&mut self, argument: &str) -> Result<()> {
        let read = |file: &str| {
            std::fs::read_to_string(file)
                .map_err(|error| anyhow!("--variable cannot read {file}: {error}"))
        };
        if let Some(file) = argument.strip_prefix('@') {
            // The messages of the libraries quote the file.
            let values: HashMap<String, String> = match Path::new(file).extension() {
                Some(kind) if kind == "json" => serde_json::from_str(&read(file)?)
                    .map_err(|error| anyhow!("line {} is invalid", error.line())),
                Some(kind) if kind == "toml" => {
                    toml::from_str(&read(file)?).map_err(|error| anyhow!("{}", error.message()))
                }
                _ => bail!("--variable @{file}: the file must end in .json or .toml"),
            }
            .with_context(|| {
                format!("--variable @{file} must contain names and values, all of them strings")
            })?;
            self.arguments.extend(values);
            return Ok(());
        }
        let (name, value) = argument.split_once('=').with_context(|| {
            format!(
                "--variable must be NAME=VALUE, NAME=@FILE or @FILE, but its {} characters contain no \
                 `=`",
                argument.chars().count()
            )
        })?;
        let value = match value.strip_prefix('@') {
            // With a final newline, if there is one.
            Some(file) => read(file)?,
            None => value.to_owned(),
        };
        self.arguments.insert(name.trim().to_owned(), value);
        Ok(())
    }

    fn add_env_file(&mut self, text: &str) -> Result<()> {
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            match entry {
                Ok((name, value)) => {
                    self.environment.insert(name, value);
                }
                // The library's message quotes the line, which may contain a secret.
                Err(dotenvy::Error::LineParse(bad, _)) => bail!(
                    "{ENV_FILE}, line {}, is not NAME=VALUE; quote values with spaces or #",
                    line_of(text, &bad)
                ),
                Err(_) => bail!("cannot read {ENV_FILE}"),
            }
        }
        Ok(())
    }

    /// A warning for each value whose variable the manifest lacks; as with Spin, it is ignored.
    pub(crate) fn unknown(&self, app: &App) -> Vec<String> {
        let known: HashSet<String> = app.variables.keys().map(|it| outside(it)).collect();
        let arguments = self.arguments.keys();
        let arguments = arguments.filter(|name| !app.variables.contains_key(*name));
        let environment = self.environment.keys();
        let environment =
            environment.filter(|name| name.starts_with(PREFIX) && !known.contains(*name));
        let mut unknown: Vec<String> = arguments
            .map(|name| format!("--variable {name}"))
            .chain(environment.cloned())
            .map(|what| {
                format!("{what} is ignored: the manifest has no such variable in [variables]")
            })
            .collect();
        unknown.sort();
        unknown
    }

    fn get(&self, name: &str) -> Option<&str> {
        let value = self.arguments.get(name);
        value
            .or_else(|| self.environment.get(&outside(name)))
            .map(String::as_str)
    }
}

/// The number of the line that contains `bad`, an entry or its value.
fn line_of(text: &str, bad: &str) -> usize {
    let first = bad.lines().next().unwrap_or_default().trim();
    let find = |is_it: &dyn Fn(&str) -> bool| text.lines().position(|line| is_it(line.trim()));
    let found = find(&|line| line == first).or_else(|| {
        find(&|line| {
            let value = line.split_once('=').map(|(_, value)| value.trim());
            value == Some(first)
        })
    });
    found.unwrap_or_default() + 1
}

/// The environment variable for an application's variable.
fn outside(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

/// The expanded templates of a manifest.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The component's variables.
    pub(crate) component: BTreeMap<String, String>,
    /// The hosts that it may call.
    pub(crate) allowed_outbound_hosts: Vec<Expanded>,
}

/// A template and its expansion.
#[derive(Debug)]
pub(crate) struct Expanded {
    pub(crate) value: String,
    template: String,
}

impl Expanded {
    /// Which variables the value comes from, as the end of a sentence; empty if from none.
    pub(crate) fn remedy(&self) -> String {
        let pieces = self.template.split("{{").skip(1);
        let names = pieces.filter_map(|piece| piece.split_once("}}"));
        let set: Vec<String> = names.map(|(name, _)| outside(name.trim())).collect();
        if set.is_empty() {
            return String::new();
        }
        format!(" (set by {}, see [variables])", set.join(" and "))
    }

    #[cfg(test)]
    pub(crate) fn plain(value: impl AsRef<str>) -> Self {
        Self {
            value: value.as_ref().to_owned(),
            template: value.as_ref().to_owned(),
        }
    }
}

/// Expands the templates of `app`.
///
/// # Errors
/// Names each missing variable, or the first template that cannot be expanded.
pub(crate) fn resolve(app: &App, environment: &Environment) -> Result<Resolved> {
    let mut problems = Vec::new();
    let mut values = BTreeMap::new();
    for (name, variable) in &app.variables {
        match environment.get(name).or(variable.default.as_deref()) {
            Some(value) => {
                values.insert(name.as_str(), value);
            }
            None => problems.push(format!(
                "the variable {name} is required but not set; set {} in the environment",
                outside(name)
            )),
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("; "));
    }

    let mut component = BTreeMap::new();
    for (name, template) in &app.component_variables {
        let value = expand(template, &values)
            .with_context(|| format!("[component.{}.variables] {name}", app.component_id))?;
        component.insert(name.clone(), value);
    }
    let mut allowed_outbound_hosts = Vec::new();
    for template in &app.allowed_outbound_hosts {
        let host = expand(template, &values)
            .with_context(|| format!("[component.{}] allowed_outbound_hosts", app.component_id))?;
        allowed_outbound_hosts.push(Expanded {
            value: host,
            template: template.clone(),
        });
    }
    Ok(Resolved {
        component,
        allowed_outbound_hosts,
    })
}

fn expand(template: &str, values: &BTreeMap<&str, &str>) -> Result<String> {
    let mut expanded = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").context("a `{{` has no `}}`")?;
        let name = name.trim();
        ensure!(!name.is_empty(), "`{{{{ }}}}` names no variable");
        let value = values
            .get(name)
            .with_context(|| format!("`{{{{ {name} }}}}` names no variable of [variables]"))?;
        expanded.push_str(before);
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Identifies a component's variables to wasmtime.
pub(crate) struct VariablesHost;

impl HasData for VariablesHost {
    type Data<'a> = &'a BTreeMap<String, String>;
}

impl Host for &BTreeMap<String, String> {}

impl<T: Send> HostWithStore<T> for VariablesHost {
    async fn get(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        Ok(accessor.with(|mut access| {
            let value = access.get().get(&name).cloned();
            value.ok_or(Error::Undefined(name))
        }))
    }
}

#[cfg(test)]
mod tests;
