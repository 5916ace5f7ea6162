//! Parses durations in Google's formats: `47s`, `35.174346048s`, `373.8ms`, `1h2m3.5s`.
//!
//! Protobuf's JSON only has seconds
//! (<https://protobuf.dev/reference/protobuf/google.protobuf/#duration>); human-readable messages
//! contain the output of Go's `time.Duration`.

const NANOS_PER_MS: u64 = 1_000_000;

/// Units and their nanoseconds. A unit precedes its own prefixes.
const UNITS: [(&str, u64); 7] = [
    ("ms", NANOS_PER_MS),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
    ("h", 3_600_000 * NANOS_PER_MS),
    ("m", 60_000 * NANOS_PER_MS),
    ("s", 1_000 * NANOS_PER_MS),
];

/// Parses a duration into milliseconds, rounded up so that no retry is too early.
///
/// Returns `None` for anything else, including negative durations and those above five centuries.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut nanos = 0_u64;
    while !rest.is_empty() {
        let number = leading(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        rest = rest.strip_prefix(number)?;
        let (unit, factor) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = rest.strip_prefix(unit)?;
        nanos = nanos.checked_add(scaled(number, factor)?)?;
    }
    (!text.is_empty()).then(|| nanos.div_ceil(NANOS_PER_MS))
}

/// Returns `number` times `factor`, truncated to an integer.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let mut place = factor;
    let mut part = 0_u64;
    for byte in fraction.bytes() {
        place /= 10;
        part += place * u64::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
    }
    whole.checked_add(part)
}

/// Returns the longest prefix whose bytes all match.
fn leading(text: &str, fits: impl Fn(u8) -> bool) -> &str {
    let end = text.bytes().take_while(|byte| fits(*byte)).count();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_every_duration_format() {
        for (text, ms) in [
            ("47s", 47_000),
            ("0s", 0),
            ("35.174346048s", 35_175),
            ("11.102306822s", 11_103),
            ("373.8ms", 374),
            ("1.5s", 1_500),
            ("0.1s", 100),
            ("1.0000000001s", 1_000),
            ("1ns", 1),
            ("2µs", 1),
            ("1h2m3.5s", 3_723_500),
            ("13h19m1.20964964s", 47_941_210),
        ] {
            assert_eq!(milliseconds(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "s",
            "47",
            "-1s",
            "+1s",
            "1 s",
            ".5s",
            "1.2.3s",
            "1e3s",
            "infs",
            "1d",
            "soon",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parses_any_text(text in "[0-9.hmsnuµ-]{0,40}|.*") {
            let _ = milliseconds(&text);
        }

        #[test]
        fn seconds_and_nanoseconds_round_up_to_milliseconds(seconds in 0u64..1_000_000, nanos in 0u64..1_000_000_000) {
            let text = format!("{seconds}.{nanos:09}s");
            prop_assert_eq!(milliseconds(&text), Some(seconds * 1000 + nanos.div_ceil(1_000_000)));
        }
    }
}
