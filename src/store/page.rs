//! Pages of a list, in a sequence that stays stable while rows are added: each page begins after
//! the last row of the one before.

use super::{Row, Value, placeholders, values};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

/// The largest page, in rows.
pub const LARGEST_PAGE: u64 = 1000;

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct PageOf<S> {
    /// The column that orders the list.
    pub sort: S,
    /// Its direction.
    pub order: Order,
    /// The last row of the page before; `None` for the first page.
    pub after: Option<Cursor>,
    /// The size of the page, from 1 to [`LARGEST_PAGE`].
    pub limit: u64,
}

/// The direction of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The smallest value first.
    Ascending,
    /// The largest value first.
    Descending,
}

/// A row's place in a sequence: its values of the columns that order it. Most lists are ordered by
/// one column and the id.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor(Vec<Value>);

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The last of them, if more follow.
    pub next: Option<Cursor>,
}

impl Cursor {
    /// The place of a row, whose first column is the id, and the second the value that orders the
    /// list.
    pub(super) fn of_row(row: &Row) -> Option<Self> {
        let value = match row.integer(1) {
            Some(number) => Value::Integer(number),
            None => Value::Text(row.text(1)?.to_owned()),
        };
        Some(Self(values![value, row.integer(0)?]))
    }

    /// The place of a row with these values.
    pub(super) fn at(values: Vec<Value>) -> Self {
        Self(values)
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.0
    }

    /// The place of a row in a list that is ordered by id.
    pub fn at_id(id: i64) -> Self {
        Self(values![id, id])
    }

    /// The cursor as a text for the next request.
    pub fn to_text(&self) -> String {
        // Numbers and texts always serialize.
        let json = serde_json::to_vec(&self.0).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads what [`to_text`](Self::to_text) has made of a row's place in a sequence that this many
    /// columns order; `None` for any other text.
    pub fn parse(text: &str, columns: usize) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let values: Vec<Box<RawValue>> = serde_json::from_slice(&json).ok()?;
        let value = |value: &RawValue| {
            Some(match value.get() {
                text if text.starts_with('"') => Value::Text(serde_json::from_str(text).ok()?),
                number => Value::Integer(number.parse().ok()?),
            })
        };
        let values: Vec<Value> = values
            .iter()
            .map(|json| value(json))
            .collect::<Option<_>>()?;
        (values.len() == columns).then_some(Self(values))
    }
}

/// The end of a statement that reads a page, and its parameters.
pub(super) struct PageClause {
    /// A condition that selects the rows after the cursor; `true` for the first page.
    pub(super) condition: String,
    /// `ORDER BY …`
    pub(super) order: String,
    /// `LIMIT …`
    pub(super) limit: String,
    pub(super) parameters: Vec<Value>,
}

impl<S> PageOf<S> {
    /// The clause for a list that `expression` orders, which is never `NULL`. `bound` parameters
    /// precede its own.
    pub(super) fn clause(&self, expression: &str, bound: usize) -> PageClause {
        let (comparison, direction) = match self.order {
            Order::Ascending => (">", "ASC"),
            Order::Descending => ("<", "DESC"),
        };
        let mut parameters = Vec::new();
        let condition = match &self.after {
            None => "true".to_owned(),
            Some(cursor) => {
                parameters.extend_from_slice(cursor.values());
                let marks = placeholders(bound, parameters.len());
                format!("({expression}, id) {comparison} {marks}")
            }
        };
        PageClause {
            condition,
            order: format!("ORDER BY {expression} {direction}, id {direction}"),
            // One more row tells whether another page follows.
            limit: format!("LIMIT {}", self.limit + 1),
            parameters,
        }
    }

    /// The page of rows that the clause has selected, whose first columns are those of
    /// [`Cursor::of_row`].
    pub(super) fn of_rows<T>(&self, rows: &[Row], item: impl FnMut(&Row) -> T) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let shown = rows.get(..limit).unwrap_or(rows);
        let last = shown.last().filter(|_| rows.len() > shown.len());
        Page {
            next: last.and_then(Cursor::of_row),
            items: shown.iter().map(item).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        for value in [Value::Integer(-7), Value::Text("né\"e".to_owned())] {
            let cursor = Cursor(values![value, 42i64]);
            assert_eq!(Cursor::parse(&cursor.to_text(), 2), Some(cursor));
        }
        for text in ["", "x", "WyJhIl0", "W10"] {
            assert_eq!(Cursor::parse(text, 2), None, "{text}");
        }
    }
}
