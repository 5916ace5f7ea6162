use super::*;
use crate::wire::stream::testing::pieces;
use proptest::prelude::*;

/// Pushes a chunk and returns what passes.
fn pass(scanner: &mut EventScanner, chunk: &str) -> String {
    text(scanner.push(chunk.into()).ready)
}

/// Pushes pieces and returns what passes.
fn pass_all(scanner: &mut EventScanner, pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let passed = pieces.into_iter().map(|piece| scanner.push(piece).ready);
    passed.collect::<Vec<_>>().concat()
}

/// A scanner that was given this stream, and what passed.
fn scanned(kind: Kind, stream: &[&str]) -> (EventScanner, String) {
    let mut scanner = EventScanner::new(kind);
    let passed = pass(&mut scanner, &stream.concat());
    (scanner, passed)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Returns what was forwarded for each chunk, and what was found in the end.
fn scan(chunks: &[&str]) -> (Vec<String>, Found) {
    let mut scanner = EventScanner::new(Kind::Chat);
    let mut found = Found::Nothing;
    let mut ready = Vec::new();
    for chunk in chunks {
        let scan = scanner.push((*chunk).into());
        ready.push(text(scan.ready));
        found = scan.found;
        if matches!(found, Found::Error(_)) {
            break;
        }
    }
    (ready, found)
}

const ERROR: &str = r#"{"error":{"message":"m"}}"#;

#[test]
fn finds_the_closing_line_in_every_framing() {
    for stream in [
        "data: {}\n\ndata: [DONE]\n\n",
        "data: {}\r\n\r\ndata: [DONE]\r\n\r\n",
        "data:{}\n\ndata:[DONE]\n\n",
        "data: [DONE]",
        ": comment\n\ndata:   [DONE]\n\n",
    ] {
        assert_eq!(scan(&[stream]).1, Found::Done, "{stream:?}");
    }
}

#[test]
fn finds_errors_in_every_form() {
    for error in [
        r#"data: {"error":{"code":503}}"#,
        r#"data:{ "error" : {}}"#,
        r#"data: [{"error":{"code":503}}]"#,
        r#"data: {"error":"it failed"}"#,
        r#"data: {"error":true}"#,
        "data: {\"code\":503,\"error\":{\"message\":\"m\"}}\n\n",
        "data: {\"choices\":[],\"error\":\"it failed\"}\r\n\r\n",
        "data: [{\"code\":503,\"error\":{}}]\n\n",
        "data: {\"error\":null,\"error\":{}}\n",
        "[{\n  \"error\": {}\n}\n]\n",
        "{\n  \"error\": {}\n}\n",
    ] {
        let (ready, found) = scan(&["data: {\"a\":1}\n\n", error]);
        assert_eq!(ready, ["data: {\"a\":1}\n\n", ""], "{error}");
        assert_eq!(found, Found::Error(error.as_bytes().to_vec()), "{error}");
    }
}

#[test]
fn a_line_in_many_pieces_is_scanned_once() {
    // For each kind, an event of 900,000 bytes in pieces of 8.
    for kind in [Kind::Chat, Kind::Generate, Kind::Other] {
        let event = format!("data: {{\"a\":\"{}\"}}\n\n", "x".repeat(900_000));
        let mut scanner = EventScanner::new(kind);
        let mut sent = Vec::new();
        let mut buffer = None;
        for piece in event.as_bytes().chunks(8) {
            sent.extend(scanner.push(piece.to_vec()).ready);
            let capacity = scanner.held.capacity();
            // Held bytes are only copied or moved when the buffer grows.
            assert!(buffer.is_none_or(|(before, at)| {
                capacity != before || at == scanner.held.as_ptr() || capacity == 0
            }));
            buffer = (capacity > 0).then_some((capacity, scanner.held.as_ptr()));
        }
        assert!(sent == event.as_bytes());
    }
}

#[test]
fn the_kind_of_a_line_does_not_affect_the_next() {
    let mut scanner = EventScanner::new(Kind::Chat);
    let scan = scanner.push(b"data:\n\n[{\"error\":{}}]\n".to_vec());
    assert_eq!(scan.ready, b"data:\n\n");
    assert!(matches!(scan.found, Found::Error(error) if error.starts_with(b"[{")));
}

#[test]
fn similar_lines_pass() {
    for stream in [
        "data: {\"content\":\"data: [DONE]\"}\n\n",
        "data: \"[DONE]\"\n\n",
        " data: [DONE]\n\n",
        "event: data: [DONE]\n\n",
        "data: [DON]\n\n",
        "data: {\"errors\":1}\n\n",
        "data: {\"a\":{\"error\":1}}\n\n",
        "data: {\"error\":null,\"choices\":[]}\n\n",
        "data: {\"error\" : null}\n\n",
        "data: {\"error\":false}\n\n",
        "data: {\"error\":\"\",\"choices\":[]}\n\n",
        "data: {\"choices\":[],\"error\":null}\n\n",
        "data: {\"content\":\"an \\\"error\\\": {}\"}\n\n",
        "data: {\"content\":[\"error\"]}\n\n",
        "data: \"error\"\n\n",
        "data: []\n\n",
        "data: {}\n\n",
        "id: {\n\n",
        "data\n\n",
        "\n\n\n",
    ] {
        // OpenAI's clients receive nothing from other lines.
        let kinds = if stream.starts_with("data:") {
            &[Kind::Chat, Kind::Other][..]
        } else {
            &[Kind::Other]
        };
        for kind in kinds {
            let scan = EventScanner::new(*kind).push(stream.into());
            assert_eq!(text(scan.ready), stream, "{kind:?}");
            assert_eq!(scan.found, Found::Nothing, "{kind:?} {stream:?}");
        }
    }
}

#[test]
fn complete_events_pass_at_once_and_open_lines_wait() {
    let (a, b) = ("data: {\"a\":1}\n\n", "data: {\"b\":2}\n\n");
    let (ready, found) = scan(&[a, b, "dat", "a: [DO", "NE]\n\n"]);
    assert_eq!(ready, [a, b, "", "", "data: [DONE]\n\n"]);
    assert_eq!(found, Found::Done);
}

#[test]
fn a_line_of_spaces_does_not_end_an_event() {
    for (kind, sent) in [
        (Kind::Chat, "data: {\ndata: }\n\n"),
        (Kind::Generate, "data: {\ndata: }\n\n"),
        (Kind::Other, "data: {\n \t\ndata: }\n\n"),
    ] {
        let mut scanner = EventScanner::new(kind);
        let first = pass(&mut scanner, "data: {\n \t\n");
        let rest = pass(&mut scanner, "data: }\n\n");
        assert_eq!(first + &rest, sent, "{kind:?}");
    }
}

#[test]
fn an_error_is_a_separate_event_and_drops_half_a_line() {
    let event = format!("data: {ERROR}\n\n");
    for (stream, sent_before) in [
        ("", ""),
        ("data: {}\n\n", "data: {}\n\n"),
        ("data: {}\r\n\r\n", "data: {}\r\n\r\n"),
        ("data: {}\n", "data: {}\n\n"),
        ("data: {}\n\ndata: {\"cut", "data: {}\n\n"),
        ("data: {}\n\nda", "data: {}\n\n"),
    ] {
        let (mut scanner, sent) = scanned(Kind::Chat, &[stream]);
        let sent = sent + &text(scanner.close_with(ERROR));
        assert_eq!(sent, format!("{sent_before}{event}"), "{stream:?}");
    }
}

#[test]
fn an_oversized_line_passes_in_pieces() {
    let mut scanner = EventScanner::new(Kind::Chat);
    let long = [b"data: ".to_vec(), vec![b'x'; MAX_HELD]].concat();
    assert_eq!(scanner.push(long[..9].to_vec()).ready, b"");
    assert_eq!(scanner.push(long[9..].to_vec()).ready, long);
    assert_eq!(scanner.push(b"{\"error\"".to_vec()).ready, b"{\"error\"");
    assert!(scanner.close_with(ERROR).starts_with(b"\n\ndata: {"));
    let rest = b"\n\ndata: [DONE]\n\n".to_vec();
    assert_eq!(scanner.push(rest).found, Found::Done);
}

#[test]
fn an_error_is_complete_at_the_end_of_its_line_or_json() {
    for (found, text, is_complete) in [
        ("data: {\"error\":1}\n\nmore", " {\"error\":1}\n", true),
        ("data: {\"err", " {\"err", false),
        ("[{\n \"error\": 1}]\n", "[{\n \"error\": 1}]\n", true),
        ("[{\n \"error\": 1}", "[{\n \"error\": 1}", false),
    ] {
        let expected = ErrorText {
            json: text.as_bytes(),
            is_complete,
        };
        assert_eq!(error_text(found.as_bytes()), expected, "{found:?}");
    }
}

const GEMINI_EVENTS: [&str; 3] = [
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"a \\\"finishReason\\\" b\"}]}}]}\r\n\r\n",
    "data: {\"candidates\": [{\"content\": {\"parts\": []},\"finishReason\": \"STOP\"}]}\r\n\r\n",
    "data: {\"promptFeedback\": {\"blockReason\": \"SAFETY\"}}\r\n\r\n",
];

#[test]
fn a_gemini_stream_ends_with_its_finish_reason() {
    let [event, finish, blocked] = GEMINI_EVENTS;
    for (events, retained) in [
        (vec![event, finish], finish),
        (vec![finish, event, blocked], blocked),
        (vec![finish, finish], finish),
    ] {
        let mut scanner = EventScanner::new(Kind::Generate);
        let mut sent = String::new();
        for event in &events {
            // The blank line arrives separately.
            let (line, blank) = event.split_at(event.len() - 2);
            sent += &(pass(&mut scanner, line) + &pass(&mut scanner, blank));
        }
        assert_eq!(text(scanner.end().unwrap()), retained);
        assert_eq!(sent, events[..events.len() - 1].concat());
    }
    // The answer includes what follows the reason: usage, or a comment, which is dropped.
    let usage = "data: {\"usageMetadata\": {}}\r\n\r\n";
    for (more, expected_rest) in [(usage, usage), (": ping\r\n\r\n", "")] {
        let mut scanner = EventScanner::new(Kind::Generate);
        let sent = pass(&mut scanner, &[event, finish].concat()) + &pass(&mut scanner, more);
        let rest = text(scanner.end().expect("a complete stream"));
        let expected = [event, finish, expected_rest].concat();
        assert_eq!(sent + &rest, expected);
    }
    let (mut scanner, _) = scanned(Kind::Generate, &[event]);
    assert_eq!(scanner.end(), None, "the stream is truncated");
    assert_eq!(EventScanner::new(Kind::Generate).end(), None);
}

#[test]
fn only_data_passes_in_a_gemini_stream() {
    let [event, finish, _] = GEMINI_EVENTS;
    let long = format!(": {}\n", "x".repeat(MAX_HELD));
    let two_lines = "data: {\ndata: }\n\n";
    for (first, stream) in [
        (event, vec![": ping\r\n\r\n", event, finish]),
        (event, vec![event, ":\n", ":\n\n", finish]),
        (
            event,
            vec!["event: e\n", event, "id: 7\nretry: 3\n", finish],
        ),
        (event, vec![event, finish, "data: [DONE]\n\n"]),
        (event, vec![&long, event, &long, "\n", finish]),
        (two_lines, vec!["data: {\n: ping\ndata: }\n\n", finish]),
    ] {
        let stream = stream.concat();
        for size in [1, 3, 64 * 1024, stream.len()] {
            if size < 64 && stream.len() > MAX_HELD {
                continue;
            }
            let mut scanner = EventScanner::new(Kind::Generate);
            let pieces = stream.as_bytes().chunks(size).map(<[u8]>::to_vec);
            let mut sent = pass_all(&mut scanner, pieces);
            sent.extend(scanner.end().expect("a complete stream"));
            assert_eq!(text(sent), [first, finish].concat());
        }
    }
}

#[test]
fn openai_clients_get_no_event_names_or_ids() {
    let data = "data: {\"a\":1}\n\n";
    let error = "event: error\ndata: {\"error\":{\"code\":503}}\n\n";
    let others = ": ping\n\nevent: chunk\nid: 7\n";
    let (mut scanner, sent) = scanned(Kind::Chat, &[others, data, error]);
    let sent = sent + &text(scanner.close_with(ERROR));
    assert_eq!(sent, format!(": ping\n\n{data}data: {ERROR}\n\n"));
}

#[test]
fn an_unterminated_last_line_is_valid_if_complete() {
    let [event, finish, _] = GEMINI_EVENTS;
    let unterminated = finish.trim_end();
    let usage = "data: {\"usageMetadata\": {}}\r\n\r\n";
    for (last, expected_rest) in [
        (unterminated, Some(finish)),
        (usage.trim_end(), Some(usage)),
        ("data: [DONE]", Some("")),
        (": bye", Some("")),
        ("id: 4", Some("")),
        ("data:", Some("")),
        ("dat", None),
        ("data: {\"cut", None),
        // An error is never the last event.
        ("data: {\"code\":503,\"error\":{}}", None),
    ] {
        let before = if last == unterminated { event } else { finish };
        let (mut scanner, sent) = scanned(Kind::Generate, &[before, last]);
        let whole = scanner.end().map(|rest| sent + &text(rest));
        let expected = expected_rest.map(|rest| [before, rest].concat());
        assert_eq!(whole, expected, "{last}");
    }
    let (mut scanner, _) = scanned(Kind::Other, &[CREATED, ": bye"]);
    assert_eq!(scanner.end().as_deref(), Some(&b": bye"[..]));
}

const CREATED: &str = "event: interaction.created\ndata: {\"interaction\":{\"id\":\"v1_fake\"},\"event_type\":\"interaction.created\"}\n\n";
const COMPLETED: &str =
    "event: interaction.completed\ndata: {\"event_type\":\"interaction.completed\"}\n\n";

#[test]
fn other_streams_pass_by_event_and_end_with_the_upstream() {
    for closing in ["", "event: done\ndata: [DONE]\n\n", ": bye\n\n"] {
        let mut scanner = EventScanner::new(Kind::Other);
        for event in [CREATED, ": ping\n\n", COMPLETED] {
            let (name, data) = event.split_at(event.find("data").unwrap_or(3));
            assert_eq!(pass(&mut scanner, name), "", "{event}");
            assert_eq!(pass(&mut scanner, data), event);
        }
        let scan = scanner.push(closing.into());
        assert_eq!(scan.ready, closing.as_bytes());
        assert_eq!(scan.found == Found::Done, closing.contains("[DONE]"));
        assert_eq!(scanner.end().as_deref(), Some(&b""[..]));
    }
    let (mut scanner, _) = scanned(Kind::Other, &[CREATED, "event: st"]);
    assert_eq!(scanner.end(), None, "the stream is truncated");
}

#[test]
fn an_error_after_other_events_becomes_an_event_without_a_name() {
    let [event, finish, _] = GEMINI_EVENTS;
    let named = "event: error\ndata: {\"error\":{\"code\":\"c\"},\"event_type\":\"error\"}\n\n";
    for (kind, held, passing, error) in [
        (Kind::Generate, finish, event, "{\n  \"error\""),
        (Kind::Other, "", CREATED, named),
        (Kind::Other, "", CREATED, "{\"error\":{\"code\":429}}\n"),
    ] {
        let (mut scanner, sent) = scanned(kind, &[held]);
        assert_eq!(sent, "", "{error}");
        let scan = scanner.push([passing, error].concat().into());
        assert_eq!(text(scan.ready), [held, passing].concat());
        assert!(matches!(scan.found, Found::Error(_)), "{error}");
        let closing_event = text(scanner.close_with(ERROR));
        assert_eq!(closing_event, format!("data: {ERROR}\n\n"));
    }
}

#[test]
fn a_gemini_stream_may_end_with_an_oversized_event() {
    let image = "x".repeat(MAX_HELD + 10);
    let event = format!("data: {{\"image\":\"{image}\",\"finishReason\": \"STOP\"}}\r\n\r\n");
    for cut in [1, 5, 40, 45, 50] {
        let mut scanner = EventScanner::new(Kind::Generate);
        let (first, second) = event.split_at(event.len() - cut);
        let sent = [first, second].map(|piece| pass(&mut scanner, piece));
        let rest = text(scanner.end().expect("a complete stream"));
        assert!(!rest.is_empty());
        assert!(sent.concat() + &rest == event, "{cut} bytes at the end");
    }
}

#[test]
fn a_stream_that_ends_within_a_line_is_truncated() {
    let [event, finish, _] = GEMINI_EVENTS;
    let half = "data: {\"candidates\": [{\"te";
    let (mut scanner, sent) = scanned(Kind::Generate, &[finish, event, half]);
    assert_eq!(scanner.end(), None);
    // Half a line is dropped.
    let expected = [finish, event, "data: ", ERROR, "\n\n"].concat();
    assert_eq!(sent + &text(scanner.close_with(ERROR)), expected);
}

#[test]
fn a_long_event_passes_at_once_and_an_error_follows_it() {
    let mut scanner = EventScanner::new(Kind::Generate);
    let long = format!("data: {{\"a\":\"{}", "x".repeat(MAX_HELD));
    for piece in [&long, "MIDDLE", "TAIL\"}\r\n\r\n"] {
        assert!(pass(&mut scanner, piece) == piece);
    }
    assert_eq!(scanner.end(), None, "there is no finish reason");
    let event = format!("data: {ERROR}\n\n");
    assert_eq!(text(scanner.close_with(ERROR)), event);
}

proptest! {
    #[test]
    fn chunk_boundaries_make_no_difference_to_gemini_streams(
        events in prop::collection::vec(prop::sample::select(GEMINI_EVENTS.to_vec()), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = events.concat().into_bytes();
        let mut scanner = EventScanner::new(Kind::Generate);
        let mut passed = pass_all(&mut scanner, pieces(&stream, &cuts));
        let is_finished = events.iter().any(|event| *event != GEMINI_EVENTS[0]);
        let rest = scanner.end();
        prop_assert_eq!(rest.is_some(), is_finished);
        passed.extend(rest.unwrap_or_default());
        // Half a line at the end of a truncated stream is dropped.
        let expected = if is_finished { &stream } else { &stream[..passed.len()] };
        prop_assert_eq!(passed.as_slice(), expected);
        prop_assert!(passed.len() + 1 >= stream.len());
    }

    #[test]
    fn chunk_boundaries_change_neither_bytes_nor_result(
        lines in prop::collection::vec("(data: ?)?[a-z\\[\\]{}\"DONE:é]{0,12}\r?\n", 0..6),
        closing in prop::sample::select(vec![
            "",
            "data: [DONE]\n\n",
            "data: [{\"error\":1}]\n\n",
            "data: {\"a\":1,\"error\":{}}\n\n",
            "data: {\"error\":null,\"a\":1}\n\n",
            "data: {\"error\": \"e\"}\n\n",
            "{\n}",
        ]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = (lines.concat() + closing).into_bytes();
        let is_complete = EventScanner::new(Kind::Chat).push(stream.clone());
        let mut scanner = EventScanner::new(Kind::Chat);
        let mut passed = Vec::new();
        let mut error = None;
        for piece in pieces(&stream, &cuts) {
            match &mut error {
                None => {
                    let scan = scanner.push(piece);
                    passed.extend(scan.ready);
                    if let Found::Error(error_so_far) = scan.found {
                        error = Some(error_so_far);
                    }
                }
                Some(error_so_far) => error_so_far.extend(piece),
            }
        }
        prop_assert_eq!(&passed, &is_complete.ready);
        match is_complete.found {
            Found::Error(all) => prop_assert_eq!(error, Some(all)),
            Found::Done => prop_assert!(scanner.done && error.is_none()),
            Found::Nothing => prop_assert!(!scanner.done && error.is_none()),
        }
    }
}
