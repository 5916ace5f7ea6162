//! Client tokens that operators create. The table has a token's digest, never the token.
//!
//! Each change is one statement, which also writes the audit log (migration 0004).

use super::author::Extra;
use super::page::{Page, PageOf};
use super::{Author, Database, Result, Row, Value, read, text, values, write};
use crate::pool::{ClientToken, Moment, Network, TokenId, TokenState, UnixMillis};
use crate::wire::redact::CLIENT_TOKEN_PREFIX;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The characters of a token that are stored and shown: 48 of its 256 random bits, so that the rest
/// cannot be guessed.
const SHOWN_CHARS: usize = CLIENT_TOKEN_PREFIX.len() + 8;

/// How long the hourly usage of a token is kept, in milliseconds: 2 days.
const USAGE_RETENTION_MS: i64 = 2 * 24 * 3_600_000;

/// A client token itself. It has no `Display` and no `Serialize`; only [`expose`](Self::expose)
/// returns the text.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

impl TokenSecret {
    /// A new token with 256 bits of the host's entropy.
    pub fn new(entropy: [u8; 32]) -> Self {
        let random = URL_SAFE_NO_PAD.encode(entropy);
        Self(format!("{CLIENT_TOKEN_PREFIX}{random}"))
    }

    /// The token that a client has sent; `None` if no operator can have created it.
    pub fn presented(text: &str) -> Option<Self> {
        text.starts_with(CLIENT_TOKEN_PREFIX)
            .then(|| Self(text.to_owned()))
    }

    /// The token, for the response to the operator who created it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The digest, by which the token is found.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(&self.0).into())
    }

    fn shown(&self) -> &str {
        self.0.get(..SHOWN_CHARS).unwrap_or_default()
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// The SHA-256 digest of a token.
#[derive(Debug, Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Whether both are the same. The time taken reveals nothing.
    pub fn matches(&self, other: &Self) -> bool {
        self.is(&other.0)
    }

    fn is(&self, bytes: &[u8]) -> bool {
        self.0.ct_eq(bytes).into()
    }

    fn value(self) -> Value {
        Value::Blob(self.0.to_vec())
    }
}

/// A client token as operators see it: never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedToken {
    /// What its holder may do.
    pub token: ClientToken,
    /// The name that an operator gave it.
    pub name: Option<String>,
    /// Its first characters.
    pub prefix: Option<String>,
    /// Until when the token before the latest rotation is accepted, too.
    pub previous_until: Option<String>,
    /// When it was created.
    pub created_at: Option<String>,
    /// When it was last changed.
    pub updated_at: Option<String>,
}

/// Which client tokens a list contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Tokens in this state; `None` for all.
    pub state: Option<TokenState>,
    /// Tokens whose name contains this text, in any case, or whose first characters do.
    pub text: Option<String>,
}

/// What orders a list of client tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSort {
    /// The id, which is also the order of creation.
    Id,
    /// The name, in any case.
    Name,
    /// When it expires; tokens that do not come last.
    ExpiresAt,
}

impl TokenSort {
    /// Every value with its name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("id", Self::Id),
        ("name", Self::Name),
        ("expires_at", Self::ExpiresAt),
    ];

    fn expression(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "lower(name)",
            Self::ExpiresAt => "coalesce(expires_at, '~')",
        }
    }
}

/// A column of a client token that operators set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenColumn {
    /// The name, a text.
    Name,
    /// When it expires.
    ExpiresAt,
    /// Patterns of the models that it may use, as a JSON array.
    Models,
    /// The networks from which it may be used, as a JSON array.
    Networks,
    /// The most requests per minute.
    RequestsPerMinute,
    /// The most tokens per day.
    TokensPerDay,
}

impl TokenColumn {
    /// The name in SQL and in the admin API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::ExpiresAt => "expires_at",
            Self::Models => "models",
            Self::Networks => "networks",
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerDay => "tokens_per_day",
        }
    }
}

/// What an operator sets in a column.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenField {
    /// The column.
    pub column: TokenColumn,
    /// The value; `NULL` clears the column.
    pub value: Value,
}

/// What an operator changes of a client token.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenChange {
    /// Sets these columns.
    Edit(Vec<TokenField>),
    /// Takes it out of use.
    Disable,
    /// Puts it back into use.
    Enable,
    /// Replaces the token itself.
    Rotate {
        /// The new one.
        secret: TokenSecret,
        /// Until when the old one is accepted, too; `None` if it is not.
        previous_until: Option<UnixMillis>,
    },
    /// Deletes it. The log of its calls stays.
    Delete,
}

impl TokenChange {
    fn action(&self) -> &'static str {
        match self {
            Self::Edit(_) => "edit_token",
            Self::Disable => "disable_token",
            Self::Enable => "enable_token",
            Self::Rotate { .. } => "rotate_token",
            Self::Delete => "delete_token",
        }
    }

    /// The columns to set, the expressions for them, and the value of the `?` in each.
    fn assignments(&self, now: UnixMillis) -> Vec<(&'static str, &'static str, Value)> {
        match self {
            Self::Edit(fields) => {
                let fields = fields.iter();
                fields
                    .map(|field| (field.column.name(), "?", field.value.clone()))
                    .collect()
            }
            Self::Disable => vec![("disabled_at", "coalesce(disabled_at, ?)", now.into())],
            Self::Enable => vec![("disabled_at", "?", Value::Null)],
            Self::Rotate {
                secret,
                previous_until,
            } => {
                let digest = || secret.digest().value();
                let previous = match previous_until {
                    // Running twice must not replace the old digest by the new one.
                    Some(_) => ("iif(digest = ?, previous_digest, digest)", digest()),
                    None => ("?", Value::Null),
                };
                vec![
                    ("previous_digest", previous.0, previous.1),
                    ("previous_until", "?", (*previous_until).into()),
                    ("digest", "?", digest()),
                    ("prefix", "?", secret.shown().into()),
                ]
            }
            Self::Delete => Vec::new(),
        }
    }
}

/// Creates a client token with these columns. May run twice with the same secret.
///
/// # Errors
/// The table cannot be changed.
pub async fn create_client_token(
    database: &impl Database,
    secret: &TokenSecret,
    fields: &[TokenField],
    author: Author<'_>,
    now: UnixMillis,
) -> Result<TokenId> {
    let mut columns = vec!["digest", "prefix", "created_at", "updated_at", "changed_by"];
    let mut parameters = values![
        secret.digest().value(),
        secret.shown(),
        now,
        now,
        author.changes("create_token", Extra::None)
    ];
    for field in fields {
        columns.push(field.column.name());
        parameters.push(field.value.clone());
    }
    let insert = format!(
        "INSERT INTO client_tokens ({}) VALUES {} ON CONFLICT (digest) DO UPDATE SET prefix = prefix RETURNING id",
        columns.join(", "),
        super::placeholders(0, parameters.len())
    );
    let rows = write(database, &insert, parameters).await?;
    let id = rows.first().and_then(|row| row.integer(0));
    Ok(TokenId(id.unwrap_or_default()))
}

/// Changes a client token. `false` if there is none with this id.
///
/// # Errors
/// The table cannot be changed.
pub async fn change_client_token(
    database: &impl Database,
    id: TokenId,
    change: &TokenChange,
    author: Author<'_>,
    now: UnixMillis,
) -> Result<bool> {
    let mut parameters = values![id.0, now, author.changes(change.action(), Extra::None)];
    let mut sets = vec!["updated_at = ?2".to_owned(), "changed_by = ?3".to_owned()];
    for (column, expression, value) in change.assignments(now) {
        parameters.push(value);
        let expression = expression.replace('?', &format!("?{}", parameters.len()));
        sets.push(format!("{column} = {expression}"));
    }
    let update = format!(
        "UPDATE client_tokens SET {} WHERE id = ?1 RETURNING id",
        sets.join(", ")
    );
    let rows = write(database, &update, parameters).await?;
    Ok(!rows.is_empty())
}

/// The columns that [`listed`] reads, after the id and the value that orders the list.
fn columns() -> String {
    // A limit that is not a number must not turn into none.
    let limit = |column| format!("iif(typeof({column}) IN ('integer', 'null'), {column}, 0)");
    let columns = [
        text("name"),
        text("prefix"),
        text("expires_at"),
        text("disabled_at"),
        text("models"),
        text("networks"),
        text("previous_until"),
        text("created_at"),
        text("updated_at"),
        limit("requests_per_minute"),
        limit("tokens_per_day"),
    ];
    columns.join(", ")
}

/// Reads a row. What an operator has broken in it allows nothing.
fn listed(row: &Row) -> ListedToken {
    let text = |column| row.lossy_text(column);
    let time = |column| {
        let text = row.lossy_text(column)?;
        Some(UnixMillis::parse(&text).unwrap_or(UnixMillis(0)))
    };
    let limit = |column| Some(u64::try_from(row.integer(column)?).unwrap_or(0));
    let list = |column| {
        let json = row.lossy_text(column)?;
        Some(serde_json::from_str::<Vec<String>>(&json).unwrap_or_default())
    };
    let networks = |texts: Vec<String>| {
        let networks = texts.iter().filter_map(|text| Network::parse(text));
        networks.collect()
    };
    ListedToken {
        token: ClientToken {
            id: TokenId(row.integer(0).unwrap_or(0)),
            expires_at: time(4),
            disabled_at: time(5),
            models: list(6),
            networks: list(7).map(networks),
            requests_per_minute: limit(11),
            tokens_per_day: limit(12),
        },
        name: text(2),
        prefix: text(3),
        previous_until: text(8),
        created_at: text(9),
        updated_at: text(10),
    }
}

/// A page of the client tokens that a filter selects.
///
/// # Errors
/// The table cannot be read.
pub async fn list_client_tokens(
    database: &impl Database,
    filter: &TokenFilter,
    page: &PageOf<TokenSort>,
    now: UnixMillis,
) -> Result<Page<ListedToken>> {
    let mut parameters = values![now];
    let mut conditions = vec![match filter.state {
        None => "?1 = ?1",
        Some(TokenState::Disabled) => "disabled_at IS NOT NULL AND ?1 = ?1",
        Some(TokenState::Expired) => "disabled_at IS NULL AND expires_at <= ?1",
        Some(TokenState::Active) => {
            "disabled_at IS NULL AND (expires_at IS NULL OR expires_at > ?1)"
        }
    }];
    if let Some(text) = &filter.text {
        parameters.push(text.to_ascii_lowercase().into());
        conditions.push("instr(lower(name || char(10) || prefix), ?2) > 0");
    }
    let expression = page.sort.expression();
    let clause = page.clause(expression, parameters.len());
    conditions.push(&clause.condition);
    parameters.extend(clause.parameters);
    let select = format!(
        "SELECT id, {expression}, {} FROM client_tokens WHERE {} {} {}",
        columns(),
        conditions.join(" AND "),
        clause.order,
        clause.limit
    );
    let rows = read(database, &select, parameters).await?;
    Ok(page.of_rows(&rows, listed))
}

/// One client token; `None` if there is none with this id.
///
/// # Errors
/// The table cannot be read.
pub async fn listed_client_token(
    database: &impl Database,
    id: TokenId,
) -> Result<Option<ListedToken>> {
    let select = format!(
        "SELECT id, id, {} FROM client_tokens WHERE id = ?1",
        columns()
    );
    let rows = read(database, &select, values![id.0]).await?;
    Ok(rows.first().map(listed))
}

fn find() -> String {
    format!(
        "SELECT id, id, {}, digest, previous_digest FROM client_tokens
WHERE digest = ?1 OR (previous_digest = ?1 AND previous_until > ?2)",
        columns()
    )
}

/// The client token with this digest, or whose digest this was before a rotation whose grace has
/// not ended. `None` if there is none; disabled and expired tokens are found.
///
/// # Errors
/// The table cannot be read.
pub async fn find_client_token(
    database: &impl Database,
    digest: &TokenDigest,
    now: UnixMillis,
) -> Result<Option<ClientToken>> {
    let rows = read(database, &find(), values![digest.value(), now]).await?;
    let is_digest = |row: &Row, column| match row.0.get(column) {
        Some(Value::Blob(found)) => digest.is(found),
        _ => false,
    };
    let row = rows
        .iter()
        .find(|row| is_digest(row, 13) | is_digest(row, 14));
    Ok(row.map(|row| listed(row).token))
}

/// Whether there is any client token besides the built-in one.
///
/// # Errors
/// The table cannot be read.
pub async fn has_client_tokens(database: &impl Database) -> Result<bool> {
    let rows = read(database, "SELECT 1 FROM client_tokens LIMIT 1", Vec::new()).await?;
    Ok(!rows.is_empty())
}

const USED: &str = "SELECT CAST(total(tokens) AS INTEGER) FROM client_token_hours
WHERE token_id = ?1 AND hour >= ?2";

/// The tokens that a client token has used today, as far as its calls have ended.
///
/// # Errors
/// The table cannot be read.
pub async fn tokens_used_today(database: &impl Database, id: TokenId, now: &Moment) -> Result<u64> {
    // Days in Los Angeles begin at a full hour of UTC.
    let rows = read(database, USED, values![id.0, now.day_start()]).await?;
    let used = rows.first().and_then(|row| row.integer(0)).unwrap_or(0);
    Ok(u64::try_from(used).unwrap_or(0))
}

const DELETE_OLD_USAGE: &str = "DELETE FROM client_token_hours WHERE hour < ?1";

pub(super) async fn delete_old_token_usage(
    database: &impl Database,
    now: UnixMillis,
) -> Result<()> {
    let before = now.plus(-USAGE_RETENTION_MS);
    write(database, DELETE_OLD_USAGE, values![before])
        .await
        .map(drop)
}

#[cfg(test)]
mod tests;
