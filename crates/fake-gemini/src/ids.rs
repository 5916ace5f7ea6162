//! Made-up ids in the form of Google's, from a number: equal scripts give equal bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A response's id: 22 characters of base64url, as in `ccAXad3iNNbiz7IPocTe0Ac` and its like.
pub(crate) fn response_id(number: u64) -> String {
    let mut state = number;
    // Each number that comes out is good for ten letters of six bits.
    std::iter::repeat_with(|| scramble(&mut state))
        .flat_map(|bits| (0..10).map(move |letter| bits >> (6 * letter)))
        .take(22)
        .map(|bits| char::from(ALPHABET[(bits % 64) as usize]))
        .collect()
}

/// A tool call's id as Gemini 2.5 gives it: `function-call-18439433602034082669`.
pub(crate) fn tool_call_id(number: u64, index: usize) -> String {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let mut state = number.rotate_left(32) ^ index;
    format!("function-call-{}", scramble(&mut state))
}

/// A tool call's id as Gemini 3 gives it on the compatible surface: `call_297140`.
pub(crate) fn call_id(number: u64) -> String {
    let mut state = number.rotate_left(48);
    format!("call_{:06}", scramble(&mut state) % 1_000_000)
}

/// A thought signature: bytes in base64, some of which need its full alphabet.
pub(crate) fn signature(number: u64) -> String {
    let mut state = !number;
    let random = std::iter::repeat_with(|| scramble(&mut state).to_le_bytes());
    // As recorded, it begins with `EpwI`.
    let start = [0x12, 0x9C, 0x08, 0xFB, 0xEF, 0xBF];
    let bytes: Vec<u8> = start.into_iter().chain(random.take(11).flatten()).collect();
    STANDARD.encode(bytes)
}

/// The id of something that a project owns: `length` lower-case letters and digits, as in `files/l6htkj3q0xz1`.
pub(crate) fn resource_id(number: u64, length: usize) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    // Other letters than a response's id of the same call.
    let mut state = number.rotate_left(16);
    std::iter::repeat_with(|| scramble(&mut state))
        .take(length)
        .map(|bits| char::from(LETTERS[(bits % 36) as usize]))
        .collect()
}

/// An upload's id. Whoever has it may go on with the upload, so Google's are long.
pub(crate) fn upload_id(number: u64) -> String {
    format!("AHmU{}{}", response_id(number), response_id(!number))
}

/// A number in [-1, 1) for each `index` of the vector that belongs to `text`.
pub(crate) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    // FNV-1a: stable across compiler versions, unlike the standard hasher.
    let mut state = text.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (0..dimensions)
        .map(|_| (scramble(&mut state) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        .collect()
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn scramble(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_googles_in_form_and_the_same_each_time() {
        let ids: HashSet<String> = (0..1000).map(response_id).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(id.len(), 22);
            assert!(id.bytes().all(|byte| ALPHABET.contains(&byte)), "{id}");
        }
        assert_eq!(response_id(1), response_id(1));
        assert_ne!(tool_call_id(1, 0), tool_call_id(1, 1));
        assert_ne!(tool_call_id(1, 1), tool_call_id(2, 0));
        assert_ne!(call_id(1), call_id(2));
        assert_ne!(signature(1), signature(2));
        let signature = signature(1);
        assert!(signature.starts_with("EpwI++"), "{signature}");
    }

    #[test]
    fn vectors_belong_to_their_text() {
        assert_eq!(vector("a", 768), vector("a", 768));
        assert_ne!(vector("a", 768), vector("b", 768));
        assert_eq!(vector("", 3072).len(), 3072);
        assert!(vector("x", 3072).iter().all(|x| (-1.0..1.0).contains(x)));
    }
}
