//! The pool's address, the operator's token, and requests to the admin API.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// How long a request may take; for a download, until it begins.
const TIMEOUT: Duration = Duration::from_secs(120);
/// What is said of a response without its end.
pub(crate) const BROKEN_OFF: &str = "the pool's response broke off";
/// Variables with the operator's token, in order of precedence. The second is the pool's own.
const TOKEN_VARIABLES: [&str; 2] = ["KEYPOOL_ADMIN_TOKEN", "SPIN_VARIABLE_ADMIN_TOKEN"];

/// Where the pool is, and who asks.
#[derive(Debug, clap::Args)]
pub struct ConnectionArgs {
    /// The pool's address.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "KEYPOOL_URL",
        default_value = "http://127.0.0.1:3000"
    )]
    url: String,
    /// A file with the operator's token. Without it, the token is that of KEYPOOL_ADMIN_TOKEN or
    /// SPIN_VARIABLE_ADMIN_TOKEN in the environment.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "KEYPOOL_ADMIN_TOKEN_FILE"
    )]
    token_file: Option<PathBuf>,
    /// Write JSON as the API returns it, for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A connection to a pool.
pub(crate) struct Connection {
    agent: Agent,
    /// Without a trailing slash.
    url: String,
    token: String,
}

/// A page of a list.
#[derive(Deserialize)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) next_cursor: Option<String>,
}

/// An error of the admin API (RFC 9457), or of the older paths.
#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
    error: Option<OlderError>,
}

#[derive(Deserialize)]
struct OlderError {
    message: String,
}

impl ConnectionArgs {
    pub(crate) fn connect(&self) -> Result<Connection> {
        let token = match &self.token_file {
            Some(file) => fs::read_to_string(file)
                .with_context(|| format!("cannot read the token from {}", file.display()))?,
            None => TOKEN_VARIABLES
                .iter()
                .find_map(|name| env::var(name).ok().filter(|token| !token.trim().is_empty()))
                .context(
                    "there is no operator's token: set KEYPOOL_ADMIN_TOKEN to the pool's admin_token, or \
                     use --token-file",
                )?,
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_recv_response(Some(TIMEOUT))
            .tls_config(tls.build())
            .build();
        Ok(Connection {
            agent: agent.into(),
            url: self.url.trim_end_matches('/').to_owned(),
            token: token.trim().to_owned(),
        })
    }
}

impl Connection {
    /// Gets a path of the admin API, such as `keys?limit=5`.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        self.send("GET", &api(path), "")
    }

    /// Gets the page after `cursor` of a list, such as `keys`.
    pub(crate) fn page(
        &self,
        list: &str,
        parameters: &[(&str, Option<&str>)],
        cursor: Option<&str>,
    ) -> Result<Page> {
        let page = [("limit", Some("1000")), ("cursor", cursor)];
        let query = query(&[parameters, &page].concat());
        parse(&self.get(&format!("{list}?{query}"))?)
    }

    /// Gets all pages of a list.
    pub(crate) fn list(
        &self,
        list: &str,
        parameters: &[(&str, Option<&str>)],
    ) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.page(list, parameters, cursor.as_deref())?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// Gets a file, whose download may take any time.
    pub(crate) fn download(&self, path: &str) -> Result<impl Read + use<>> {
        let body = self.exchange("GET", &api(path), "", None)?;
        Ok(body.into_with_config().limit(u64::MAX).reader())
    }

    /// Gets one of the older paths for operators.
    pub(crate) fn get_older(&self, path: &str) -> Result<String> {
        self.send("GET", path, "")
    }

    /// Changes something. The body is JSON.
    pub(crate) fn change(&self, method: &str, path: &str, body: &str) -> Result<String> {
        self.send(method, &api(path), body)
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let mut body = self.exchange(method, path, body, Some(TIMEOUT))?;
        read(&mut body).context(BROKEN_OFF)
    }

    /// Sends a request that may take at most `limit` in all, and returns the body of the response.
    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: &str,
        limit: Option<Duration>,
    ) -> Result<Body> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        // The error may quote the header.
        let request = request
            .body(body.to_owned())
            .map_err(|_| anyhow::anyhow!("the address or the token has invalid characters"))?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_global(limit).build();
        let response = self
            .agent
            .run(request)
            .with_context(|| format!("cannot reach the pool at {}", self.url))?;
        let (head, mut body) = response.into_parts();
        match head.status.as_u16() {
            200..=299 => Ok(body),
            status => bail!("{}", message(status, &read(&mut body).context(BROKEN_OFF)?)),
        }
    }
}

fn api(path: &str) -> String {
    format!("/admin/api/v1/{path}")
}

fn read(body: &mut Body) -> Result<String, ureq::Error> {
    body.with_config().limit(u64::MAX).read_to_string()
}

/// What a response with an error status says.
fn message(status: u16, text: &str) -> String {
    let problem: Option<Problem> = serde_json::from_str(text).ok();
    let told = problem.and_then(|problem| {
        let older = problem.error.map(|error| error.message);
        problem.detail.or(older)
    });
    told.unwrap_or_else(|| {
        format!("the server answered with status {status}, and not as a pool; check --url")
    })
}

/// Reads a response.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json)
        .context("the pool's response is not understood: it may be of another version")
}

/// A query with these parameters, without those that are absent.
pub(crate) fn query(parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_the_pool_said() {
        for (text, expected) in [
            (r#"{"title":"Not Found","detail":"No key."}"#, "No key."),
            (r#"{"error":{"message":"No key."}}"#, "No key."),
        ] {
            assert_eq!(message(404, text), expected);
        }
        assert!(message(502, "<html>").contains("status 502"));
    }

    #[test]
    fn queries_leave_out_what_is_absent() {
        let parameters = [("a", Some("x y&z")), ("b", None), ("c", Some(""))];
        assert_eq!(query(&parameters), "a=x+y%26z&c=");
    }
}
