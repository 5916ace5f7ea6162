//! Traffic for the demo: a few limits and a fault drill for operators to see, and then a request every
//! second or so.
//!
//! It speaks HTTP by hand, since xtask has few dependencies. What goes wrong does not matter: the
//! pool's own output tells.

use super::greeting::{DEMO_ADMIN_TOKEN, DEMO_TOKEN};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// The pause between requests.
const PAUSE: Duration = Duration::from_millis(1_300);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// One request in so many begins a fault drill.
const DRILL_EVERY: usize = 400;
/// The models in turn.
const MODELS: [&str; 5] = [
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "gemini-flash-latest",
    "gemini-2.5-flash",
    "gemini-2.5-flash",
];

/// Sends requests until the process ends.
pub(super) fn start(pool: SocketAddr) {
    thread::spawn(move || {
        for (method, path, body) in PREPARATIONS {
            send(pool, DEMO_ADMIN_TOKEN, method, path, body);
        }
        for (turn, model) in MODELS.iter().cycle().enumerate() {
            if turn % DRILL_EVERY == 0 {
                let drill = r#"{"fault":"429","calls":2}"#;
                let path = "/admin/api/v1/keys/7/drill";
                send(pool, DEMO_ADMIN_TOKEN, "POST", path, drill);
            }
            let stream = turn % 2 == 0;
            let body = format!(
                r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"Hello, number {turn}"}}]}}"#
            );
            send(pool, DEMO_TOKEN, "POST", "/v1/chat/completions", &body);
            thread::sleep(PAUSE);
        }
    });
}

/// Changes by an operator, which also fill the audit log, and a test of a key that Google rejects.
const PREPARATIONS: [(&str, &str, &str); 6] = [
    (
        "PUT",
        "/admin/api/v1/keys/1/limits",
        r#"{"limits":[{"scope":"project","model":"gemini-2.5-pro","unit":"requests","per":"day","preset":100},{"scope":"project","model":"gemini-2.5-flash","unit":"requests","per":"day","preset":1500}]}"#,
    ),
    (
        "PUT",
        "/admin/api/v1/keys/4/limits",
        r#"{"limits":[{"model":"gemini-2.5-flash","unit":"requests","per":"day","preset":1000},{"model":"gemini-2.5-flash","unit":"requests","per":"minute","preset":15}]}"#,
    ),
    (
        "PUT",
        "/admin/api/v1/keys/6/limits",
        r#"{"limits":[{"model":"gemini-2.5-pro","unit":"requests","per":"day","preset":3}]}"#,
    ),
    (
        "PATCH",
        "/admin/api/v1/keys/10",
        r#"{"note":"Whose key is this?"}"#,
    ),
    (
        "POST",
        "/admin/api/v1/keys/12/pause",
        r#"{"until":"2099-01-01T00:00:00Z"}"#,
    ),
    ("POST", "/admin/api/v1/keys/5/test", ""),
];

fn send(pool: SocketAddr, token: &str, method: &str, path: &str, body: &str) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {pool}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    if let Ok(mut connection) = TcpStream::connect_timeout(&pool, TIMEOUT) {
        let _ = connection.set_read_timeout(Some(TIMEOUT));
        let _ = connection.write_all(request.as_bytes());
        let _ = connection.read_to_end(&mut Vec::new());
    }
}
