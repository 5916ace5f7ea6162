//! Replies that break off, and clients that leave.

use crate::support::{CONTENTS, Client, KEY, STREAM, chat, ended, gemini, native, soon};
use fake_gemini::{Break, Ended, Framing, MidStream, Reply, errors};
use std::io::ErrorKind;
use std::time::Duration;

/// What a streaming client sees of `reply`, chunk sizes included, and how the connection ended.
async fn streamed(reply: Reply) -> (String, Option<ErrorKind>) {
    let gemini = gemini().await;
    gemini.script(KEY, reply);
    let client = Client::chat(&gemini, STREAM, &[("connection", "close")]).await;
    let (bytes, end) = client.rest().await;
    let text = String::from_utf8(bytes).unwrap();
    (text, end.err().map(|error| error.kind()))
}

#[tokio::test]
async fn connection_ends_instead_of_a_head() {
    let (text, end) = streamed(Reply::reset()).await;
    assert_eq!((text.as_str(), end), ("", Some(ErrorKind::ConnectionReset)));
    let (text, end) = streamed(Reply::close()).await;
    assert_eq!((text.as_str(), end), ("", None));
}

#[tokio::test]
async fn stream_breaks_exactly_after_an_event() {
    let reset = Some(ErrorKind::ConnectionReset);
    for (events, how, chunks_end, end) in [
        (0, Break::Reset, "\r\n\r\n", reset),
        (3, Break::Reset, "}\n\n\r\n", reset),
        (2, Break::Close, "}\n\n\r\n", None),
        (2, Break::End, "}\n\n\r\n0\r\n\r\n", None),
        (9, Break::Close, "}\n\n\r\n", None),
    ] {
        let reply = Reply::events(5).break_after(events, how.clone());
        let (text, seen) = streamed(reply).await;
        let count = text.matches("data: {").count();
        assert_eq!((count, seen), (events.min(5), end), "{how:?}: {text}");
        assert!(text.ends_with(chunks_end), "{how:?}: {text}");
        assert!(!text.contains("[DONE]"), "{how:?}: {text}");
        let finished = text.contains("finish_reason");
        assert_eq!(finished, events > 5, "{how:?}: {text}");
    }
}

#[tokio::test]
async fn mid_stream_error_takes_each_form() {
    let gemini = gemini().await;
    let object = errors::unavailable().compact();
    let pretty = errors::unavailable().pretty();
    let unavailable = |form| {
        let how = Break::Error(errors::unavailable(), form);
        Reply::events(3).break_after(1, how)
    };
    for (form, end) in [
        (MidStream::Object, format!("\n\ndata: {object}\n\n")),
        (MidStream::Array, format!("\n\ndata: [{object}]\n\n")),
        (MidStream::Unframed, format!("\n\n[{pretty}]\n")),
    ] {
        gemini.script(KEY, unavailable(form));
        let response = chat(&gemini, STREAM).await;
        assert!(response.text().ends_with(&end), "{}", response.text());
    }
    let stream = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    let events = &format!("{stream}?alt=sse");
    for (path, form, end) in [
        (events, MidStream::Unframed, format!("\r\n\r\n{pretty}")),
        (events, MidStream::Object, format!("data: {object}\r\n\r\n")),
        (
            &stream.to_owned(),
            MidStream::Unframed,
            format!(",\r\n{pretty}]\n"),
        ),
    ] {
        gemini.script(KEY, unavailable(form));
        let response = native(&gemini, KEY, "POST", path, CONTENTS).await;
        assert_eq!(response.status(), 200);
        assert!(response.text().ends_with(&end), "{}", response.text());
    }
}

#[tokio::test]
async fn cut_body_claims_more_than_it_sends() {
    for (framing, sent) in [
        (Framing::Length, r#"{"choices":[{"finish"#),
        (Framing::Chunked, "14\r\n{\"choices\":[{\"finish\r\n"),
    ] {
        let gemini = gemini().await;
        gemini.script(KEY, Reply::ok().cut_at(20, framing));
        let mut client = Client::chat(&gemini, "", &[]).await;
        let head = client.head().await;
        let length: Option<usize> = head.get("content-length").map(|it| it.parse().unwrap());
        assert_eq!(length > Some(100), framing == Framing::Length);
        let (rest, end) = client.rest().await;
        assert!(end.is_ok());
        assert_eq!(String::from_utf8(rest).unwrap(), sent);
        assert_eq!(ended(&gemini).await.ended, Ended::BrokenOff);
    }
}

#[tokio::test]
async fn client_that_leaves_is_noticed() {
    for (reply, status) in [
        (Reply::silence(), None),
        (Reply::ok().delay(Duration::from_secs(3600)), None),
        (Reply::stepped(3).0, Some(200)),
        (Reply::events(3).gap(Duration::from_secs(3600)), Some(200)),
    ] {
        let gemini = gemini().await;
        gemini.script(KEY, reply);
        let client = Client::chat(&gemini, STREAM, &[]).await;
        soon(gemini.wait_until(|calls| calls.first().is_some_and(|call| call.status == status)))
            .await;
        drop(client);
        let call = ended(&gemini).await;
        assert_eq!((call.ended, call.status), (Ended::ClientGone, status));
    }
}

#[tokio::test]
async fn panic_in_a_default_reply_reaches_the_test() {
    let builder = fake_gemini::FakeGemini::builder().key(KEY);
    let gemini = builder.default_reply(|_| panic!("no reply"));
    let gemini = gemini.start().await.unwrap();
    let client = Client::chat(&gemini, "", &[("connection", "close")]).await;
    client.rest().await.1.unwrap();
    let stopping = tokio::spawn(async move { gemini.stop().await });
    let payload = soon(stopping).await.unwrap_err().into_panic();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.contains("no reply"), "{message}");
}
