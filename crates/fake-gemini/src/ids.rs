//! Made-up ids in Google's formats, derived from the number of a call: equal scripts give equal
//! bytes.

const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LOWER_CASE: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The length of an embedding.
const DIMENSIONS: usize = 3072;

/// A response's id, such as `ccAXad3iNNbiz7IPocTe0Ac`.
pub(crate) fn response_id(number: u64) -> String {
    letters(number, BASE64URL, 22)
}

/// A tool call's id in the format of Gemini 2.5, such as `function-call-18439433602034082669`.
pub(crate) fn function_call_id(number: u64, index: usize) -> String {
    format!("function-call-{number}{index:03}")
}

/// A tool call's id in the format of Gemini 3 on the compatible surface, such as `call_297140`.
pub(crate) fn call_id(number: u64, index: usize) -> String {
    let number = number + 100_000 * index as u64;
    format!("call_{number:06}")
}

/// A tool call's id in the format of Gemini 3 on the native surface, such as `a7b3k9p2`.
pub(crate) fn native_call_id(number: u64, index: usize) -> String {
    letters(number.rotate_left(24) ^ index as u64, LOWER_CASE, 8)
}

/// A thought signature: base64, some of which needs the full alphabet.
pub(crate) fn signature(number: u64) -> String {
    let letters = letters(!number, BASE64URL, 42)
        .replace('-', "+")
        .replace('_', "/");
    format!("EpwI++/v{letters}A=")
}

/// The id of a resource, as in `files/l6htkj3q0xz1`.
pub(crate) fn resource_id(number: u64, length: usize) -> String {
    letters(number.rotate_left(16), LOWER_CASE, length)
}

/// An upload's id. It is a credential, so Google's are long.
pub(crate) fn upload_id(number: u64) -> String {
    letters(number.rotate_left(32), BASE64URL, 64)
}

fn letters(seed: u64, alphabet: &[u8], length: usize) -> String {
    let mut state = seed;
    let letters = std::iter::repeat_with(|| scramble(&mut state) as usize % alphabet.len());
    letters
        .take(length)
        .map(|index| char::from(alphabet[index]))
        .collect()
}

/// The embedding of `text`: numbers in [-1, 1).
pub(crate) fn vector(text: &str) -> Vec<f32> {
    // FNV-1a: stable across compiler versions, unlike the standard hasher.
    let mut state = text.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (0..DIMENSIONS)
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
