//! `spin.toml`, manifest version 2, as far as this host can serve it.
//!
//! Features that only Spin has are rejected with the advice to use Spin: a manifest that is served
//! in part would fail later, and less clearly.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The application to serve.
#[derive(Debug)]
pub(crate) struct App {
    /// The name.
    pub(crate) name: String,
    /// The version, if there is one.
    pub(crate) version: Option<String>,
    /// The application's variables, by name.
    pub(crate) variables: BTreeMap<String, Variable>,
    /// The component's name.
    pub(crate) component_id: String,
    /// The component's `.wasm` file.
    pub(crate) source: PathBuf,
    /// The component's variables: templates over those of the application.
    pub(crate) component_variables: BTreeMap<String, String>,
    /// The component's environment variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// Templates of the hosts that the component may call.
    pub(crate) allowed_outbound_hosts: Vec<String>,
    /// The databases that the component may open.
    pub(crate) sqlite_databases: Vec<String>,
}

/// A variable of the application.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    /// The value if nothing sets it.
    #[serde(default)]
    pub(crate) default: Option<String>,
    /// Whether it must be set.
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default, rename = "secret")]
    _secret: bool,
    #[serde(default, rename = "description")]
    _description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "spin_manifest_version")]
    _spin_manifest_version: i64,
    application: Application,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    #[serde(default)]
    trigger: BTreeMap<String, Vec<Trigger>>,
    #[serde(default)]
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
struct Application {
    name: String,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Trigger {
    route: toml::Value,
    component: toml::Value,
    executor: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    source: toml::Value,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    sqlite_databases: Vec<String>,
    // Not relevant to a host.
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(rename = "build")]
    _build: Option<toml::Value>,
    #[serde(rename = "tool")]
    _tool: Option<toml::Value>,
    #[serde(rename = "targets")]
    _targets: Option<toml::Value>,
    #[serde(rename = "profile")]
    _profile: Option<toml::Value>,
    // Not supported by this host.
    files: Option<toml::Value>,
    key_value_stores: Option<toml::Value>,
    ai_models: Option<toml::Value>,
    allowed_http_hosts: Option<toml::Value>,
    dependencies: Option<toml::Value>,
    #[serde(rename = "exclude_files")]
    _exclude_files: Option<toml::Value>,
    #[serde(rename = "dependencies_inherit_configuration")]
    _dependencies_inherit_configuration: Option<toml::Value>,
}

/// Reads and checks a manifest.
///
/// # Errors
/// It is missing, not a manifest of version 2, or needs features that this host lacks. The message
/// names the file and the remedy.
pub(crate) fn load(path: &Path) -> Result<App> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read the manifest {} (choose another one with --from)",
            path.display()
        )
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder).with_context(|| path.display().to_string())
}

fn parse(text: &str, folder: &Path) -> Result<App> {
    // The version first: other versions have other fields.
    let version = toml::from_str::<toml::Table>(text)?
        .get("spin_manifest_version")
        .and_then(toml::Value::as_integer);
    match version {
        Some(2) => {}
        Some(version) => bail!("spin_manifest_version is {version}; this host reads version 2"),
        None => bail!("there is no `spin_manifest_version = 2`, so this is not a Spin manifest"),
    }
    let mut manifest: Manifest = toml::from_str(text)?;

    for (name, variable) in &manifest.variables {
        ensure!(
            variable.required != variable.default.is_some(),
            "the variable {name} must have either a default or `required = true`"
        );
    }
    let component_id = served_component(&manifest.trigger)?;
    let Some(component) = manifest.component.remove(&component_id) else {
        bail!(
            "[[trigger.http]] names the component {component_id}, but [component.{component_id}] \
             is missing"
        );
    };
    component.check_supported(&component_id)?;
    let toml::Value::String(source) = &component.source else {
        bail!(
            "[component.{component_id}] source must be the path of a .wasm file; `spin up` can \
             fetch others"
        );
    };
    for database in &component.sqlite_databases {
        ensure!(
            database == "default",
            "[component.{component_id}] sqlite_databases: this host has only the database \
             \"default\", not {database:?}; use `spin up` with a runtime configuration"
        );
    }
    Ok(App {
        name: manifest.application.name,
        version: manifest.application.version,
        variables: manifest.variables,
        source: folder.join(source),
        component_variables: component.variables,
        environment: component.environment,
        allowed_outbound_hosts: component.allowed_outbound_hosts,
        sqlite_databases: component.sqlite_databases,
        component_id,
    })
}

/// The component of the only trigger.
fn served_component(triggers: &BTreeMap<String, Vec<Trigger>>) -> Result<String> {
    let other = triggers.keys().find(|kind| *kind != "http");
    if let Some(kind) = other {
        bail!("this host does not support the trigger {kind:?}, only \"http\"; use `spin up`");
    }
    let http: Vec<&Trigger> = triggers.values().flatten().collect();
    let [trigger] = http.as_slice() else {
        bail!(
            "this host serves exactly one [[trigger.http]], not {}; use `spin up`",
            http.len()
        );
    };
    ensure!(
        trigger.route.as_str() == Some("/..."),
        "this host serves only the route \"/...\", not {}; use `spin up`",
        trigger.route
    );
    ensure!(
        trigger.executor.is_none(),
        "this host supports only Spin's default executor; use `spin up`"
    );
    match &trigger.component {
        toml::Value::String(id) => Ok(id.clone()),
        _ => bail!("[[trigger.http]] component must be a component's name"),
    }
}

impl Component {
    fn check_supported(&self, id: &str) -> Result<()> {
        for (field, value) in [
            ("files", &self.files),
            ("key_value_stores", &self.key_value_stores),
            ("ai_models", &self.ai_models),
            ("allowed_http_hosts", &self.allowed_http_hosts),
            ("dependencies", &self.dependencies),
        ] {
            ensure!(
                value.is_none(),
                "[component.{id}] {field} is not supported by this host; use `spin up`"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_error;

    const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "app"
version = "1.0.0"
[variables]
token = { default = "", secret = true }
must = { required = true }
[[trigger.http]]
route = "/..."
component = "the-one"
[component.the-one]
source = "target/the_one.wasm"
sqlite_databases = ["default"]
allowed_outbound_hosts = ["{{ token }}"]
[component.the-one.variables]
token = "{{ token }}"
[component.the-one.build]
command = "cargo build"
"#;

    #[test]
    fn paths_are_relative_to_the_manifest() {
        let app = parse(MANIFEST, Path::new("some/folder")).unwrap();
        assert_eq!(
            (app.name.as_str(), app.version.as_deref()),
            ("app", Some("1.0.0"))
        );
        assert_eq!(app.component_id, "the-one");
        assert_eq!(app.source, Path::new("some/folder/target/the_one.wasm"));
        assert_eq!(app.sqlite_databases, ["default"]);
        assert_eq!(app.component_variables["token"], "{{ token }}");
        assert_eq!(app.variables["token"].default.as_deref(), Some(""));
        assert!(app.variables["must"].required);
    }

    #[test]
    fn rejects_invalid_and_unsupported_manifests() {
        for (from, to, expected) in [
            ("spin_manifest_version = 2", "", "not a Spin manifest"),
            ("version = 2", "version = 1", "version 2"),
            ("[application]", "[application", "line"),
            (
                "sqlite_databases",
                "sqlite_database",
                "unknown field `sqlite_database`",
            ),
            (
                "component = \"the-one\"",
                "component = \"other\"",
                "[component.other] is missing",
            ),
            (
                "component = \"the-one\"",
                "component = 3",
                "must be a component's name",
            ),
            (
                "trigger.http",
                "trigger.redis",
                "does not support the trigger \"redis\"",
            ),
            (
                "\"/...\"",
                "\"/api\"",
                "only the route \"/...\", not \"/api\"",
            ),
            ("[\"default\"]", "[\"other\"]", "not \"other\""),
            (
                "source = \"target/the_one.wasm\"",
                "source = { url = \"x\" }",
                "path of a .wasm file",
            ),
            (
                "sqlite_databases = [\"default\"]",
                "key_value_stores = [\"default\"]",
                "key_value_stores is not supported",
            ),
            (
                "{ required = true }",
                "{ required = true, default = \"x\" }",
                "the variable must",
            ),
            ("{ required = true }", "{}", "either a default or"),
            (
                "[[trigger.http]]",
                "[[trigger.http]]\nroute = \"/x\"\ncomponent = \"the-one\"\n[[trigger.http]]",
                "exactly one",
            ),
        ] {
            assert!(MANIFEST.contains(from), "{from}");
            let changed = MANIFEST.replace(from, to);
            assert_error(parse(&changed, Path::new("")), &[expected]);
        }
    }
}
