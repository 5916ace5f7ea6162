//! Answers of any bytes, mended: JSON stays JSON, and mending twice changes nothing.
#![no_main]

use gemini_keypool::model_list::{ModelList, Page};
use gemini_keypool::openai::repair::{Context, StreamRepair, completion, model, models};
use gemini_keypool::sse::EventScanner;
use gemini_keypool::target::Surface;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fn mended(context: &Context, stream: &[u8]) -> Vec<u8> {
    let mut scanner = EventScanner::new(Surface::OpenAi);
    let mut repair = StreamRepair::new(context.clone());
    repair.lines(scanner.push(stream.to_vec()).ready)
}

fuzz_target!(|input: (bool, &[u8])| {
    let (include_usage, body) = input;
    let context = Context {
        model: "m".to_owned(),
        created: 1_800_000_000,
        seed: 7,
        include_usage,
    };
    let is_json = serde_json::from_slice::<Value>(body).is_ok();
    let whole = completion(body.to_vec(), &context);
    for changed in [&whole, &models(body.to_vec()), &model(body.to_vec())] {
        assert_eq!(serde_json::from_slice::<Value>(changed).is_ok(), is_json);
    }
    assert_eq!(completion(whole.clone(), &context), whole);
    let once = mended(&context, body);
    assert_eq!(mended(&context, &once), once);
    let mut list = ModelList::new(Surface::Gemini);
    if list.add(body)
        && let Some(page) = Page::of_query(None)
    {
        // Numbers that no type holds pass, too.
        serde_json::from_str::<&RawValue>(&list.to_json(page)).unwrap();
    }
});
