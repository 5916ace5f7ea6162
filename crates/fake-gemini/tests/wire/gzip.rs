//! Compression: where the client takes it, and with each event complete.

use crate::support::{Client, KEY, gemini};
use fake_gemini::{Break, Framing, Reply, errors};
use flate2::read::GzDecoder;
use std::io::{Read, Write};

const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate");

fn unzipped(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn answers_and_errors_are_compressed() {
    let gemini = gemini().await;
    for (reply, begin, content_type) in [
        (Reply::ok(), r#"{"choices":["#, "application/json"),
        (
            Reply::error(errors::high_demand()),
            "[{\n  \"error\": {\n    \"code\": 503,",
            "application/json; charset=UTF-8",
        ),
    ] {
        gemini.script(KEY, reply);
        let mut client = Client::connect(&gemini).await;
        client.chat("", &[GZIP]).await;
        let response = client.response().await;
        assert_eq!(response.head.get("content-encoding"), Some("gzip"));
        assert_eq!(response.head.get("content-type"), Some(content_type));
        assert_eq!(response.head.get("transfer-encoding"), Some("chunked"));
        let text = unzipped(&response.bytes);
        assert!(text.starts_with(begin), "{text}");
    }
}

#[tokio::test]
async fn each_event_of_a_compressed_stream_can_be_read_when_it_arrives() {
    let gemini = gemini().await;
    let (reply, steps) = Reply::stepped(3);
    gemini.script(KEY, reply);
    let mut client = Client::connect(&gemini).await;
    client.chat(r#","stream":true"#, &[GZIP]).await;
    let head = client.head().await;
    assert_eq!(head.get("content-encoding"), Some("gzip"));
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for number in 1..=3 {
        steps.release(1);
        decoder.write_all(&client.chunk().await.unwrap()).unwrap();
        decoder.flush().unwrap();
        let event = String::from_utf8(std::mem::take(decoder.get_mut())).unwrap();
        assert!(
            event.contains(&format!("Piece {number} of 3.")) && event.ends_with("}\n\n"),
            "{event}"
        );
    }
    decoder.write_all(&client.chunk().await.unwrap()).unwrap();
    assert_eq!(decoder.finish().unwrap(), b"data: [DONE]\n\n");
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn a_compressed_stream_that_ends_early_is_still_a_whole_gzip_file() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::events(5).break_after(2, Break::End));
    let mut client = Client::connect(&gemini).await;
    client.chat(r#","stream":true"#, &[GZIP]).await;
    let text = unzipped(&client.response().await.bytes);
    assert_eq!(text.matches("data: ").count(), 2);
}

#[tokio::test]
async fn compressed_bodies_are_cut_after_compression() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::ok().cut_at(30, Framing::Length));
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[GZIP]).await;
    let head = client.head().await;
    assert_eq!(head.get("content-encoding"), Some("gzip"));
    let (rest, _) = client.rest().await;
    assert_eq!(rest.len(), 30);
    assert!(rest.starts_with(b"\x1f\x8b"));
}

#[tokio::test]
async fn raw_bytes_and_clients_without_gzip_get_none() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::html(502));
    for accepts in [&[GZIP][..], &[("accept-encoding", "identity")], &[]] {
        let mut client = Client::connect(&gemini).await;
        client.chat("", accepts).await;
        let response = client.response().await;
        assert_eq!(response.head.get("content-encoding"), None, "{accepts:?}");
    }
}
