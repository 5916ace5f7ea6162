//! The target's standard library from Debian's packages, for machines that reach a Debian mirror but not rustup's
//! server.
//!
//! Debian packages the library's source for some compiler versions (`rust-src`) and the C library below it
//! (`wasi-libc`). From both, the compiler at hand builds what rustup would have downloaded. Three rules:
//! - No host is written here: the mirror is the one that apt already uses, with apt's own proxies and signatures.
//! - Nothing is installed system-wide: the packages are unpacked in a temporary folder, so root is not needed where
//!   the compiler belongs to the user.
//! - The compiler's folder changes last, in one step, so that an interrupted run leaves it as it was.

use super::toolchain::Toolchain;
use crate::command::{capture, cargo_program, program};
use crate::signals::Hold;
use crate::workspace::TARGET;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Where to look, in this order: the suite that carries new compilers to the stable release, then the one that gets
/// them first.
pub(super) const SUITES: [&str; 2] = ["trixie-backports", "sid"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The scratch crate, whose own library must not end up among the standard ones.
const SCRATCH: &str = "only_std";

/// Builds the standard library for [`TARGET`] and puts it into the compiler's folder.
pub(super) fn install(toolchain: &Toolchain, hold: &Hold) -> Result<()> {
    capture(program("apt-get").arg("--version"))
        .context("this way needs Debian's package manager")?;
    ensure!(
        Path::new(KEYRING).exists(),
        "{KEYRING} is missing, with which Debian's packages are checked (package debian-archive-keyring)"
    );
    toolchain.check_writable()?;

    let work = tempfile::Builder::new()
        .prefix("keypool-setup-")
        // apt downloads as a user of its own.
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .context("cannot make a temporary folder")?;
    let packages = download(toolchain, &work, hold)?;
    hold.check()?;

    step("Building the standard library, about a minute");
    let libraries = build_std(toolchain, &packages, &work)?;
    hold.check()?;

    step(&format!(
        "Copying it to {}",
        toolchain.targets().join(TARGET).display()
    ));
    toolchain.install_target(|folder| {
        let lib = folder.join("lib");
        let self_contained = lib.join("self-contained");
        fs::create_dir_all(&self_contained)?;
        for library in &libraries {
            copy_into(&lib, library)?;
        }
        for object in files(&packages.wasi_libc)? {
            copy_into(&self_contained, &object)?;
        }
        hold.check()
    })
}

/// Unpacked packages.
struct Packages {
    /// The standard library's source.
    library: PathBuf,
    /// WASI's C library and start-up objects.
    wasi_libc: PathBuf,
}

fn download(toolchain: &Toolchain, work: &TempDir, hold: &Hold) -> Result<Packages> {
    let uris = capture(&mut apt(
        "apt-get",
        &["update", "--print-uris"],
        &work.path().join("system"),
    )?)?;
    let mirrors = mirrors(&uris);
    ensure!(!mirrors.is_empty(), "apt's sources name no mirror");

    let mut looked_in = String::new();
    for mirror in &mirrors {
        for suite in SUITES {
            step(&format!(
                "Looking for rust-src {} in {suite} on {mirror}",
                toolchain.version
            ));
            let suite = Suite::new(work, mirror, suite)?;
            match suite.find(&toolchain.version) {
                Ok(rust_src) => {
                    step(&format!("Downloading rust-src {rust_src} and wasi-libc"));
                    return suite.unpack(&toolchain.version, &rust_src);
                }
                Err(error) => {
                    looked_in.push_str(&format!("\n{} on {mirror}: {error:#}", suite.name));
                }
            }
            hold.check()?;
        }
    }
    bail!(
        "no package has the standard library of Rust {}:{looked_in}",
        toolchain.version
    )
}

/// One suite of one mirror, which apt sees alone.
struct Suite {
    name: &'static str,
    folder: PathBuf,
}

impl Suite {
    fn new(work: &TempDir, mirror: &str, name: &'static str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(work)?
            // `work` removes it.
            .keep();
        fs::write(
            folder.join("sources.list"),
            format!("deb [signed-by={KEYRING}] {mirror} {name} main\n"),
        )?;
        Ok(Self { name, folder })
    }

    /// The version of rust-src for this compiler, if this suite has everything that is needed.
    fn find(&self, rust: &str) -> Result<String> {
        capture(&mut self.apt("apt-get", &["update"])?)?;
        let listed = capture(&mut self.apt("apt-cache", &["madison", "rust-src", "wasi-libc"])?)?;
        let rust_src = versions(&listed, "rust-src");
        ensure!(
            !versions(&listed, "wasi-libc").is_empty(),
            "has no wasi-libc"
        );
        match rust_src.iter().find(|version| is_of(version, rust)) {
            Some(version) => Ok((*version).to_owned()),
            None if rust_src.is_empty() => bail!("has no rust-src"),
            None => bail!("has rust-src only in version {}", rust_src.join(", ")),
        }
    }

    fn unpack(&self, rust: &str, rust_src: &str) -> Result<Packages> {
        let wanted = format!("rust-src={rust_src}");
        capture(
            self.apt("apt-get", &["download", &wanted, "wasi-libc"])?
                .current_dir(&self.folder),
        )?;
        let unpacked = self.folder.join("unpacked");
        for file in files(&self.folder)? {
            if file.extension().is_some_and(|extension| extension == "deb") {
                capture(program("dpkg-deb").arg("-x").arg(file).arg(&unpacked))?;
            }
        }
        let packages = Packages {
            library: unpacked.join(format!("usr/src/rustc-{rust}/library")),
            wasi_libc: unpacked.join("usr/lib").join(TARGET),
        };
        for folder in [&packages.library, &packages.wasi_libc] {
            ensure!(
                folder.is_dir(),
                "the packages have no {}",
                folder.strip_prefix(&unpacked).unwrap_or(folder).display()
            );
        }
        Ok(packages)
    }

    fn apt(&self, name: &str, arguments: &[&str]) -> Result<Command> {
        apt(name, arguments, &self.folder)
    }
}

/// An apt program that keeps all it knows in `folder`, and no package source but `folder`'s own if there is one.
fn apt(name: &str, arguments: &[&str], folder: &Path) -> Result<Command> {
    let (lists, cache) = (folder.join("lists"), folder.join("cache"));
    fs::create_dir_all(lists.join("partial"))?;
    fs::create_dir_all(cache.join("archives/partial"))?;

    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    let mut command = program(name);
    command.args(arguments);
    command.args(["-o", &option("Dir::State::Lists", &lists)]);
    command.args(["-o", &option("Dir::Cache", &cache)]);
    command.args(["-o", "Acquire::Languages=none"]);
    let sources = folder.join("sources.list");
    if sources.exists() {
        command.args(["-o", &option("Dir::Etc::sourcelist", &sources)]);
        command.args(["-o", "Dir::Etc::sourceparts=/dev/null"]);
        // A missing suite is an error here, not something to fall back from.
        command.args(["-o", "APT::Update::Error-Mode=any"]);
    }
    Ok(command)
}

/// Has Cargo build std for the target, and returns the libraries.
fn build_std(toolchain: &Toolchain, packages: &Packages, work: &TempDir) -> Result<Vec<PathBuf>> {
    let scratch = work.path().join("scratch");
    fs::create_dir_all(scratch.join("src"))?;
    fs::write(scratch.join("src/lib.rs"), "")?;
    fs::write(
        scratch.join("Cargo.toml"),
        format!(
            "[package]\nname = \"{SCRATCH}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [profile.release]\npanic = \"abort\"\n"
        ),
    )?;

    // Without the bitcode, a later build with `lto = "fat"` fails. The mark is what keeps a crate from naming std's
    // own dependencies. The paths are those of a std from rustup, rather than of a folder that will not exist.
    let flags = [
        "-Cembed-bitcode=yes".to_owned(),
        "-Zforce-unstable-if-unmarked".to_owned(),
        format!(
            "--remap-path-prefix={}=/rustc/{}/library",
            packages.library.display(),
            toolchain.commit
        ),
    ];
    let target = scratch.join("target");
    let mut build = program(cargo_program());
    build
        .args(["build", "--release", "-Zbuild-std=std,panic_abort"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target)
        .current_dir(&scratch)
        .env("RUSTC", toolchain.sysroot.join("bin/rustc"))
        // std is built with the stable compiler by the very features that stable does not offer to others.
        .env("RUSTC_BOOTSTRAP", "1")
        // Where Cargo's own tests put the source; without it, it would have to be copied into the compiler's folder.
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", &packages.library)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    for variable in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        build.env_remove(variable);
    }
    capture(&mut build)?;

    let deps = target.join(TARGET).join("release/deps");
    let libraries: Vec<PathBuf> = files(&deps)?
        .into_iter()
        .filter(|file| is_std_library(file))
        .collect();
    ensure!(
        !libraries.is_empty(),
        "cargo left no library in {}",
        deps.display()
    );
    Ok(libraries)
}

fn is_std_library(file: &Path) -> bool {
    let own = format!("lib{SCRATCH}-");
    file.extension()
        .is_some_and(|extension| extension == "rlib")
        && file
            .file_name()
            .is_some_and(|name| !name.to_string_lossy().starts_with(&own))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn copy_into(folder: &Path, file: &Path) -> Result<()> {
    let to = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

fn step(what: &str) {
    eprintln!("    {what}");
}

/// The mirrors in `apt-get --print-uris update`, whose lines are `'URI' name size`.
///
/// Security mirrors are left out: they have no suite of their own that could hold what is looked for.
fn mirrors(print_uris: &str) -> Vec<&str> {
    let mut mirrors = Vec::new();
    for line in print_uris.lines() {
        let Some((uri, _)) = line
            .strip_prefix('\'')
            .and_then(|line| line.split_once('\''))
        else {
            continue;
        };
        let Some((mirror, rest)) = uri.split_once("/dists/") else {
            continue;
        };
        let is_release = rest.ends_with("/InRelease");
        if is_release && !rest.contains("-security/") && !mirrors.contains(&mirror) {
            mirrors.push(mirror);
        }
    }
    mirrors
}

/// The versions of `package` in `apt-cache madison`, whose lines are `package | version | source`.
fn versions<'a>(madison: &'a str, package: &str) -> Vec<&'a str> {
    let mut versions = Vec::new();
    for line in madison.lines() {
        let mut columns = line.split('|').map(str::trim);
        if columns.next() == Some(package)
            && let Some(version) = columns.next()
            && !versions.contains(&version)
        {
            versions.push(version);
        }
    }
    versions
}

/// Whether a package's version is of this release of Rust: `1.95.0+dfsg1-1` is of `1.95.0`; `1.95.01` and the
/// preview `1.95.0~beta.3` are not.
fn is_of(version: &str, rust: &str) -> bool {
    version
        .strip_prefix(rust)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_apt_without_repetition_and_security() {
        let printed = "\
'http://first.example/debian/dists/bookworm/InRelease' first.example_debian_dists_bookworm_InRelease 0 \n\
'http://first.example/debian/dists/bookworm-updates/InRelease' x 0 \n\
'http://first.example/debian-security/dists/bookworm-security/InRelease' x 0 \n\
'http://first.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0 \n\
'https://packages.example/apt/./InRelease' x 0 \n\
W: something else\n\
'https://mirror.example/debian/dists/sid/InRelease' x 0 \n";
        assert_eq!(
            mirrors(printed),
            [
                "http://first.example/debian",
                "https://mirror.example/debian"
            ]
        );
        assert!(mirrors("").is_empty());
    }

    #[test]
    fn versions_are_those_of_the_package_alone() {
        let madison = "\
  rust-src | 1.95.0+dfsg1-1~bpo13+1 | http://first.example/debian trixie-backports/main amd64 Packages\n\
  rust-src | 1.94.1+dfsg1-1~bpo13+1 | http://first.example/debian trixie-backports/main amd64 Packages\n\
  rust-src | 1.94.1+dfsg1-1~bpo13+1 | http://first.example/debian trixie-backports/main Sources\n\
 wasi-libc | 0.0~git20260101-1~bpo13+1 | http://first.example/debian trixie-backports/main amd64 Packages\n";
        assert_eq!(
            versions(madison, "rust-src"),
            ["1.95.0+dfsg1-1~bpo13+1", "1.94.1+dfsg1-1~bpo13+1"]
        );
        assert_eq!(
            versions(madison, "wasi-libc"),
            ["0.0~git20260101-1~bpo13+1"]
        );
        assert!(versions("N: Unable to locate package rust-src\n", "rust-src").is_empty());
    }

    #[test]
    fn a_package_is_of_the_release_that_its_version_begins_with() {
        for (version, of) in [
            ("1.95.0+dfsg1-1~bpo13+1", true),
            ("1.95.0-1", true),
            ("1.95.0~beta.3-1", false),
            ("1.95.0", true),
            ("1.95.01-1", false),
            ("1.95.0.1-1", false),
            ("1.95.1+dfsg1-1", false),
            ("11.95.0-1", false),
        ] {
            assert_eq!(is_of(version, "1.95.0"), of, "{version}");
        }
    }

    #[test]
    fn the_scratch_crate_is_not_part_of_std() {
        for (file, expected) in [
            ("libcore-776dea46.rlib", true),
            ("libonly_std-12345678.rlib", false),
            ("libcore-776dea46.rmeta", false),
            ("core-776dea46.d", false),
        ] {
            assert_eq!(is_std_library(Path::new(file)), expected, "{file}");
        }
    }
}
