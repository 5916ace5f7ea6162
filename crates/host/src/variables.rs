//! Values of variables, from the first of: `--variable`, the environment, a `.env` file, the manifest's default.
//!
//! As with Spin, an application variable `my_token` is `SPIN_VARIABLE_MY_TOKEN` outside, and the component sees what
//! its own table makes of them by templates such as `"{{ my_token }}"`.

use crate::bindings::variables::{Error, Host, HostWithStore};
use crate::manifest::App;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use wasmtime::component::{Accessor, HasData};

const PREFIX: &str = "SPIN_VARIABLE_";
const ENV_FILE: &str = ".env";

/// What is set outside of the manifest.
#[derive(Default)]
pub(crate) struct Environment {
    arguments: HashMap<String, String>,
    environment: HashMap<String, String>,
}

impl Environment {
    /// Reads the environment, the `.env` file of the current folder, and `NAME=VALUE` arguments.
    ///
    /// # Errors
    /// An argument without `=`, a `.env` file that cannot be read, or a value that is not UTF-8. Values are not repeated.
    pub(crate) fn read(arguments: &[String]) -> Result<Self> {
        let mut read = Self::default();
        for argument in arguments {
            let (name, value) = argument.split_once('=').with_context(|| {
                format!(
                    "--variable needs NAME=VALUE; there is no `=` after {} characters",
                    argument.chars().count()
                )
            })?;
            read.arguments
                .insert(name.trim().to_owned(), value.to_owned());
        }
        match dotenvy::from_path_iter(ENV_FILE) {
            Ok(entries) => {
                for entry in entries {
                    // The library's message repeats the line, which may hold a secret.
                    let Ok((name, value)) = entry else {
                        bail!(
                            "{ENV_FILE} has a line that is not NAME=VALUE; quote values with spaces or #"
                        );
                    };
                    read.environment.insert(name, value);
                }
            }
            Err(error) if error.not_found() => {}
            Err(error) => bail!("{ENV_FILE} cannot be read: {error}"),
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

    fn get(&self, name: &str) -> Option<&str> {
        let value = self.arguments.get(name);
        value
            .or_else(|| self.environment.get(&outside(name)))
            .map(String::as_str)
    }
}

/// The environment variable that sets an application's variable.
fn outside(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

/// All templates of a manifest, filled in.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The component's variables.
    pub(crate) component: BTreeMap<String, String>,
    /// The hosts that it may connect to.
    pub(crate) allowed_outbound_hosts: Vec<Filled>,
}

/// A template and what it came to.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) value: String,
    template: String,
}

impl Filled {
    /// What to set for another value, as the end of a sentence; empty where nothing does.
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

/// Fills in the templates of `app`.
///
/// # Errors
/// Names every variable that is required and not set, and every template that cannot be filled in.
pub(crate) fn resolve(app: &App, environment: &Environment) -> Result<Resolved> {
    let mut problems = Vec::new();
    for name in environment.arguments.keys() {
        if !app.variables.contains_key(name) {
            problems.push(format!(
                "--variable {name}: the manifest has no such variable in [variables]"
            ));
        }
    }
    let mut values = BTreeMap::new();
    for (name, variable) in &app.variables {
        match environment.get(name).or(variable.default.as_deref()) {
            Some(value) => {
                values.insert(name.as_str(), value);
            }
            None => problems.push(format!(
                "the variable {name} is required and not set; set {} in the environment",
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
        allowed_outbound_hosts.push(Filled {
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
        let (name, after) = after
            .split_once("}}")
            .context("a `{{` is not closed by `}}`")?;
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

/// Names a component's variables to wasmtime.
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
mod tests {
    use super::*;
    use crate::manifest;
    use std::path::Path;

    fn app(variables: &str, component_variables: &str, host: &str) -> App {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\n[variables]\n{variables}\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"c\"\n[component.c]\nsource = \"c.wasm\"\n\
             allowed_outbound_hosts = [{host:?}]\n[component.c.variables]\n{component_variables}\n"
        );
        std::fs::write(&path, text).unwrap();
        manifest::load(Path::new(&path)).unwrap()
    }

    fn environment(arguments: &[(&str, &str)], variables: &[(&str, &str)]) -> Environment {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        Environment {
            arguments: map(arguments),
            environment: map(variables),
        }
    }

    #[test]
    fn the_nearest_source_wins() {
        let app = app(
            "a = { default = \"1\" }\nb = { default = \"1\" }\nc = { default = \"1\" }",
            "all = \"{{ a }}-{{b}}-{{ c }}.\"",
            "http://{{ a }}:80",
        );
        let environment = environment(
            &[("c", "3")],
            &[
                ("SPIN_VARIABLE_B", "2"),
                ("SPIN_VARIABLE_C", "2"),
                ("B", "9"),
            ],
        );
        let resolved = resolve(&app, &environment).unwrap();
        assert_eq!(resolved.component["all"], "1-2-3.");
        let [host] = resolved.allowed_outbound_hosts.as_slice() else {
            panic!("one host");
        };
        assert_eq!(host.value, "http://1:80");
        assert_eq!(host.remedy(), " (set by SPIN_VARIABLE_A, see [variables])");
        assert_eq!(Filled::plain("http://x").remedy(), "");
    }

    #[test]
    fn every_missing_variable_is_named_with_what_sets_it() {
        let app = app(
            "first_one = { required = true }\nsecond = { required = true }",
            "",
            "http://x",
        );
        let error = resolve(&app, &environment(&[("typo", "")], &[]))
            .unwrap_err()
            .to_string();
        for part in [
            "SPIN_VARIABLE_FIRST_ONE",
            "SPIN_VARIABLE_SECOND",
            "--variable typo",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_filled_is_named() {
        for (template, expected) in [
            ("{{ other }}", "names no variable of [variables]"),
            ("{{ a", "not closed"),
            ("{{ }}", "names no variable"),
        ] {
            let app = app(
                "a = { default = \"1\" }",
                &format!("x = \"{template}\""),
                "http://x",
            );
            let error = format!("{:#}", resolve(&app, &environment(&[], &[])).unwrap_err());
            assert!(
                error.contains(expected) && error.contains("[component.c.variables] x"),
                "{error}"
            );
        }
    }

    #[test]
    fn values_are_not_templates_themselves() {
        let app = app(
            "a = { default = \"{{ b }}\" }",
            "x = \"{{ a }}\"",
            "http://x",
        );
        let resolved = resolve(&app, &environment(&[], &[])).unwrap();
        assert_eq!(resolved.component["x"], "{{ b }}");
    }
}
