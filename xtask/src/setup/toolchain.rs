//! The Rust compiler in use, and its folder of targets.

use crate::command::{capture, program};
use crate::workspace::TARGET;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// A compiler and where it keeps the standard library of each target.
pub(super) struct Toolchain {
    /// As in `1.95.0`; a nightly has a suffix.
    pub(super) version: String,
    /// The compiler's build, as Git's hash of its source.
    pub(super) commit: String,
    pub(super) sysroot: PathBuf,
}

impl Toolchain {
    /// Asks rustc.
    pub(super) fn find() -> Result<Self> {
        let about = capture(rustc().args(["--version", "--verbose"]))?;
        let sysroot = capture(rustc().args(["--print", "sysroot"]))?;
        Ok(Self {
            version: field(&about, "release")?.to_owned(),
            commit: field(&about, "commit-hash")?.to_owned(),
            sysroot: sysroot.trim().into(),
        })
    }

    /// Compiles and links an empty crate. Takes a fraction of a second.
    ///
    /// # Errors
    /// What rustc says.
    pub(super) fn links_for_wasm(&self) -> Result<()> {
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        let source = scratch.path().join("empty.rs");
        fs::write(&source, "//! Nothing.\n")?;
        capture(
            rustc()
                .args(["--target", TARGET, "--crate-type", "cdylib", "--out-dir"])
                .arg(scratch.path())
                .arg(&source),
        )?;
        Ok(())
    }

    /// The folder that has one folder per target.
    pub(super) fn targets(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }

    /// Whether this user may add a target.
    ///
    /// # Errors
    /// They may not, or the folder is not there.
    pub(super) fn check_writable(&self) -> Result<()> {
        let targets = self.targets();
        tempfile::tempdir_in(&targets)
            .with_context(|| format!("{} cannot be written to by this user", targets.display()))?;
        Ok(())
    }

    /// Moves the target's folder out of the way if rustup does not know of it, and it is no use as it is.
    pub(super) fn set_aside_foreign_target(&self) -> Result<Aside> {
        let folder = self.targets().join(TARGET);
        let manifest = self.targets().join(format!("manifest-rust-std-{TARGET}"));
        if manifest.exists() || !folder.exists() {
            return Ok(Aside(None));
        }
        let aside = self.targets().join(format!(".{TARGET}.aside"));
        // Of an earlier run that was killed.
        remove_if_there(&aside)?;
        fs::rename(&folder, &aside)
            .with_context(|| format!("cannot move {} aside", folder.display()))?;
        Ok(Aside(Some((aside, folder))))
    }

    /// Puts a folder in the target's place, in one step, so that nobody ever sees half of it.
    ///
    /// `fill` gets an empty folder on the same file system to write everything to.
    pub(super) fn install_target(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let staging = tempfile::Builder::new()
            .prefix(".installing-")
            .tempdir_in(self.targets())?;
        // `tempdir` makes folders for one user, but a compiler can be everybody's.
        let new = staging.path().join(TARGET);
        fs::create_dir(&new)?;
        fill(&new)?;

        let aside = self.set_aside_foreign_target()?;
        let folder = self.targets().join(TARGET);
        fs::rename(&new, &folder)
            .with_context(|| format!("cannot move the target to {}", folder.display()))?;
        aside.discard()
    }
}

/// A folder that was moved away. It comes back when this is dropped, unless something took its place.
#[must_use]
pub(super) struct Aside(Option<(PathBuf, PathBuf)>);

impl Aside {
    /// Deletes the folder: it has been replaced.
    pub(super) fn discard(mut self) -> Result<()> {
        match self.0.take() {
            Some((aside, _)) => remove_if_there(&aside),
            None => Ok(()),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some((aside, folder)) = self.0.take()
            && let Err(error) = fs::rename(&aside, &folder)
        {
            eprintln!(
                "    {} stays at {}: {error}",
                folder.display(),
                aside.display()
            );
        }
    }
}

fn rustc() -> std::process::Command {
    program(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn remove_if_there(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// The value in a line `name: value` of `rustc --version --verbose`.
fn field<'a>(about: &'a str, name: &str) -> Result<&'a str> {
    for line in about.lines() {
        if let Some((key, value)) = line.split_once(": ")
            && key == name
        {
            return Ok(value.trim());
        }
    }
    bail!("`rustc --version --verbose` does not say its {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\ncommit-hash: 59807616e1fa\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";

    fn toolchain(sysroot: &Path) -> Toolchain {
        fs::create_dir_all(sysroot.join("lib/rustlib")).unwrap();
        Toolchain {
            version: "1.95.0".to_owned(),
            commit: "59807616e1fa".to_owned(),
            sysroot: sysroot.to_owned(),
        }
    }

    #[test]
    fn the_release_and_the_commit_are_read_from_rustc() {
        assert_eq!(field(ABOUT, "release").unwrap(), "1.95.0");
        assert_eq!(field(ABOUT, "commit-hash").unwrap(), "59807616e1fa");
        assert!(field(ABOUT, "colour").is_err());
    }

    #[test]
    fn an_installed_target_replaces_a_foreign_one_and_leaves_nothing_else() {
        let sysroot = tempfile::tempdir().unwrap();
        let toolchain = toolchain(sysroot.path());
        let target = toolchain.targets().join(TARGET);
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();

        toolchain
            .install_target(|folder| Ok(fs::write(folder.join("new"), "")?))
            .unwrap();

        assert_eq!(names(&target), ["new"]);
        assert_eq!(names(&toolchain.targets()), [TARGET]);
    }

    #[test]
    fn a_failed_installation_leaves_the_sysroot_as_it_was() {
        let sysroot = tempfile::tempdir().unwrap();
        let toolchain = toolchain(sysroot.path());
        let target = toolchain.targets().join(TARGET);
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();

        let result = toolchain.install_target(|folder| {
            fs::write(folder.join("half"), "")?;
            bail!("disk full")
        });

        assert!(result.is_err());
        assert_eq!(names(&target), ["old"]);
        assert_eq!(names(&toolchain.targets()), [TARGET]);
    }

    #[test]
    fn a_folder_set_aside_comes_back_when_nothing_replaced_it() {
        let sysroot = tempfile::tempdir().unwrap();
        let toolchain = toolchain(sysroot.path());
        fs::create_dir(toolchain.targets().join(TARGET)).unwrap();

        let aside = toolchain.set_aside_foreign_target().unwrap();
        assert!(!toolchain.targets().join(TARGET).exists());
        drop(aside);

        assert_eq!(names(&toolchain.targets()), [TARGET]);
    }

    #[test]
    fn what_rustup_installed_stays_where_it_is() {
        let sysroot = tempfile::tempdir().unwrap();
        let toolchain = toolchain(sysroot.path());
        fs::create_dir(toolchain.targets().join(TARGET)).unwrap();
        let manifest = format!("manifest-rust-std-{TARGET}");
        fs::write(toolchain.targets().join(manifest), "").unwrap();

        let _aside = toolchain.set_aside_foreign_target().unwrap();

        assert!(toolchain.targets().join(TARGET).exists());
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
