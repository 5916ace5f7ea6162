//! Answers that break off: each place, each way.

use crate::support::{Client, KEY, chat, contents, ended, gemini, native};
use fake_gemini::{Break, Ended, Framing, MidStream, Reply, errors};
use std::io::ErrorKind;

/// Everything that a streaming client sees of `reply`, with the chunk sizes, and how the connection ended.
async fn streamed(reply: Reply) -> (String, Option<ErrorKind>) {
    let gemini = gemini().await;
    gemini.script(KEY, reply);
    let mut client = Client::connect(&gemini).await;
    client
        .chat(r#","stream":true"#, &[("connection", "close")])
        .await;
    let (bytes, end) = client.rest().await;
    (
        String::from_utf8(bytes).unwrap(),
        end.err().map(|error| error.kind()),
    )
}

fn is_head_only(text: &str) -> bool {
    text.starts_with("HTTP/1.1 200 OK\r\n") && text.find("\r\n\r\n") == Some(text.len() - 4)
}

#[tokio::test]
async fn a_reset_closes_the_connection_without_a_head() {
    let (text, end) = streamed(Reply::reset()).await;
    assert_eq!((text.as_str(), end), ("", Some(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_connection_may_just_close_without_a_head() {
    let (text, end) = streamed(Reply::close()).await;
    assert_eq!((text.as_str(), end), ("", None));
}

#[tokio::test]
async fn a_reset_after_the_head_leaves_the_head() {
    let (text, end) = streamed(Reply::events(3).break_after(0, Break::Reset)).await;
    assert!(is_head_only(&text), "{text}");
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_reset_after_some_events_leaves_those() {
    let (text, end) = streamed(Reply::events(5).break_after(3, Break::Reset)).await;
    assert_eq!(text.matches("data: {").count(), 3, "{text}");
    assert!(text.contains("Piece 3 of 5."), "{text}");
    assert!(
        text.ends_with("}\n\n\r\n"),
        "the third chunk is whole: {text}"
    );
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_close_after_some_events_leaves_out_the_last_chunk() {
    let (text, end) = streamed(Reply::events(5).break_after(2, Break::Close)).await;
    assert_eq!(text.matches("data: {").count(), 2, "{text}");
    assert!(text.ends_with("}\n\n\r\n"), "{text}");
    assert!(!text.contains("[DONE]") && !text.contains("finish_reason"));
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_break_after_all_events_takes_only_the_streams_end() {
    let (text, _) = streamed(Reply::events(2).break_after(9, Break::Close)).await;
    assert!(text.contains(r#""finish_reason":"stop""#), "{text}");
    assert!(!text.contains("[DONE]") && text.ends_with("}\n\n\r\n"));
}

#[tokio::test]
async fn a_clean_end_without_done_is_a_whole_message() {
    let (text, end) = streamed(Reply::events(5).break_after(2, Break::End)).await;
    assert_eq!(text.matches("data: {").count(), 2, "{text}");
    assert!(text.ends_with("}\n\n\r\n0\r\n\r\n"), "{text}");
    assert!(!text.contains("[DONE]") && !text.contains("finish_reason"));
    assert_eq!(end, None);
}

const OBJECT: &str = r#"{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}"#;
const PRETTY: &str = "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"The service is currently unavailable.\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n";

#[tokio::test]
async fn an_error_in_the_middle_takes_each_form_on_the_compatible_surface() {
    let lines = format!("[{PRETTY}]\n");
    for (form, expected) in [
        (MidStream::Object, vec![format!("data: {OBJECT}\n\n")]),
        (MidStream::Array, vec![format!("data: [{OBJECT}]\n\n")]),
        (
            MidStream::Unframed,
            lines.split_inclusive('\n').map(str::to_owned).collect(),
        ),
    ] {
        let gemini = gemini().await;
        let how = Break::Error(errors::unavailable(), form);
        gemini.script(KEY, Reply::events(3).break_after(1, how));
        let mut client = Client::connect(&gemini).await;
        client.chat(r#","stream":true"#, &[]).await;
        assert_eq!(client.head().await.status, 200);
        let first = client.text_chunk().await.unwrap();
        assert!(first.contains("Piece 1 of 3."), "{first}");
        for chunk in expected {
            assert_eq!(client.text_chunk().await, Some(chunk));
        }
        assert_eq!(client.chunk().await, None);
        assert_eq!(ended(&gemini).await.ended, Ended::Whole);
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_native_stream_is_bare() {
    for (path, form, after) in [
        (
            "models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            MidStream::Unframed,
            PRETTY.to_owned(),
        ),
        (
            "models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            MidStream::Object,
            format!("data: {OBJECT}\r\n\r\n"),
        ),
        (
            "models/gemini-2.5-flash:streamGenerateContent",
            MidStream::Unframed,
            format!(",\r\n{PRETTY}]\n"),
        ),
    ] {
        let gemini = gemini().await;
        let how = Break::Error(errors::unavailable(), form);
        gemini.script(KEY, Reply::events(3).break_after(1, how));
        let response = native(&gemini, path, &contents()).await;
        assert_eq!(response.status(), 200);
        assert!(
            response.text().contains("Piece 1 of 3.") && response.text().ends_with(&after),
            "{path}: {}",
            response.text()
        );
        assert!(!response.text().contains("Piece 2"));
    }
}

#[tokio::test]
async fn an_array_that_fails_at_once_is_still_an_array() {
    let gemini = gemini().await;
    let how = Break::Error(errors::unavailable(), MidStream::Unframed);
    gemini.script(KEY, Reply::events(3).break_after(0, how));
    let path = "models/gemini-2.5-flash:streamGenerateContent";
    let response = native(&gemini, path, &contents()).await;
    assert_eq!(response.text(), format!("[{PRETTY}]\n"));
}

#[tokio::test]
async fn a_body_cut_short_claims_more_than_it_sends() {
    for framing in [Framing::Length, Framing::Chunked] {
        let gemini = gemini().await;
        gemini.script(KEY, Reply::ok().cut_at(20, framing));
        let mut client = Client::connect(&gemini).await;
        client.chat("", &[]).await;
        let head = client.head().await;
        let (rest, end) = client.rest().await;
        assert!(end.is_ok());
        let sent = r#"{"choices":[{"finish"#;
        match framing {
            Framing::Length => {
                let length: usize = head.get("content-length").unwrap().parse().unwrap();
                assert!(length > 100, "{length}");
                assert_eq!(rest, sent.as_bytes());
            }
            Framing::Chunked => {
                assert_eq!(head.get("transfer-encoding"), Some("chunked"));
                assert_eq!(
                    String::from_utf8(rest).unwrap(),
                    format!("14\r\n{sent}\r\n")
                );
            }
        }
        assert_eq!(ended(&gemini).await.ended, Ended::BrokenOff);
    }
}

#[tokio::test]
async fn a_cut_behind_the_end_still_leaves_the_body_incomplete() {
    let gemini = gemini().await;
    gemini.script(
        KEY,
        Reply::raw(200, "text/plain", "four").cut_at(usize::MAX, Framing::Length),
    );
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    assert_eq!(client.head().await.get("content-length"), Some("5"));
    assert_eq!(client.rest().await.0, b"four");
}

#[tokio::test]
async fn errors_can_be_cut_short_and_reset_too() {
    let gemini = gemini().await;
    gemini.script(
        KEY,
        Reply::error(errors::unavailable()).cut_at(10, Framing::Length),
    );
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    assert_eq!(client.head().await.status, 503);
    assert_eq!(client.rest().await.0, b"[{\n  \"erro");

    gemini.script(
        KEY,
        Reply::error(errors::unavailable()).break_after(0, Break::Reset),
    );
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[]).await;
    assert_eq!(client.head().await.status, 503);
    let (rest, end) = client.rest().await;
    assert!(rest.is_empty());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn how_a_call_was_broken_off_is_in_the_log() {
    for (reply, events, status) in [
        (Reply::reset(), 0, None),
        (Reply::close(), 0, None),
        (Reply::events(5).break_after(0, Break::Close), 0, Some(200)),
        (Reply::events(5).break_after(4, Break::Reset), 4, Some(200)),
    ] {
        let gemini = gemini().await;
        gemini.script(KEY, reply);
        let mut client = Client::connect(&gemini).await;
        client.chat(r#","stream":true"#, &[]).await;
        let _ = client.rest().await;
        let call = ended(&gemini).await;
        assert_eq!(
            (call.ended, call.events_sent, call.status),
            (Ended::BrokenOff, events, status)
        );
    }
}

#[tokio::test]
async fn raw_replies_are_sent_as_they_are() {
    let gemini = gemini().await;
    gemini.script(KEY, Reply::raw(418, "text/x-odd", &b"\x00\xff"[..]));
    let odd = chat(&gemini, "").await;
    assert_eq!(
        (odd.status(), odd.head.get("content-type"), &odd.bytes[..]),
        (418, Some("text/x-odd"), &b"\x00\xff"[..])
    );
    gemini.script(KEY, Reply::bare(503));
    let bare = chat(&gemini, "").await;
    assert_eq!(
        (
            bare.status(),
            bare.head.get("content-type"),
            bare.head.get("content-length")
        ),
        (503, None, Some("0"))
    );
    for status in [502, 503] {
        gemini.script(KEY, Reply::html(status));
        let page = chat(&gemini, "").await;
        assert_eq!(page.status(), status);
        assert_eq!(
            page.head.get("content-type"),
            Some("text/html; charset=UTF-8")
        );
        assert!(page.text().starts_with("<!DOCTYPE html>"));
    }
    gemini.script(KEY, Reply::automated_queries());
    assert_eq!(chat(&gemini, "").await.status(), 403);
    gemini.script(KEY, Reply::raw(99, "two\nlines", "x"));
    let odd = chat(&gemini, "").await;
    assert_eq!((odd.status(), odd.head.get("content-type")), (500, None));
}

#[tokio::test]
async fn raw_chunks_are_sent_as_they_are() {
    let gemini = gemini().await;
    let chunks = ["data: {\"a\"", ":1}\n\nda", "ta: [DONE]\n\n"];
    gemini.script(KEY, Reply::raw_chunks(200, "text/event-stream", chunks));
    let mut client = Client::connect(&gemini).await;
    client.chat("", &[("accept-encoding", "gzip")]).await;
    let head = client.head().await;
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    for chunk in chunks {
        assert_eq!(client.text_chunk().await.as_deref(), Some(chunk));
    }
    assert_eq!(client.chunk().await, None);
    let call = ended(&gemini).await;
    assert_eq!((call.ended, call.events_sent), (Ended::Whole, 3));
}

#[tokio::test]
async fn a_body_may_come_in_pieces_that_know_no_events() {
    let (plain, split) = (gemini().await, gemini().await);
    plain.script(KEY, Reply::events(2));
    let whole = chat(&plain, r#","stream":true"#).await;
    let (reply, steps) = Reply::events(2).in_pieces_of(7).stepwise();
    split.script(KEY, reply);
    let mut client = Client::connect(&split).await;
    client.chat(r#","stream":true"#, &[]).await;
    assert_eq!(client.head().await.get("content-length"), None);
    for (index, expected) in whole.bytes.chunks(7).enumerate() {
        assert_eq!(split.calls()[0].events_sent, index);
        steps.release(1);
        assert_eq!(client.chunk().await.as_deref(), Some(expected));
    }
    assert_eq!(client.chunk().await, None);
    assert_eq!(split.calls()[0].ended, Ended::Whole);
}

#[tokio::test]
async fn errors_and_broken_streams_come_in_pieces_too() {
    let gemini = gemini().await;
    let error = errors::unavailable();
    gemini.script(KEY, Reply::error(error.clone()).in_pieces_of(0));
    let response = chat(&gemini, "").await;
    assert_eq!(response.head.get("content-length"), None);
    assert_eq!(response.text(), error.pretty_array());
    assert_eq!(gemini.calls()[0].events_sent, response.text().len());
    let broken = Reply::events(3).break_after(1, Break::Close);
    let (text, _) = streamed(broken.in_pieces_of(64)).await;
    assert!(text.contains("Piece 1 of 3.") && !text.contains("Piece 2"));
}

#[tokio::test]
async fn a_status_without_a_body_has_none_and_is_answered_whole() {
    for status in [204, 304] {
        let gemini = gemini().await;
        gemini.script(KEY, Reply::raw(status, "text/plain", "never sent"));
        let mut client = Client::connect(&gemini).await;
        client.chat("", &[]).await;
        let head = client.head().await;
        assert_eq!(
            (head.status, head.get("content-length")),
            (status, None),
            "nothing is promised"
        );
        client.chat("", &[]).await;
        assert_eq!(client.response().await.status(), 200);
        assert_eq!(gemini.calls()[0].ended, Ended::Whole);
    }
}

#[tokio::test]
async fn a_499_has_its_reason_phrase() {
    let (text, _) = streamed(Reply::error(errors::cancelled())).await;
    let line = "HTTP/1.1 499 Client Closed Request\r\n";
    assert!(text.starts_with(line), "{text}");
}

#[tokio::test]
async fn a_header_can_be_added_to_any_reply() {
    let gemini = gemini().await;
    let retry_after = (
        "retry-after".parse().unwrap(),
        "7".parse::<http::HeaderValue>().unwrap(),
    );
    gemini.script(
        KEY,
        Reply::error(errors::resource_exhausted()).header(retry_after.0, retry_after.1),
    );
    assert_eq!(chat(&gemini, "").await.head.get("retry-after"), Some("7"));
}
