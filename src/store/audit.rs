//! The audit log: what operators have changed.

use super::page::{Page, PageOf};
use super::{Database, Result, Row, Value, read, text};

/// Which entries of the audit log a list contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Entries about this subject, such as `key:7`.
    pub subject: Option<String>,
    /// Entries of this action, such as `pause_key`.
    pub action: Option<String>,
}

/// The audit log is listed in the order in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByTime;

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The id.
    pub id: i64,
    /// When the change was made.
    pub at: Option<String>,
    /// The operator's token, such as `admin_token`.
    pub actor: Option<String>,
    /// What was done, such as `pause_key`.
    pub action: Option<String>,
    /// What was changed, such as `key:7`.
    pub subject: Option<String>,
    /// The subject before, as a JSON object.
    pub before: Option<String>,
    /// The subject afterwards, as a JSON object.
    pub after: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

/// A page of the audit log.
///
/// # Errors
/// The table cannot be read.
pub async fn list_audit(
    database: &impl Database,
    filter: &AuditFilter,
    page: &PageOf<ByTime>,
) -> Result<Page<AuditEntry>> {
    let mut parameters: Vec<Value> = Vec::new();
    let mut conditions = Vec::new();
    for (column, value) in [("subject", &filter.subject), ("action", &filter.action)] {
        if let Some(value) = value {
            parameters.push(value.as_str().into());
            conditions.push(format!("{column} = ?{}", parameters.len()));
        }
    }
    let clause = page.clause("id", parameters.len());
    conditions.push(clause.condition);
    parameters.extend(clause.parameters);
    let columns = [
        "at",
        "actor",
        "action",
        "subject",
        "before",
        "after",
        "request_id",
    ];
    let select = format!(
        "SELECT id, id, {} FROM audit_log WHERE {} {} {}",
        columns.map(text).join(", "),
        conditions.join(" AND "),
        clause.order,
        clause.limit
    );
    let rows = read(database, &select, parameters).await?;
    Ok(page.of_rows(&rows, entry))
}

fn entry(row: &Row) -> AuditEntry {
    let text = |column| row.lossy_text(column);
    AuditEntry {
        id: row.integer(0).unwrap_or(0),
        at: text(2),
        actor: text(3),
        action: text(4),
        subject: text(5),
        before: text(6),
        after: text(7),
        request_id: text(8),
    }
}
