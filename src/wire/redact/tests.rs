use super::*;
use proptest::prelude::*;

const STANDARD: &str = "AIzaSyFAKE0123456789abcdefghijklmnoWXYZ";
const CLIENT: &str = "kp_FAKE-fake_FAKE-fake_FAKE-fake_FAKE-fake_FAKE";
const AUTHORIZATION: &str = "AQ.Fake8BRn-fake_fake.fakefakefakeWXYZ";

#[test]
fn a_mask_shows_four_characters_of_long_secrets_only() {
    assert_eq!(mask(STANDARD), "…WXYZ");
    assert_eq!(mask("exactly-12ch"), "…");
    assert_eq!(mask("now-13-chars!"), "…ars!");
    assert_eq!(mask(""), "…");
}

#[test]
fn keys_are_masked_by_value_and_by_shape() {
    let token = "my-very-own-token";
    for (rule, text, expected) in [
        (
            "by shape",
            "Consumer 'api_key:STANDARD' has",
            "Consumer 'api_key:…' has",
        ),
        ("by shape", "key=AUTHORIZATION&x", "key=…&x"),
        ("by shape", "token CLIENT, cut CLIENTS…", "token …, cut ……"),
        (
            "by value",
            "token my-very-own-token here",
            "token …oken here",
        ),
        ("twice", "STANDARD STANDARD", "… …"),
        ("a longer key than today's", "STANDARD99", "…"),
        ("a key that was cut short", "key HALF…", "key ……"),
        ("a piece of any secret", "with my-very-o, as", "with …, as"),
        (
            "seven characters are no piece",
            "with my-very",
            "with my-very",
        ),
        (
            "talk about keys",
            "like AIza or AQ. or kp_ x",
            "like AIza or AQ. or kp_ x",
        ),
    ] {
        let text = text
            .replace("STANDARD", STANDARD)
            .replace("HALF", &STANDARD[..25]);
        let text = text.replace("AUTHORIZATION", AUTHORIZATION);
        let text = text
            .replace("CLIENTS", &CLIENT[..20])
            .replace("CLIENT", CLIENT);
        assert_eq!(redact(&text, &[token]), expected, "{rule}");
    }
    assert_eq!(
        redact("text", &[""]),
        "text",
        "an empty secret hides nothing"
    );
}

#[test]
fn truncates_at_character_boundaries() {
    assert_eq!(truncate("äöü", 3), "äöü");
    assert_eq!(truncate("äöü", 2), "äö…");
}

#[test]
fn redacts_megabytes_of_similar_text_in_linear_time() {
    let secret = "abcdefgh-ijklmnop-qrstuvwx";
    let [before, after] = ["abcdefg", "qrstuvw"].map(|text| text.repeat(500_000));
    let text = [&before, secret, &after].concat();
    let redacted = redact(&text, &[secret]);
    assert!(!redacted.contains(secret));
    assert!(redacted.len() < text.len() && redacted.ends_with("qrstuvw"));
    let whole = redact(&secret.repeat(100_000), &[&secret.repeat(2)]);
    assert!(whole.chars().count() < 500_000, "{}", whole.len());
}

#[test]
fn redacted_json_keeps_its_names() {
    for (rule, json, secret, expected) in [
        (
            "a short token that is a field's name",
            r#"{"messages":"messages, all"}"#,
            "messages",
            r#"{"messages":"…, all"}"#,
        ),
        (
            "a part of a long token that is a field's name",
            r#"{"messages":"messages, all"}"#,
            "token-of-messages",
            r#"{"messages":"…, all"}"#,
        ),
        (
            "a token that looks like JSON",
            r#"{"error":{"code":400},"x":"{\"error\":"}"#,
            r#"{"error":"#,
            r#"{"error":{"code":400},"x":"…"}"#,
        ),
        (
            "escapes",
            r#"{ "a" : "key my\u002dvery\/own-token." }"#,
            "my-very/own-token",
            r#"{ "a" : "key …oken." }"#,
        ),
        (
            "a key as a name, and numbers as they are",
            r#"[{"KEY":1.0e+2},"\n"]"#,
            "",
            r#"[{"…":1.0e+2},"\n"]"#,
        ),
        ("no JSON", r#"{"a": KEY"#, "", r#"{"a": …"#),
        ("half a pair", r#"["\ud800 KEY"]"#, "", r#"["\ud800 …"]"#),
    ] {
        let redacted = redact_json(&json.replace("KEY", STANDARD), &[secret]);
        assert_eq!(redacted, expected, "{rule}");
    }
}

#[test]
fn detects_secrets_by_value_and_by_shape() {
    for (text, secrets, expected) in [
        ("gemini-2.5-flash", vec!["my-token"], false),
        ("x/my-token:verb", vec!["my-token"], true),
        ("gemini", vec!["gem"], false),
        ("models/AIzaSyFAKE0123456789abcdef", vec![], true),
        ("AIzaFAKE-1", vec![], false),
        ("AIzaFAKE-1", vec!["AIzaFAKE-1"], true),
        ("AQ.Fake8BRn-fake_fake.fake", vec![], true),
        ("key=AQ.Fake8BRn-fake_fake.fake", vec![], true),
        ("FAQ.Fake8BRn-fake_fake.fake", vec![], false),
        ("AQ.short", vec![], false),
        ("models/kp_FAKE-fake_FAKE-fake", vec![], true),
        ("backup_FAKE-fake_FAKE-fake", vec![], false),
        ("kp_short", vec![], false),
    ] {
        assert_eq!(reveals(text, secrets), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn redacted_json_has_the_same_structure(text in ".{0,20}", secret in "[!-~]{8,20}") {
        let json = serde_json::json!({ "messages": [text, { &secret: secret }], "n": 1.5 });
        let redacted = redact_json(&json.to_string(), &[&secret]);
        let read: serde_json::Value = serde_json::from_str(&redacted).unwrap();
        prop_assert!(!read["messages"].to_string().contains(&secret) || secret.len() <= SHORT_SECRET);
        prop_assert_eq!(&read["n"], 1.5);
    }

    #[test]
    fn no_secret_survives(before in ".*", after in "[^0-9A-Za-z_.-].*", secret in "[!-~]{13,60}") {
        let text = format!("{before}{secret}{after}");
        let redacted = redact(&text, &[&secret]);
        prop_assert!(!redacted.contains(&secret));
        let pieces = secret.as_bytes().windows(PIECE).map(|piece| std::str::from_utf8(piece).unwrap());
        // Masking may join separate characters, but never as many as a piece of the secret.
        for piece in pieces {
            prop_assert!(!redacted.contains(piece), "{} in {}", piece, redacted);
        }
    }

    #[test]
    fn accepts_any_text(text in ".*", secret in ".{0,20}", max in 0usize..50) {
        let _ = truncate(&redact(&text, &[&secret]), max);
        let _ = redact_json(&text, &[&secret]);
    }
}
