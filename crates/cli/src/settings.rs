//! `keypool settings`: the settings in force.

use crate::connection::{Connection, parse};
use crate::output::{Format, or_dash, table};
use anyhow::Result;
use serde::Deserialize;
use std::io::Write;

#[derive(Deserialize)]
struct Settings {
    items: Vec<Setting>,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Setting {
    name: String,
    value: Option<String>,
    is_set: bool,
    is_default: bool,
}

pub(crate) fn run(connection: &Connection, format: Format, out: &mut impl Write) -> Result<()> {
    let json = connection.get("settings")?;
    match format {
        Format::Json => writeln!(out, "{json}")?,
        Format::Table => write(&parse(&json)?, out)?,
    }
    Ok(())
}

fn write(settings: &Settings, out: &mut impl Write) -> Result<()> {
    for warning in &settings.warnings {
        writeln!(out, "Warning: {warning}")?;
    }
    let mut rows = table(&["VARIABLE", "VALUE", "DEFAULT"]);
    for setting in &settings.items {
        let value = match (&setting.value, setting.is_set) {
            (None, true) => "(a secret)",
            (value, _) => or_dash(value.as_deref()),
        };
        let default = if setting.is_default { "yes" } else { "no" };
        rows.add_row([&setting.name, value, default]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_values_and_that_secrets_are_set() {
        let json = r#"{"warnings":["my_api_token is short"],"items":[
            {"name":"my_api_token","value":null,"is_set":true,"is_default":false},
            {"name":"max_attempts","value":"5","is_set":true,"is_default":true},
            {"name":"public_url","value":null,"is_set":false,"is_default":true}]}"#;
        let mut out = Vec::new();
        write(&parse(json).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        for expected in [
            "Warning: my_api_token is short",
            "my_api_token (a secret) no",
            "max_attempts 5 yes",
            "public_url - yes",
        ] {
            assert!(
                lines.contains(&expected.to_owned()),
                "{expected} is not in\n{text}"
            );
        }
    }
}
