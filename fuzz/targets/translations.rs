//! Requests of other APIs: what is translated is a valid request for Gemini.
//!
//! The first byte chooses the endpoint; the body follows.
#![no_main]

mod json;

use gemini_keypool::wire::Surface;
use gemini_keypool::wire::naming::is_model;
use gemini_keypool::wire::target::Target;
use gemini_keypool::wire::translate::{Context, Endpoint, request};
use http::{Method, Uri};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Members stay text, since no type can hold every number.
type Object<'a> = HashMap<String, &'a RawValue>;

fn object(json: &str) -> Object<'_> {
    serde_json::from_str(json).unwrap()
}

fn objects(json: &RawValue) -> Vec<Object<'_>> {
    serde_json::from_str(json.get()).unwrap()
}

fn check(endpoint: Endpoint, body: &[u8]) {
    let mut generate = object(std::str::from_utf8(body).unwrap());
    if endpoint == Endpoint::CountTokens {
        generate = object(generate["generateContentRequest"].get());
    }
    let contents = objects(generate["contents"]);
    assert!(!contents.is_empty());
    for content in contents {
        let parts = objects(content["parts"]);
        assert!(!parts.is_empty() && parts.iter().all(|part| !part.is_empty()));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else {
        return;
    };
    let endpoint = match choice.wrapping_sub(b'0') % 6 {
        0 => Endpoint::Responses,
        1 => Endpoint::Messages,
        2 => Endpoint::CountTokens,
        3 => Endpoint::Completions,
        4 => Endpoint::Speech,
        _ => Endpoint::Transcriptions,
    };
    let context = Context {
        default_model: "gemini-flash-latest",
        model_of: &str::to_owned,
        created: 1_800_000_000,
        seed: 7,
    };
    match request(endpoint, body, &context) {
        Ok(translated) => {
            check(endpoint, &translated.body);
            // Others are refused afterwards.
            if is_model(&translated.model) {
                let uri: Uri = translated.method.path(&translated.model).parse().unwrap();
                assert!(Target::of(&Method::POST, uri.path(), Surface::Gemini).is_some());
            }
        }
        Err(invalid) => assert!(invalid.message().ends_with('.')),
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::mutate(data, size, max_size, seed)
});
