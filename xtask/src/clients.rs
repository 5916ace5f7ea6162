//! The client libraries for Python and Node, the browser, and Prometheus's `promtool` that the tests
//! drive.
//!
//! They are installed below `target/`, except for the browser: if there is none, root, as in a
//! container, gets Debian's. `promtool` is extracted from Debian's package, which does not require
//! root. Python has two environments, with the newest clients and the major
//! versions before them. An environment is complete if it has a copy of its list in
//! `tests/clients`; the copy is written last, so that an interrupted installation is repeated.

use crate::command::{capture, on_path, program, run};
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
/// Where Debian's package is unpacked, below `target/`.
const PROMTOOL: &str = "promtool";

/// A Python environment.
struct Environment {
    requirements: &'static str,
    /// Below `target/`.
    folder: &'static str,
}

/// Absolute paths of the environments.
pub(crate) struct Prepared {
    /// The interpreter with the newest clients.
    pub(crate) python: PathBuf,
    /// The interpreter with the previous major versions.
    pub(crate) previous_python: PathBuf,
    /// The folder with Node's packages.
    pub(crate) node: PathBuf,
    /// The Chromium program.
    pub(crate) browser: PathBuf,
    /// Prometheus's `promtool`.
    pub(crate) promtool: PathBuf,
}

/// Installs what is missing.
pub(crate) fn prepare() -> Result<Prepared> {
    Ok(Prepared {
        python: prepare_python(&NEWEST)?,
        previous_python: prepare_python(&PREVIOUS)?,
        node: prepare_node()?,
        browser: prepare_browser()?,
        promtool: prepare_promtool()?,
    })
}

fn prepare_promtool() -> Result<PathBuf> {
    let folder = workspace::target(PROMTOOL);
    let unpacked = folder.join("usr/bin/promtool");
    let chosen = std::env::var_os("KEYPOOL_TEST_PROMTOOL").map(PathBuf::from);
    let mut found = chosen
        .into_iter()
        .chain(on_path("promtool"))
        .chain([unpacked.clone()]);
    if let Some(promtool) = found.find(|promtool| works(promtool)) {
        return Ok(promtool);
    }
    let advice = "a test needs promtool: install Prometheus (on Debian: apt-get install \
                  prometheus), or name promtool in KEYPOOL_TEST_PROMTOOL";
    if !works(Path::new("apt-get")) {
        bail!(advice);
    }
    // With lists of packages of its own, `apt-get` needs no root.
    let option = |name: &str, folder: &Path| format!("{name}={}", folder.display());
    let lists = option("Dir::State::Lists", &folder.join("lists"));
    let cache = option("Dir::Cache", &folder.join("cache"));
    let apt = |arguments: &[&str]| {
        run(program("apt-get")
            .args(["--quiet", "-o", &lists, "-o", &cache])
            .args(arguments)
            .current_dir(&folder))
        .context(advice)
    };
    fs::create_dir_all(folder.join("lists"))?;
    fs::create_dir_all(folder.join("cache"))?;
    apt(&["update"])?;
    apt(&["download", "prometheus"])?;
    for entry in fs::read_dir(&folder)? {
        let package = entry?.path();
        if package.extension().is_some_and(|it| it == "deb") {
            run(program("dpkg-deb").arg("-x").args([&package, &folder])).context(advice)?;
            fs::remove_file(package)?;
        }
    }
    if !works(&unpacked) {
        bail!("Debian's package has no promtool that works here; {advice}");
    }
    Ok(unpacked)
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
            "a test needs Chromium: install it (on Debian: apt-get install chromium), \
             or name it in KEYPOOL_TEST_BROWSER"
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

pub(crate) fn prepare_node() -> Result<PathBuf> {
    let packages = workspace::root().join(PACKAGES);
    let wanted = fs::read(&packages).with_context(|| format!("cannot read {PACKAGES}"))?;
    let folder = workspace::target(MODULES);
    let installed = folder.join("installed.json");
    if is_up_to_date(&installed, &wanted) {
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
            // Install scripts compile code that no test uses.
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

    if is_up_to_date(&installed, &wanted) && works(&python) {
        eprintln!("    {} is up to date.", environment.display());
        return Ok(python);
    }
    if installed.exists() {
        fs::remove_file(&installed)?;
    }
    run(program("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment))
    .context(
        "the client tests need Python 3 with venv (on Debian: apt-get install python3-venv)",
    )?;
    run(program(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            // Most modules are never imported.
            "--no-compile",
            "--requirement",
        ])
        .arg(&requirements))
    .context("cannot install the Python clients")?;
    fs::write(&installed, wanted)?;
    Ok(python)
}

fn is_up_to_date(installed: &Path, wanted: &[u8]) -> bool {
    fs::read(installed).is_ok_and(|installed| installed == wanted)
}

/// A Python environment breaks when the Python that created it is removed.
fn works(name: &Path) -> bool {
    capture(program(name).arg("--version")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_outdated_when_its_list_changes() {
        let folder = tempfile::tempdir().unwrap();
        let installed = folder.path().join("requirements.txt");
        assert!(!is_up_to_date(&installed, b"openai==2.0\n"));
        fs::write(&installed, "openai==2.0\n").unwrap();
        assert!(is_up_to_date(&installed, b"openai==2.0\n"));
        assert!(!is_up_to_date(&installed, b"openai==2.1\n"));
    }
}
