//! Makes the component small: compresses the description of the admin API, without blanks, and the
//! migrations, without comments, embeds the declarations of the variables, and lets the linker
//! shorten the addresses in the code.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The comment that separates the statements of a migration.
const SEPARATOR: &str = "-- ;;";

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

    // The addresses that the linker fills in take five bytes each otherwise. It shortens them only
    // where debug information is stripped, which a debug build keeps.
    if env::var("TARGET")? == "wasm32-wasip2" && env::var("PROFILE")? == "release" {
        println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
    }
    Ok(())
}

fn embed(file: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes())?;
    fs::write(file, gzip.finish()?)?;
    Ok(())
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

/// The statements without lines that are comments, and without indents.
fn without_comments(sql: &str) -> String {
    let lines = sql.lines().map(str::trim);
    let lines = lines.filter(|line| *line == SEPARATOR || !line.starts_with("--"));
    lines.flat_map(|line| [line, "\n"]).collect()
}
