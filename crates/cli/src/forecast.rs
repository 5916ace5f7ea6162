//! `keypool forecast`: when the budgets of a day will be used up.

use crate::connection::{Connection, parse};
use crate::output::{Format, grouped, or_dash, table};
use anyhow::Result;
use serde::Deserialize;
use std::io::Write;

#[derive(Deserialize)]
struct Forecast {
    items: Vec<Budget>,
}

#[derive(Deserialize)]
struct Budget {
    scope: String,
    model: Option<String>,
    unit: String,
    limit: i64,
    used: i64,
    resets_at: Option<String>,
    pace_per_hour: f64,
    ends_at: Option<String>,
}

pub(crate) fn run(connection: &Connection, format: Format, out: &mut impl Write) -> Result<()> {
    let json = connection.get("forecast")?;
    match format {
        Format::Json => writeln!(out, "{json}")?,
        Format::Table => write(&parse(&json)?, out)?,
    }
    Ok(())
}

fn write(forecast: &Forecast, out: &mut impl Write) -> Result<()> {
    if forecast.items.is_empty() {
        writeln!(out, "No limit of a day is known.")?;
        return Ok(());
    }
    let mut rows = table(&[
        "SCOPE", "MODEL", "UNIT", "USED", "LIMIT", "PER HOUR", "ENDS", "RESETS",
    ]);
    for budget in &forecast.items {
        rows.add_row([
            budget.scope.clone(),
            budget.model.clone().unwrap_or_else(|| "all".to_owned()),
            budget.unit.clone(),
            grouped(budget.used),
            grouped(budget.limit),
            budget.pace_per_hour.to_string(),
            or_dash(budget.ends_at.as_deref()).to_owned(),
            or_dash(budget.resets_at.as_deref()).to_owned(),
        ]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_when_budgets_end() {
        let json = r#"{"at":"","items":[
            {"scope":"key:1","model":null,"unit":"requests","limit":1500,"used":1250,"left":250,"resets_at":"2027-01-16T08:00:00.000Z","pace_per_hour":120.5,"ends_at":"2027-01-15T10:05:00.000Z"},
            {"scope":"project:p","model":"m","unit":"input_tokens","limit":0,"used":0,"left":0,"resets_at":null,"pace_per_hour":0.0,"ends_at":null}]}"#;
        let text = |json| {
            let mut out = Vec::new();
            write(&parse(json).unwrap(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for expected in ["all", "1,250", "1,500", "120.5", "2027-01-15T10:05:00.000Z"] {
            assert!(
                text(json).contains(expected),
                "{expected} is not in\n{}",
                text(json)
            );
        }
        assert!(text(r#"{"at":"","items":[]}"#).starts_with("No limit"));
    }
}
