//! Made-up ids in Google's formats, derived from a number: equal scripts give equal bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LOWER_CASE: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A response's id: 22 characters of base64url, such as `ccAXad3iNNbiz7IPocTe0Ac`.
pub(crate) fn response_id(number: u64) -> String {
    let mut state = number;
    // Each number yields ten letters of six bits.
    std::iter::repeat_with(|| scramble(&mut state))
        .flat_map(|bits| (0..10).map(move |letter| bits >> (6 * letter)))
        .take(22)
        .map(|bits| char::from(BASE64URL[(bits % 64) as usize]))
        .collect()
}

/// A tool call's id in the format of Gemini 2.5: `function-call-18439433602034082669`.
pub(crate) fn function_call_id(number: u64, index: usize) -> String {
    let mut state = number.rotate_left(32) ^ index as u64;
    format!("function-call-{}", scramble(&mut state))
}

/// A tool call's id in the format of Gemini 3 on the compatible surface: `call_297140`.
pub(crate) fn call_id(number: u64) -> String {
    let mut state = number.rotate_left(48);
    format!("call_{:06}", scramble(&mut state) % 1_000_000)
}

/// A thought signature: bytes in base64, some of which need its full alphabet.
pub(crate) fn signature(number: u64) -> String {
    let mut state = !number;
    let random = std::iter::repeat_with(|| scramble(&mut state).to_le_bytes());
    // Recorded signatures start with `EpwI`.
    let start = [0x12, 0x9C, 0x08, 0xFB, 0xEF, 0xBF];
    let bytes: Vec<u8> = start.into_iter().chain(random.take(11).flatten()).collect();
    STANDARD.encode(bytes)
}

/// The id of a resource: `length` lower-case letters and digits, as in `files/l6htkj3q0xz1`.
pub(crate) fn resource_id(number: u64, length: usize) -> String {
    let mut state = number.rotate_left(16);
    std::iter::repeat_with(|| scramble(&mut state))
        .take(length)
        .map(|bits| char::from(LOWER_CASE[(bits % 36) as usize]))
        .collect()
}

/// An upload's id. It is a credential, so Google's are long.
pub(crate) fn upload_id(number: u64) -> String {
    format!("AHmU{}{}", response_id(number), response_id(!number))
}

/// The embedding of `text`: numbers in [-1, 1).
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
