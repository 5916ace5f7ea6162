//! Repairs of arbitrary answers: JSON stays valid, and repairs are idempotent.
#![no_main]

use gemini_keypool::wire::model_list::{ModelList, Page};
use gemini_keypool::wire::openai::repair::{
    Context, Requested, StreamRepair, model, models, whole,
};
use gemini_keypool::wire::openai::signatures::Signatures;
use gemini_keypool::wire::stream::EventScanner;
use gemini_keypool::wire::{Kind, Surface};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fn repaired(context: &Context, stream: &[u8]) -> Vec<u8> {
    let mut scanner = EventScanner::new(Kind::Chat);
    let mut repair = StreamRepair::new(context.clone());
    repair.lines(scanner.push(stream.to_vec()).ready)
}

fuzz_target!(|input: (bool, &[u8])| {
    let (flag, body) = input;
    let context = |asked| Context {
        model: "m".to_owned(),
        created: 1_800_000_000,
        seed: 7,
        requested: asked,
    };
    let of_stream = Requested::Stream {
        include_usage: flag,
    };
    let is_json = serde_json::from_slice::<Value>(body).is_ok();
    for asked in [
        Requested::Completion,
        Requested::Embeddings,
        Requested::Base64Embeddings,
    ] {
        let context = context(asked);
        let once = whole(body.to_vec(), &context).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&once).is_ok(), is_json);
        assert_eq!(whole(once.clone(), &context).unwrap(), once);
    }
    for changed in [models(body.to_vec()), model(body.to_vec())] {
        assert_eq!(serde_json::from_slice::<Value>(&changed).is_ok(), is_json);
    }
    let context = context(of_stream);
    let once = repaired(&context, body);
    assert_eq!(repaired(&context, &once), once);
    if let Some(stream) = whole(body.to_vec(), &context) {
        assert!(stream.ends_with(b"data: [DONE]\n\n"));
    }
    let _ = Signatures::of_answer(body);
    let mut list = ModelList::new(Surface::Gemini);
    if list.add(body)
        && let Some(page) = Page::of_query(None)
    {
        // Numbers beyond the range of any type pass, too.
        serde_json::from_str::<&RawValue>(&list.to_json(page)).unwrap();
    }
});
