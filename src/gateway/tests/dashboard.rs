//! The dashboard's files.

use super::*;

const HTML: (&str, &str) = (
    "accept",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
);
const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate, br");

impl Pool {
    fn page(&self) -> Answer {
        let page = self.call("GET", "/", &[HTML], "");
        page.assert_status(200);
        page
    }

    /// The path of the script that the page begins with.
    fn script_path(&self) -> String {
        let page = self.page().body;
        let (_, rest) = page.split_once("<script type=\"module\" src=\"").unwrap();
        let (path, _) = rest.split_once('"').unwrap();
        format!("/{path}")
    }
}

#[test]
fn a_browser_gets_the_page_and_a_client_an_error() {
    let pool = Pool::new();
    let page = pool.page();
    assert_starts_with(&page.body, "<!doctype html>");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    for headers in [
        &[][..],
        &[("accept", "*/*")],
        &[("accept", "application/json")],
        &[("accept", "text/html;q=0, */*")],
        &[OPERATOR, ("accept", "application/json, text/plain")],
    ] {
        let answer = pool.call("GET", "/", headers, "");
        answer.assert_error(404, "unknown_path");
    }
    let head = pool.call("HEAD", "/", &[("accept", "Text/HTML; q=0.1")], "");
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.header("content-length"), page.header("content-length"));
    let posted = pool.call("POST", "/", &[HTML], "");
    assert_eq!(posted.status, 405);
}

#[test]
fn browsers_keep_files_until_their_version_changes() {
    let pool = Pool::new();
    let path = pool.script_path();
    let file = pool.call("GET", &path, &[], "");
    file.assert_status(200);
    assert_eq!(
        file.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(
        file.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(file.header("vary"), Some("accept-encoding"));
    let name = path.rsplit('/').next().unwrap();
    let other = pool.call("GET", &format!("/dashboard/other/{name}"), &[], "");
    assert_eq!(other.body, file.body);
    assert_eq!(other.header("cache-control"), Some("no-cache"));
    for path in [
        "/dashboard/",
        "/dashboard/other/",
        "/dashboard/other/none.js",
        "/dashboard/other/../main.js",
        "/dashboard/main.js",
        "/dashboard/other/vendor.mjs",
    ] {
        pool.call("GET", path, &[], "")
            .assert_error(404, "unknown_path");
    }
}

#[test]
fn an_unchanged_file_is_not_sent_again() {
    let pool = Pool::new();
    for headers in [&[HTML][..], &[HTML, GZIP]] {
        let first = pool.reply("GET", "/", headers, b"");
        let tag = first.headers["etag"].to_str().unwrap().to_owned();
        let mut headers = headers.to_vec();
        headers.push(("if-none-match", &tag));
        let again = pool.call("GET", "/", &headers, "");
        assert_eq!((again.status, &*again.body), (304, ""));
        assert_eq!(again.header("content-encoding"), None);
        assert_eq!(again.header("vary"), Some("accept, accept-encoding"));
    }
}

#[test]
fn files_are_compressed_for_those_who_accept_it() {
    let pool = Pool::new();
    for (accepted, is_compressed) in [
        ("gzip", true),
        ("br, gzip;q=0.5", true),
        ("*", true),
        ("GZIP", true),
        ("gzip;q=0, *", false),
        ("gzip;q=0.000", false),
        ("gzip ; Q=0", false),
        ("gzip;x=1;q=0", false),
        ("br", false),
        ("", false),
    ] {
        let headers = [HTML, ("accept-encoding", accepted)];
        let reply = pool.reply("GET", "/", &headers, b"");
        let Body::Whole(bytes) = reply.body else {
            panic!("{accepted}: not whole");
        };
        let encoding = reply.headers.get("content-encoding");
        assert_eq!(encoding.is_some(), is_compressed, "{accepted}");
        assert_eq!(bytes.starts_with(b"\x1f\x8b"), is_compressed, "{accepted}");
    }
}

#[test]
fn the_page_loads_only_its_own_files_and_is_in_no_frame() {
    let pool = Pool::with(&[("enforce_origin", "true"), ("allowed_origins", "a.example")]);
    for path in ["/", &pool.script_path()] {
        let answer = pool.call("GET", path, &[HTML], "");
        let policy = answer.header("content-security-policy").unwrap();
        assert_starts_with(policy, "default-src 'none'; ");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_contains(policy, "frame-ancestors 'none'");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
            assert_eq!(answer.header(name), Some("same-origin"), "{name}");
        }
    }
    let page = pool.page().body;
    for inline in ["<style", " style=", " onload=", "<script>", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    assert!(!page.contains("://"), "another server: {page}");
}

#[test]
fn the_page_needs_neither_settings_nor_a_database() {
    let invalid = Pool::with(&[("max_attempts", "none")]);
    let lost = |_| Err(DatabaseError::new("unable to open database file"));
    // Requests have lines on the terminal.
    let lost = Pool::with_database(&[("log_format", "text")], lost);
    for pool in [invalid, lost] {
        let other = ("origin", "https://other.example");
        pool.call("GET", &pool.script_path(), &[other], "")
            .assert_status(200);
        assert!(pool.log_lines().is_empty(), "{:?}", pool.log_lines());
    }
    let request = Request::get("/").header(HTML.0, HTML.1).body(()).unwrap();
    assert!(!crate::gateway::needs_database(&request.into_parts().0));
    let request = Request::get("/").body(()).unwrap();
    assert!(crate::gateway::needs_database(&request.into_parts().0));
}

#[test]
fn all_files_of_the_page_are_small() {
    let pool = Pool::new();
    let path = pool.script_path();
    let folder = path.trim_end_matches("main.js");
    let files = crate::gateway::dashboard::paths();
    let sizes = files.map(|file| {
        let path = format!("{folder}{file}");
        let answer = pool.reply("GET", &path, &[GZIP], b"");
        answer.headers["content-length"]
            .to_str()
            .unwrap()
            .parse::<usize>()
            .unwrap()
    });
    let total: usize = sizes.sum();
    assert!(total <= 120_000, "{total} bytes");
}
