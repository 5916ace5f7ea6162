//! The binaries that are measured, and the folder for what a run writes.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

const HOST: &str = "keypool";
const COMPONENT: &str = "gemini_keypool.wasm";
const MANIFEST: &str = "spin.toml";
/// The component's path in the project's manifest.
const BUILT_COMPONENT: &str = "target/wasm32-wasip2/component/gemini_keypool.wasm";

/// A host and the manifest of the component that it runs.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) host: PathBuf,
    pub(crate) manifest: PathBuf,
}

/// Everything that a run can start.
#[derive(Debug)]
pub(crate) struct Builds {
    pub(crate) this: Build,
    /// The build of `--against`.
    pub(crate) other: Option<Build>,
    /// This build's host with the component that only forwards.
    pub(crate) bare: Build,
}

impl Builds {
    /// Finds this build below the project's `target`, and the other one in `against`.
    pub(crate) fn find(project: &Path, against: Option<&Path>, scratch: &Path) -> Result<Self> {
        let this = Build {
            host: project.join("target/release").join(HOST),
            manifest: project.join(MANIFEST),
        };
        Ok(Self {
            other: against
                .map(|folder| other_build(project, folder, &this, scratch))
                .transpose()?,
            bare: Build {
                host: this.host.clone(),
                manifest: project.join("crates/bare-proxy").join(MANIFEST),
            },
            this,
        })
    }
}

fn other_build(project: &Path, folder: &Path, this: &Build, scratch: &Path) -> Result<Build> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("--against {}", folder.display()))?;
    let given = |name| Some(folder.join(name)).filter(|file| file.is_file());
    let (host, component) = (given(HOST), given(COMPONENT));
    ensure!(
        host.is_some() || component.is_some(),
        "{} has neither {HOST} nor {COMPONENT}",
        folder.display()
    );
    let component = component.unwrap_or_else(|| project.join(BUILT_COMPONENT));
    let manifest = given(MANIFEST).unwrap_or_else(|| this.manifest.clone());
    let text = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let rewritten = scratch.join("against.toml");
    std::fs::write(&rewritten, with_source(&text, &component))?;
    Ok(Build {
        host: host.unwrap_or_else(|| this.host.clone()),
        manifest: rewritten,
    })
}

/// The manifest with another component.
fn with_source(manifest: &str, component: &Path) -> String {
    let line = |line: &str| match line.starts_with("source = ") {
        true => format!("source = {:?}\n", component.display().to_string()),
        false => format!("{line}\n"),
    };
    manifest.lines().map(line).collect()
}

/// Creates `target/bench`, which holds the report and the state of running services.
pub(crate) fn scratch_folder(project: &Path) -> Result<PathBuf> {
    let folder = project.join("target/bench");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_of_the_other_build_names_its_component() {
        let manifest = "[component.x]\nsource = \"target/this.wasm\"\nkey = 1\n";
        assert_eq!(
            with_source(manifest, Path::new("/base/that.wasm")),
            "[component.x]\nsource = \"/base/that.wasm\"\nkey = 1\n"
        );
    }
}
