//! Growing JSON arrays in arbitrary chunks: the output plus a closing error is always valid JSON.
#![no_main]

use gemini_keypool::wire::stream::{ArrayScanner, Found};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (usize, &[u8])| {
    let (size, array) = input;
    let mut scanner = ArrayScanner::default();
    let mut passed = Vec::new();
    for chunk in array.chunks((size % 64).max(1)) {
        let scan = scanner.push(chunk.to_vec());
        for element in scan.elements {
            assert!(scan.ready.get(element).is_some());
        }
        passed.extend(scan.ready);
        match scan.found {
            Found::Nothing => {}
            Found::Done => break,
            Found::Error(_) => break,
        }
    }
    assert!(array.starts_with(&passed));
    let is_array = serde_json::from_slice::<Vec<serde_json::Value>>(array).is_ok();
    if let Some(end) = scanner.close_with("{\"error\":1}")
        && is_array
        && !passed.trim_ascii_end().ends_with(b"]")
    {
        passed.extend(end);
        serde_json::from_slice::<Vec<serde_json::Value>>(&passed).unwrap();
    }
});
