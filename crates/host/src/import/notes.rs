//! Notes on rows that an import changed, doubted or skipped.

use super::dump::Table;
use std::collections::BTreeMap;
use std::fmt;

/// How many ids a note lists; further rows are counted.
const LISTED: usize = 20;

/// Notes with the rows that they apply to.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// By table, column and text.
    rows: BTreeMap<(Table, String, &'static str), Rows>,
    ignored_columns: Vec<String>,
}

#[derive(Debug, Default)]
struct Rows {
    first: Vec<String>,
    count: usize,
}

impl Notes {
    /// Adds a note on a column of a row, with the row's id in the dump.
    pub(super) fn add(&mut self, table: Table, column: &str, what: &'static str, id: Option<i64>) {
        let note = (table, column.to_owned(), what);
        let rows = self.rows.entry(note).or_default();
        rows.count += 1;
        if rows.first.len() < LISTED {
            rows.first
                .push(id.map_or_else(|| "none".to_owned(), |id| id.to_string()));
        }
    }

    /// Adds a column that the pool does not have.
    pub(super) fn ignore_column(&mut self, table: Table, column: &str) {
        self.ignored_columns
            .push(format!("{}.{}", table.name(), column.escape_debug()));
    }
}

/// A line for each note.
impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((table, column, what), rows) in &self.rows {
            let ids = rows.first.join(", ");
            write!(f, "{}.{column} {what}: id {ids}", table.name())?;
            match rows.count - rows.first.len() {
                0 => writeln!(f)?,
                more => writeln!(f, " and {more} more")?,
            }
        }
        if !self.ignored_columns.is_empty() {
            let columns = self.ignored_columns.join(", ");
            writeln!(f, "ignored columns that the pool does not have: {columns}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_listed_up_to_a_limit() {
        let mut notes = Notes::default();
        for id in 1..=25 {
            notes.add(Table::Calls, "called_at", "is no time", Some(id));
        }
        notes.add(Table::Keys, "priority", "was 0 and is now 100", Some(7));
        notes.add(Table::Keys, "priority", "was 0 and is now 100", None);
        notes.ignore_column(Table::Keys, "weight");
        assert_eq!(
            notes.to_string(),
            "api_keys.priority was 0 and is now 100: id 7, none\n\
             api_call_logs.called_at is no time: id 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, \
             14, 15, 16, 17, 18, 19, 20 and 5 more\n\
             ignored columns that the pool does not have: api_keys.weight\n"
        );
    }
}
