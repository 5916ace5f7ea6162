//! Makes the component small: compresses the dashboard, the description of the admin API, without
//! blanks, and the migrations, without comments, embeds the declarations of the variables, and lets
//! the linker shorten the addresses in the code.

use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The comment that separates the statements of a migration.
const SEPARATOR: &str = "-- ;;";
const DASHBOARD: &str = "dashboard";
/// The page of the dashboard, which names its files with this instead of their version.
const PAGE: &str = "index.html";
const VERSION: &str = "{version}";
/// Libraries, which are minified already.
const VENDOR: &str = "vendor";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=src/admin/openapi.json");
    println!("cargo::rerun-if-changed=spin.toml");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let description = fs::read_to_string("src/admin/openapi.json")?;
    let description: serde_json::Value = serde_json::from_str(&description)?;
    embed(&out.join("openapi.json.gz"), &description.to_string())?;

    let manifest = fs::read_to_string("spin.toml")?;
    let declarations = manifest.split_once("[variables]\n");
    let (_, declarations) = declarations.ok_or("spin.toml declares no variables")?;
    let declarations = declarations.split("\n\n").next();
    fs::write(out.join("variables.toml"), declarations.unwrap_or_default())?;

    for entry in fs::read_dir("migrations")? {
        let path = entry?.path();
        if let (Some("sql"), Some(name)) = (extension(&path), path.file_name()) {
            let mut name = name.to_owned();
            name.push(".gz");
            embed(
                &out.join(name),
                &without_comments(&fs::read_to_string(&path)?),
            )?;
        }
    }

    embed_dashboard(&out)?;

    // The addresses that the linker fills in take five bytes each otherwise. It shortens them only
    // where debug information is stripped, which a debug build keeps.
    if env::var("TARGET")? == "wasm32-wasip2" && env::var("PROFILE")? == "release" {
        println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
    }
    Ok(())
}

/// Embeds the files of the dashboard, with a table of them in `dashboard.rs`.
fn embed_dashboard(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={DASHBOARD}");
    let mut paths = Vec::new();
    find_files(Path::new(DASHBOARD), &mut paths)?;
    paths.sort();
    let mut files = Vec::new();
    // Of what browsers get: they keep a file as long as its version is the same.
    let mut hash = Sha256::new();
    for file in paths {
        let path = file.strip_prefix(DASHBOARD)?.to_owned();
        let text = fs::read_to_string(&file)?;
        let text = match path.starts_with(VENDOR) || path == Path::new(PAGE) {
            true => text,
            false => with_bare_lines(&text),
        };
        hash.update(path.to_string_lossy().as_bytes());
        hash.update(&text);
        files.push((path, text));
    }
    let version: String = hash.finalize()[..8]
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));

    let mut table = format!("const VERSION: &str = {version:?};\nstatic FILES: &[File] = &[\n");
    for (number, (path, text)) in files.iter().enumerate() {
        let name = format!("dashboard-{number}");
        let text = match path == Path::new(PAGE) {
            true => &text.replace(VERSION, &version),
            false => text,
        };
        embed(&out.join(format!("{name}.gz")), text)?;
        let path = path.to_string_lossy();
        writeln!(
            table,
            "File {{ path: {path:?}, gzip: embedded!({name:?}) }},"
        )?;
    }
    fs::write(out.join("dashboard.rs"), table + "];\n")?;
    Ok(())
}

/// Finds the files that browsers load.
fn find_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match extension(&path) {
            _ if path.is_dir() => find_files(&path, found)?,
            Some("html" | "js" | "css" | "svg") => found.push(path),
            // For those who work on the dashboard.
            Some("json" | "md" | "mjs" | "ts") => {}
            Some(_) | None => return Err(format!("{} has an unknown type", path.display()).into()),
        }
    }
    Ok(())
}

fn embed(file: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let mut gzip = Vec::new();
    zopfli::compress(
        zopfli::Options::default(),
        zopfli::Format::Gzip,
        text.as_bytes(),
        &mut gzip,
    )?;
    fs::write(file, gzip)?;
    Ok(())
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

/// A script or style sheet without indents, and with empty lines instead of those that are comments:
/// both are a tenth of its size. Lines keep their numbers.
fn with_bare_lines(text: &str) -> String {
    let mut is_inside = false;
    let lines = text.lines().map(|line| {
        let code = line.trim();
        let begins = code.starts_with("/*");
        // Code may follow a comment with a type.
        let is_comment = is_inside
            || code.starts_with("//")
            || begins && (code.ends_with("*/") || !code.contains("*/"));
        is_inside = (is_inside || begins) && !code.contains("*/");
        if is_comment { "" } else { code }
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The statements without lines that are comments, and without indents.
fn without_comments(sql: &str) -> String {
    let lines = sql.lines().map(str::trim);
    let lines = lines.filter(|line| *line == SEPARATOR || !line.starts_with("--"));
    lines.flat_map(|line| [line, "\n"]).collect()
}
