//! `keypool tokens`: client tokens, one for each person or program that calls the pool.

use crate::connection::{Connection, parse};
use crate::output::{Format, grouped, or_dash, state, table};
use anyhow::Result;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write;

/// The commands about client tokens.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Create a token, which is shown once.
    Create(CreateOptions),
    /// List tokens, without the tokens themselves.
    List {
        /// Tokens in this state: active, disabled or expired.
        #[arg(long)]
        state: Option<String>,
        /// Tokens whose name or prefix contains this text.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Take a token out of use. Calls under way go on.
    Disable {
        /// The token's id.
        id: u64,
    },
    /// Put a token back into use.
    Enable {
        /// The token's id.
        id: u64,
    },
    /// Replace a token by a new one with the same limits, which is shown once.
    Rotate {
        /// The token's id.
        id: u64,
        /// How long the old token is accepted, too, in seconds; 30 days at most.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        grace: u32,
    },
    /// Delete a token. The log of its calls stays.
    Delete {
        /// The token's id.
        id: u64,
    },
}

/// A new token.
#[derive(Debug, clap::Args)]
pub struct CreateOptions {
    /// Who will use it.
    name: String,
    /// When it stops working, in ISO 8601.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// A model that it may use, or a pattern such as gemini-*; can be repeated. All by default.
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// A network from which it may be used, such as 10.0.0.0/8; can be repeated. All by default.
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// The most requests per minute.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// The most tokens of prompts and answers per day of Los Angeles.
    #[arg(long, value_name = "N")]
    tokens_per_day: Option<u64>,
}

#[derive(Deserialize)]
struct Token {
    id: i64,
    token: Option<String>,
    name: Option<String>,
    prefix: Option<String>,
    state: String,
    expires_at: Option<String>,
    models: Option<Vec<String>>,
    networks: Option<Vec<String>>,
    requests_per_minute: Option<i64>,
    tokens_per_day: Option<i64>,
}

pub(crate) fn run(
    connection: &Connection,
    format: Format,
    command: &TokensCommand,
    out: &mut impl Write,
) -> Result<()> {
    let change = |path: &str, body: &Value| connection.change("POST", path, &body.to_string());
    match command {
        TokensCommand::Create(options) => {
            let json = change("tokens", &body(options))?;
            write_one(format, &json, out)
        }
        TokensCommand::List { state, search } => {
            let parameters = [("state", state.as_deref()), ("q", search.as_deref())];
            write(format, connection.list("tokens", &parameters)?, out)
        }
        TokensCommand::Disable { id } => {
            let json = change(&format!("tokens/{id}/disable"), &json!({}))?;
            write_one(format, &json, out)
        }
        TokensCommand::Enable { id } => {
            let json = change(&format!("tokens/{id}/enable"), &json!({}))?;
            write_one(format, &json, out)
        }
        TokensCommand::Rotate { id, grace } => {
            let body = json!({ "grace_seconds": grace });
            let json = change(&format!("tokens/{id}/rotate"), &body)?;
            write_one(format, &json, out)
        }
        TokensCommand::Delete { id } => {
            connection.change("DELETE", &format!("tokens/{id}"), "")?;
            match format {
                Format::Json => Ok(()),
                Format::Table => Ok(writeln!(out, "Token {id} is deleted.")?),
            }
        }
    }
}

fn body(options: &CreateOptions) -> Value {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        let is_set = !value.is_null() && value != json!([]);
        if is_set {
            body.insert(name.to_owned(), value);
        }
    };
    set("name", json!(options.name));
    set("expires_at", json!(options.expires));
    set("models", json!(options.models));
    set("networks", json!(options.networks));
    set("requests_per_minute", json!(options.requests_per_minute));
    set("tokens_per_day", json!(options.tokens_per_day));
    Value::Object(body)
}

/// Writes a token after a change, and itself if it is new.
fn write_one(format: Format, json: &str, out: &mut impl Write) -> Result<()> {
    if format == Format::Json {
        return Ok(writeln!(out, "{json}")?);
    }
    let token: Token = parse(json)?;
    if let Some(secret) = &token.token {
        writeln!(
            out,
            "{secret}\n\nThis is the only time that the token is shown.\n"
        )?;
    }
    write(format, vec![parse(json)?], out)
}

/// Writes tokens: as a JSON array, or a table.
fn write(format: Format, tokens: Vec<Value>, out: &mut impl Write) -> Result<()> {
    if format == Format::Json {
        return Ok(writeln!(out, "{}", Value::Array(tokens))?);
    }
    let mut rows = table(&[
        "ID",
        "NAME",
        "PREFIX",
        "STATE",
        "EXPIRES",
        "REQUESTS/MIN",
        "TOKENS/DAY",
        "MODELS",
        "NETWORKS",
    ]);
    let limit = |limit: Option<i64>| or_dash(limit.map(grouped).as_deref()).to_owned();
    let all = |list: Option<Vec<String>>| list.map_or("all".to_owned(), |list| list.join(", "));
    for token in tokens {
        let token: Token = serde_json::from_value(token)?;
        rows.add_row([
            token.id.to_string().into(),
            or_dash(token.name.as_deref()).into(),
            or_dash(token.prefix.as_deref()).into(),
            state(&token.state),
            or_dash(token.expires_at.as_deref()).into(),
            limit(token.requests_per_minute).into(),
            limit(token.tokens_per_day).into(),
            all(token.models).into(),
            all(token.networks).into(),
        ]);
    }
    writeln!(out, "{rows}")?;
    Ok(())
}
