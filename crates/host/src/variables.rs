//! Values of variables, from the first of: `--variable`, the environment, a `.env` file, the manifest's default.
//! `--variable NAME=@FILE` takes a file's content, and `--variable @FILE` the names and values of a JSON or TOML file.
//!
//! As with Spin, an application variable `my_token` is `SPIN_VARIABLE_MY_TOKEN` outside, and the component sees what
//! its own table makes of them by templates such as `"{{ my_token }}"`.

use crate::bindings::variables::{Error, Host, HostWithStore};
use crate::manifest::App;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::Path;
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
    /// Reads the environment, the `.env` file of the current folder, and the `--variable` arguments.
    ///
    /// # Errors
    /// An argument of another form, a file that cannot be read, or a value that is not UTF-8. Values are not repeated.
    pub(crate) fn read(arguments: &[String]) -> Result<Self> {
        let mut read = Self::default();
        for argument in arguments {
            read.add_argument(argument)?;
        }
        match std::fs::read_to_string(ENV_FILE) {
            Ok(text) => read.add_env_file(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
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

    fn add_argument(&mut self, argument: &str) -> Result<()> {
        let read = |file: &str| {
            std::fs::read_to_string(file)
                .map_err(|error| anyhow!("--variable cannot read {file}: {error}"))
        };
        if let Some(file) = argument.strip_prefix('@') {
            // The libraries' messages quote the file.
            let values: HashMap<String, String> = match Path::new(file).extension() {
                Some(kind) if kind == "json" => serde_json::from_str(&read(file)?)
                    .map_err(|error| anyhow!("line {} is wrong", error.line())),
                Some(kind) if kind == "toml" => {
                    toml::from_str(&read(file)?).map_err(|error| anyhow!("{}", error.message()))
                }
                _ => bail!("--variable @{file}: the file must end in .json or .toml"),
            }
            .with_context(|| {
                format!("--variable @{file} must hold names and values, all of them texts")
            })?;
            self.arguments.extend(values);
            return Ok(());
        }
        let (name, value) = argument.split_once('=').with_context(|| {
            format!(
                "--variable needs NAME=VALUE, NAME=@FILE or @FILE; there is no `=` after {} characters",
                argument.chars().count()
            )
        })?;
        let value = match value.strip_prefix('@') {
            // As it is, a newline at its end included.
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
                // The library's message repeats the line, which may hold a secret.
                Err(dotenvy::Error::LineParse(bad, _)) => bail!(
                    "{ENV_FILE}, line {}, is not NAME=VALUE; quote values with spaces or #",
                    line_of(text, &bad)
                ),
                Err(_) => bail!("{ENV_FILE} cannot be read"),
            }
        }
        Ok(())
    }

    /// What is set for variables that the manifest does not have, for a warning each. As with Spin, it is ignored.
    pub(crate) fn unknown(&self, app: &App) -> Vec<String> {
        let is_known = |outside_name: &str| {
            app.variables
                .keys()
                .any(|name| outside(name) == outside_name)
        };
        let arguments = self.arguments.keys();
        let environment = self.environment.keys();
        let mut unknown: Vec<String> = arguments
            .filter(|name| !app.variables.contains_key(*name))
            .map(|name| format!("--variable {name}"))
            .chain(
                environment
                    .filter(|name| name.starts_with(PREFIX) && !is_known(name))
                    .cloned(),
            )
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

/// The number of the line that `bad` is of: a whole entry, or its value.
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
        let error = resolve(&app, &environment(&[], &[]))
            .unwrap_err()
            .to_string();
        for part in ["SPIN_VARIABLE_FIRST_ONE", "SPIN_VARIABLE_SECOND"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn names_that_the_manifest_does_not_have_are_told_without_their_values() {
        let app = app("token = { default = \"\" }", "", "http://x");
        let environment = environment(
            &[("token", "s3cret"), ("typo", "s3cret")],
            &[
                ("SPIN_VARIABLE_TOKEN", "s3cret"),
                ("SPIN_VARIABLE_TOKNE", "s3cret"),
                ("SPIN_VARIABLE_token", "s3cret"),
                ("OTHER", "s3cret"),
            ],
        );
        let ignored = |what: &str| {
            format!("{what} is ignored: the manifest has no such variable in [variables]")
        };
        assert_eq!(
            environment.unknown(&app),
            [
                ignored("--variable typo"),
                ignored("SPIN_VARIABLE_TOKNE"),
                ignored("SPIN_VARIABLE_token"),
            ]
        );
    }

    #[test]
    fn an_argument_may_name_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (value, json, toml) = (
            file("value", "of a file\n"),
            file("values.json", r#"{"b": "2"}"#),
            file("values.toml", "c = \"3\""),
        );
        let mut environment = Environment::default();
        for argument in [
            format!("a=@{value}"),
            format!("@{json}"),
            format!("@{toml}"),
        ] {
            environment.add_argument(&argument).unwrap();
        }
        assert_eq!(environment.get("a"), Some("of a file\n"));
        assert_eq!(environment.get("b"), Some("2"));
        assert_eq!(environment.get("c"), Some("3"));

        for (argument, expected) in [
            ("s3cret".to_owned(), "NAME=VALUE"),
            (format!("@{value}"), ".json or .toml"),
            ("a=@no/such/file".to_owned(), "no/such/file"),
            (
                format!("@{}", file("bad.json", "{\n\"a\": s3cret}")),
                "line 2",
            ),
            (
                format!("@{}", file("bad.toml", "a = s3cret")),
                "names and values",
            ),
            (
                format!("@{}", file("numbers.json", r#"{"a": 1}"#)),
                "names and values",
            ),
        ] {
            let error = format!("{:#}", environment.add_argument(&argument).unwrap_err());
            assert!(error.contains(expected), "{argument}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_bad_line_of_the_env_file_is_named_by_its_number() {
        for (text, line) in [
            ("no assignment\n", 1),
            ("# s3cret\nA=1\n\n  s3cret\nB=2\n", 4),
            ("A=1\nB=\"s3cret\n", 2),
            ("A=\"1\n2\"\nB=a s3cret\n", 3),
        ] {
            let mut environment = Environment::default();
            let error = environment.add_env_file(text).unwrap_err().to_string();
            assert!(
                error.contains(&format!(".env, line {line},")),
                "{text:?}: {error}"
            );
            assert!(!error.contains("s3cret"), "{error}");
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
