//! Event streams in arbitrary chunks: no event is lost, and chunk boundaries make no difference.
#![no_main]

use gemini_keypool::wire::Kind;
use gemini_keypool::wire::stream::{EventScanner, Found, error_text};
use libfuzzer_sys::fuzz_target;

fn scan(kind: Kind, stream: &[u8], size: usize) -> (Vec<u8>, bool) {
    let mut scanner = EventScanner::new(kind);
    let mut passed = Vec::new();
    for chunk in stream.chunks(size.max(1)) {
        let scan = scanner.push(chunk.to_vec());
        passed.extend(scan.ready);
        if let Found::Error(begun) = scan.found {
            let _ = error_text(&begun);
            let _ = scanner.close_with("{}");
            return (passed, true);
        }
    }
    passed.extend(scanner.end().unwrap_or_default());
    (passed, false)
}

fuzz_target!(|input: (usize, &[u8])| {
    let (size, stream) = input;
    for kind in [Kind::Chat, Kind::Generate, Kind::Other] {
        let whole = scan(kind, stream, usize::MAX);
        let pieces = scan(kind, stream, size % 64);
        assert_eq!(whole.1, pieces.1);
        if kind == Kind::Other {
            assert!(stream.starts_with(&whole.0));
        } else {
            // Lines may be dropped, and the last event may gain a blank line; nothing is added or
            // reordered.
            let mut left = stream.iter();
            let passed = whole.0.strip_suffix(b"\r\n\r\n").unwrap_or(&whole.0);
            assert!(passed.iter().all(|byte| left.any(|other| other == byte)));
        }
        if kind != Kind::Generate {
            assert_eq!(whole.0, pieces.0);
        }
    }
});
