//! Lists of keys for operators.

use super::cool_downs::PAUSED_UNTIL;
use super::fault_drills::Drill;
use super::page::{Page, PageOf};
use super::{Database, Result, Row, Value, number, read, text, texts_of, values};
use crate::pool::{KeyId, KeyStatus, UnixMillis};

/// Which keys a list contains.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyFilter {
    /// Keys in this state; `None` for all.
    pub status: Option<KeyStatus>,
    /// Keys of this project.
    pub project: Option<String>,
    /// Keys with this tag.
    pub tag: Option<String>,
    /// Keys whose name, note or project contains this text, in any case.
    pub text: Option<String>,
    /// Keys with one of these ids.
    pub ids: Option<Vec<KeyId>>,
}

/// What orders a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySort {
    /// The id.
    Id,
    /// The name, in any case; keys without one come first.
    Name,
    /// The priority.
    Priority,
    /// The number of calls.
    TotalCalls,
    /// When the latest call began; keys without one come first.
    LastUsedAt,
}

impl KeySort {
    /// Every value with its name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("id", Self::Id),
        ("name", Self::Name),
        ("priority", Self::Priority),
        ("total_calls", Self::TotalCalls),
        ("last_used_at", Self::LastUsedAt),
    ];

    fn expression(self) -> String {
        let column = match self {
            Self::Id => return "id".to_owned(),
            Self::Name => {
                return format!("lower(coalesce({}, ''))", as_text("name"));
            }
            Self::LastUsedAt => return format!("coalesce({}, '')", as_text("last_used_at")),
            Self::Priority => "priority",
            Self::TotalCalls => "total_calls",
        };
        format!("coalesce({}, 0)", number(column))
    }
}

fn as_text(column: &str) -> String {
    format!("CAST({} AS TEXT)", text(column))
}

/// A key as operators see it: never the key itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedKey {
    /// The id.
    pub id: KeyId,
    /// The name that an operator gave it.
    pub name: Option<String>,
    /// The state; `None` if the column has an unknown number.
    pub status: Option<KeyStatus>,
    /// The weight in a draw.
    pub priority: i64,
    /// The Google project, if known.
    pub project: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// An operator's note.
    pub note: Option<String>,
    /// Patterns of the only models for which it may be used; none if it may be for all.
    pub allowed_models: Vec<String>,
    /// Patterns of models for which it must not be used.
    pub forbidden_models: Vec<String>,
    /// When the pause of a cooling key ends.
    pub disabled_until: Option<String>,
    /// Why the key is disabled or cooling.
    pub disabled_reason: Option<String>,
    /// Failures of the key since its last success.
    pub consecutive_failures: i64,
    /// All calls made with it.
    pub total_calls: i64,
    /// Calls that succeeded.
    pub success_calls: i64,
    /// When the latest call began.
    pub last_used_at: Option<String>,
    /// How the latest call ended.
    pub last_outcome: Option<String>,
    /// The fault drill under way.
    pub drill: Option<Drill>,
    /// When the key was added.
    pub created_at: Option<String>,
    /// When the key was last used or changed.
    pub updated_at: Option<String>,
}

/// The columns that [`listed`] reads, after the id and the value that orders the list.
fn columns() -> String {
    let texts = |names: &[&str]| names.iter().map(|name| text(name)).collect::<Vec<_>>();
    let numbers = |names: &[&str]| names.iter().map(|name| number(name)).collect::<Vec<_>>();
    [
        texts(&["name"]),
        numbers(&["status", "priority"]),
        texts(&["project", "tags", "note"]),
        vec![
            format!("CASE status WHEN 2 THEN {} END", text("disabled_until")),
            format!("CASE WHEN status <> 1 THEN {} END", text("disabled_reason")),
        ],
        numbers(&["consecutive_failures", "total_calls", "success_calls"]),
        texts(&["last_used_at", "last_outcome", "created_at", "updated_at"]),
        texts(&["allowed_models", "forbidden_models"]),
        vec![of_drill(&text("fault")), of_drill(&number("calls_left"))],
    ]
    .concat()
    .join(", ")
}

/// A column of the drill under way.
fn of_drill(column: &str) -> String {
    format!("(SELECT {column} FROM fault_drills WHERE api_key_id = api_keys.id AND calls_left > 0)")
}

fn listed(row: &Row) -> ListedKey {
    let number = |column| row.integer(column).unwrap_or(0);
    let text = |column| row.lossy_text(column);
    let texts = |column| row.text(column).map(texts_of).unwrap_or_default();
    ListedKey {
        id: KeyId(number(0)),
        name: text(2),
        status: KeyStatus::from_code(number(3)),
        priority: number(4),
        project: text(5),
        tags: texts(6),
        note: text(7),
        disabled_until: text(8),
        disabled_reason: text(9),
        consecutive_failures: number(10),
        total_calls: number(11),
        success_calls: number(12),
        last_used_at: text(13),
        last_outcome: text(14),
        created_at: text(15),
        updated_at: text(16),
        allowed_models: texts(17),
        forbidden_models: texts(18),
        drill: Drill::of_row(row, 19),
    }
}

/// How many keys are in each state. A pause that is over counts as none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// In use.
    pub active: u64,
    /// Paused.
    pub cooling: u64,
    /// Out of use.
    pub disabled: u64,
    /// The column has an unknown number.
    pub other: u64,
}

/// Counts the keys.
///
/// # Errors
/// The table cannot be read.
pub async fn count_keys(database: &impl Database, now: UnixMillis) -> Result<KeyCounts> {
    let select = format!(
        "SELECT CASE WHEN status = {cooling} AND {PAUSED_UNTIL} <= ?1 THEN {active} ELSE {status} END, count(*)
FROM api_keys GROUP BY 1",
        cooling = KeyStatus::Cooling.code(),
        active = KeyStatus::Active.code(),
        status = number("status"),
    );
    let mut counts = KeyCounts::default();
    for row in &read(database, &select, values![now]).await? {
        let status = row.integer(0).and_then(KeyStatus::from_code);
        let count = match status {
            Some(KeyStatus::Active) => &mut counts.active,
            Some(KeyStatus::Cooling) => &mut counts.cooling,
            Some(KeyStatus::Disabled) => &mut counts.disabled,
            None => &mut counts.other,
        };
        *count += row
            .integer(1)
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or(0);
    }
    Ok(counts)
}

/// A page of the keys that a filter selects.
///
/// # Errors
/// The table cannot be read.
pub async fn list_keys(
    database: &impl Database,
    filter: &KeyFilter,
    page: &PageOf<KeySort>,
) -> Result<Page<ListedKey>> {
    let mut parameters = Vec::new();
    let mut conditions = Vec::new();
    let mut bind = |value: Value| {
        parameters.push(value);
        format!("?{}", parameters.len())
    };
    if let Some(status) = filter.status {
        conditions.push(format!("status = {}", bind(status.code().into())));
    }
    if let Some(project) = &filter.project {
        conditions.push(format!("project = {}", bind(project.as_str().into())));
    }
    if let Some(tag) = &filter.tag {
        let tag = bind(tag.as_str().into());
        conditions.push(format!(
            "EXISTS (SELECT 1 FROM json_each(iif(json_valid(tags), tags, '[]')) WHERE value = {tag})"
        ));
    }
    if let Some(text) = &filter.text {
        let text = bind(text.to_ascii_lowercase().into());
        let texts = ["name", "note", "project"].map(|column| format!("coalesce({column}, '')"));
        let texts = texts.join(" || char(10) || ");
        conditions.push(format!("instr(lower({texts}), {text}) > 0"));
    }
    if let Some(ids) = &filter.ids {
        let ids: Vec<String> = ids.iter().map(KeyId::to_string).collect();
        let ids = bind(format!("[{}]", ids.join(",")).into());
        conditions.push(format!("id IN (SELECT value FROM json_each({ids}))"));
    }
    let expression = page.sort.expression();
    let clause = page.clause(&expression, parameters.len());
    conditions.push(clause.condition);
    parameters.extend(clause.parameters);
    let select = format!(
        "SELECT id, {expression}, {columns} FROM api_keys WHERE {conditions} {order} {limit}",
        columns = columns(),
        conditions = conditions.join(" AND "),
        order = clause.order,
        limit = clause.limit
    );
    let rows = read(database, &select, parameters).await?;
    Ok(page.of_rows(&rows, listed))
}

/// One key; `None` if there is none with this id.
///
/// # Errors
/// The table cannot be read.
pub async fn listed_key(database: &impl Database, id: KeyId) -> Result<Option<ListedKey>> {
    let select = format!("SELECT id, id, {} FROM api_keys WHERE id = ?1", columns());
    let rows = read(database, &select, vec![id.into()]).await?;
    Ok(rows.first().map(listed))
}

#[cfg(test)]
mod tests {
    use super::super::page::Order;
    use super::super::testing::NativeDatabase;
    use super::*;
    use futures::executor::block_on;

    fn pool() -> NativeDatabase {
        let database = NativeDatabase::migrated();
        database.run(
            r#"INSERT INTO api_keys (id, api_key, name, priority, status, project, tags, note, last_used_at) VALUES
             (1, 'fake-a', 'Anna', 100, 1, 'projects/1', '["team-a","paid"]', NULL, '2026-01-02T00:00:00.000Z'),
             (2, 'fake-b', NULL, 50, 0, 'projects/1', '["team-b"]', 'of a friend', NULL),
             (3, 'fake-c', 'anton', 100, 2, NULL, 'no json', NULL, '2026-01-01T00:00:00.000Z'),
             (4, 'fake-d', 'Berta', 100, 1, NULL, NULL, 'of Österreich', NULL)"#,
        );
        database
    }

    fn page(sort: KeySort, order: Order, limit: u64) -> PageOf<KeySort> {
        PageOf {
            sort,
            order,
            after: None,
            limit,
        }
    }

    /// The ids of all pages.
    fn ids(filter: &KeyFilter, mut page: PageOf<KeySort>) -> Vec<i64> {
        let database = pool();
        let mut ids = Vec::new();
        loop {
            let listed = block_on(list_keys(&database, filter, &page)).unwrap();
            assert!(listed.items.len() <= usize::try_from(page.limit).unwrap());
            ids.extend(listed.items.iter().map(|key| key.id.0));
            let Some(next) = listed.next else {
                return ids;
            };
            page.after = Cursor::parse(&next.to_text(), 2);
        }
    }

    use super::super::page::Cursor;

    #[test]
    fn pages_contain_each_key_once_in_order() {
        let all = KeyFilter::default();
        for (sort, ascending) in [
            (KeySort::Id, [1, 2, 3, 4]),
            (KeySort::Name, [2, 1, 3, 4]),
            (KeySort::Priority, [2, 1, 3, 4]),
            (KeySort::TotalCalls, [1, 2, 3, 4]),
            (KeySort::LastUsedAt, [2, 4, 3, 1]),
        ] {
            for limit in 1..=5 {
                let read = ids(&all, page(sort, Order::Ascending, limit));
                assert_eq!(read, ascending, "{sort:?} {limit}");
                let mut read = ids(&all, page(sort, Order::Descending, limit));
                read.reverse();
                assert_eq!(read, ascending, "{sort:?} {limit} descending");
            }
        }
    }

    #[test]
    fn filters_select_keys() {
        let owned = |text: &str| Some(text.to_owned());
        let none = KeyFilter::default();
        for (filter, expected) in [
            (
                KeyFilter {
                    status: Some(KeyStatus::Active),
                    ..none.clone()
                },
                vec![1, 4],
            ),
            (
                KeyFilter {
                    project: owned("projects/1"),
                    ..none.clone()
                },
                vec![1, 2],
            ),
            (
                KeyFilter {
                    tag: owned("team-a"),
                    ..none.clone()
                },
                vec![1],
            ),
            (
                KeyFilter {
                    text: owned("AN"),
                    ..none.clone()
                },
                vec![1, 3],
            ),
            (
                KeyFilter {
                    text: owned("friend"),
                    status: Some(KeyStatus::Active),
                    ..none.clone()
                },
                vec![],
            ),
            (
                KeyFilter {
                    text: owned("Öst"),
                    ..none
                },
                vec![4],
            ),
        ] {
            assert_eq!(
                ids(&filter, page(KeySort::Id, Order::Ascending, 2)),
                expected,
                "{filter:?}"
            );
        }
    }
}
