//! JSON Schemas: a lowered schema is valid JSON, and lowering it again changes nothing.
#![no_main]

mod json;

use gemini_keypool::wire::translate::schema::{Usage, lower};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::value::RawValue;

fuzz_target!(|schema: &[u8]| {
    let Ok(schema) = serde_json::from_slice::<&RawValue>(schema) else {
        return;
    };
    for usage in [Usage::Parameters, Usage::Answer] {
        if let Ok(lowered) = lower(schema, usage) {
            serde_json::from_str::<&RawValue>(lowered.get()).unwrap();
            let again = lower(&lowered, usage).unwrap();
            assert_eq!(again.get(), lowered.get());
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::mutate(data, size, max_size, seed)
});
