//! Requests with arbitrary paths, queries and bodies: edited bodies stay valid JSON.
#![no_main]

use gemini_keypool::wire::conversation::conversation;
use gemini_keypool::wire::json::{parse_path, with_models, without_any, without_fields};
use gemini_keypool::wire::openai::signatures::{unsigned, with_placeholders};
use gemini_keypool::wire::openai::{ChatRequest, model_of};
use gemini_keypool::wire::resource::{named_in_body, named_in_path};
use gemini_keypool::wire::target::{Target, forwarded_query, key_of_query};
use gemini_keypool::wire::{Kind, Surface};
use http::Method;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|input: (&str, &[u8])| {
    let (text, body) = input;
    let credential = match text.len() % 2 {
        0 => Surface::Gemini,
        _ => Surface::OpenAi,
    };
    if let Some(target) = Target::of(&Method::POST, text, credential) {
        assert!(!target.path.contains("/../") && !target.path.contains("//"));
        let _ = (target.has_invalid_model(), target.decoded_path());
        let _ = target.renamed(|name| name.to_uppercase());
    }
    if let Some(query) = forwarded_query(text, ["fake-client-token"]) {
        assert_eq!(key_of_query(&query), None);
    }
    let _ = named_in_path(text);
    let _ = named_in_body(body, Kind::Other);
    let _ = (model_of(body), unsigned(body));
    let _ = conversation(Surface::OpenAi, Kind::Chat, "m", body);
    let is_json = serde_json::from_slice::<Value>(body).is_ok();
    let changed = parse_path(text).and_then(|steps| without_fields(body, &[(steps, "seed")]));
    let renamed = with_models(body, |_| Some("other".to_owned()));
    let every = parse_path("messages[].content[]").map(|steps| [(steps, "cache_control")]);
    let every = every.and_then(|fields| without_any(body, &fields));
    let signed = with_placeholders(body, &std::collections::BTreeSet::new());
    for changed in [changed, renamed, every.map(|removed| removed.body), signed]
        .into_iter()
        .flatten()
        .filter(|_| is_json)
    {
        serde_json::from_slice::<Value>(&changed).unwrap();
    }
    if let Ok(chat) = ChatRequest::parse(body.to_vec(), "default") {
        assert!(!chat.model.trim().is_empty());
        // A number of any size is valid JSON, even beyond the range of any type.
        serde_json::from_slice::<&RawValue>(&chat.body).unwrap();
    }
});
