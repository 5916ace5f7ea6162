//! The environments in which tests drive real client libraries, of Python and of Node, and a browser.
//!
//! They live in `target/`, so that nothing is installed for the user, but for a browser where there is none: only root, as
//! in a container, gets Debian's. Python has two, since it cannot have two versions of a
//! package in one: the newest clients, and the majors before them. What is installed is as a list in `tests/clients`
//! says if the copy of that file in the environment is equal to it; the copy is written last, so that an interrupted
//! installation does not count.

use crate::command::{capture, program, run};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

const NEWEST: Environment = Environment {
    requirements: "tests/clients/requirements.txt",
    folder: "clients/python",
};
const PREVIOUS: Environment = Environment {
    requirements: "tests/clients/requirements-previous.txt",
    folder: "clients/python-previous",
};
const PACKAGES: &str = "tests/clients/package.json";
/// Below `target/`.
const MODULES: &str = "clients/node";

/// An environment of Python.
struct Environment {
    requirements: &'static str,
    /// Below `target/`.
    folder: &'static str,
}

/// Where the environments are, as absolute paths.
pub(crate) struct Prepared {
    /// The interpreter that has the newest clients.
    pub(crate) python: PathBuf,
    /// The interpreter that has the majors before them.
    pub(crate) previous_python: PathBuf,
    /// The folder that has Node's packages.
    pub(crate) node: PathBuf,
    /// The program that is Chromium.
    pub(crate) browser: PathBuf,
}

/// Makes sure that the environments are there.
pub(crate) fn prepare() -> Result<Prepared> {
    Ok(Prepared {
        python: prepare_python(&NEWEST)?,
        previous_python: prepare_python(&PREVIOUS)?,
        node: prepare_node()?,
        browser: prepare_browser()?,
    })
}

fn prepare_browser() -> Result<PathBuf> {
    let chosen = std::env::var_os("KEYPOOL_TEST_BROWSER").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome"].map(PathBuf::from);
    let mut browsers = chosen.into_iter().chain(names);
    if let Some(browser) = browsers.find(|browser| works(browser)) {
        return Ok(browser);
    }
    let is_root = capture(program("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !is_root || !works(Path::new("apt-get")) {
        bail!(
            "one test needs Chromium: install it (on Debian: apt-get install chromium), or name it in KEYPOOL_TEST_BROWSER"
        );
    }
    run(program("apt-get").args(["update", "--quiet"]))?;
    let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
    run(program("apt-get")
        .args(install)
        .arg("chromium")
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(PathBuf::from("chromium"))
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
            // What packages do on their own would compile what no test uses.
            "--ignore-scripts",
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

fn prepare_python(environment: &Environment) -> Result<PathBuf> {
    let name = environment.requirements;
    let requirements = workspace::root().join(name);
    let wanted = fs::read(&requirements).with_context(|| format!("cannot read {name}"))?;
    let environment = workspace::target(environment.folder);
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
            // Most of it is never imported.
            "--no-compile",
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

/// An environment of Python breaks when the Python that it was made with is removed.
fn works(name: &Path) -> bool {
    capture(program(name).arg("--version")).is_ok()
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
