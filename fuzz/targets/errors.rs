//! Error bodies with any status always have an outcome, and errors never count as success.
#![no_main]

use gemini_keypool::pool::Outcome;
use gemini_keypool::wire::request_traits::RequestTraits;
use gemini_keypool::wire::gemini::{CallResult, diagnose, loggable, summarize, unknown_fields};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (status, body) = input;
    let status = 100 + status % 500;
    let headers = HeaderMap::new();
    let request = RequestTraits {
        is_model_call: status % 2 == 0,
        ..RequestTraits::default()
    };
    let response = CallResult::Response {
        status,
        headers: &headers,
        body,
    };
    let diagnosis = diagnose(response, &request);
    assert!(status == 200 || diagnosis.outcome != Outcome::Success);
    let _ = unknown_fields(&diagnosis.error);
    if let Some(message) = &diagnosis.error.message {
        let _ = loggable(message, "an error");
    }
    let _ = diagnose(CallResult::InStream(body), &request);
    let _ = summarize(body);
});
