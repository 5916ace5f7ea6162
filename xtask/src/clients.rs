//! The environments in which tests drive real client libraries, of Python and of Node.
//!
//! They live in `target/`, so that nothing is installed for the user. What is installed is as a list in `tests/clients`
//! says if the copy of that file in the environment is equal to it; the copy is written last, so that an interrupted
//! installation does not count.

use crate::command::{capture, program, run};
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

const REQUIREMENTS: &str = "tests/clients/requirements.txt";
const PACKAGES: &str = "tests/clients/package.json";
/// Below `target/`.
const ENVIRONMENT: &str = "clients/python";
const MODULES: &str = "clients/node";

/// Makes sure that both environments are there, and returns the Python interpreter's absolute path, and the folder that has
/// Node's packages.
pub(crate) fn prepare() -> Result<(PathBuf, PathBuf)> {
    Ok((prepare_python()?, prepare_node()?))
}

fn prepare_node() -> Result<PathBuf> {
    let packages = workspace::root().join(PACKAGES);
    let wanted = fs::read(&packages).with_context(|| format!("cannot read {PACKAGES}"))?;
    let folder = workspace::target(MODULES);
    let installed = folder.join("installed.json");
    if is_as_wanted(&installed, &wanted) {
        eprintln!("    {} is up to date.", folder.display());
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), &wanted)?;
    run(program("npm")
        .args([
            "install",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--silent",
        ])
        .current_dir(&folder))
    .context(
        "the client tests need Node 20 or newer with npm (on Debian: apt-get install nodejs npm)",
    )?;
    fs::write(installed, wanted)?;
    Ok(folder)
}

fn prepare_python() -> Result<PathBuf> {
    let requirements = workspace::root().join(REQUIREMENTS);
    let wanted = fs::read(&requirements).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let environment = workspace::target(ENVIRONMENT);
    let python = environment.join("bin/python");
    let installed = environment.join("requirements.txt");

    if is_as_wanted(&installed, &wanted) && works(&python) {
        eprintln!("    {} is up to date.", environment.display());
        return Ok(python);
    }
    if installed.exists() {
        fs::remove_file(&installed)?;
    }
    run(program("python3").args(["-m", "venv", "--clear"]).arg(&environment)).context(
        "the client tests need Python 3 with its venv module (on Debian: apt-get install python3-venv)",
    )?;
    run(program(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&requirements))
    .context("the Python clients cannot be installed")?;
    fs::write(&installed, wanted)?;
    Ok(python)
}

fn is_as_wanted(installed: &Path, wanted: &[u8]) -> bool {
    fs::read(installed).is_ok_and(|installed| installed == wanted)
}

/// An environment breaks when the Python that it was made with is removed.
fn works(python: &Path) -> bool {
    capture(program(python).arg("--version")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_counts_only_while_the_requirements_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let installed = folder.path().join("requirements.txt");
        assert!(!is_as_wanted(&installed, b"openai==2.0\n"));
        fs::write(&installed, "openai==2.0\n").unwrap();
        assert!(is_as_wanted(&installed, b"openai==2.0\n"));
        assert!(!is_as_wanted(&installed, b"openai==2.1\n"));
    }
}
