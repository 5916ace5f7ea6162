//! The text that `up` prints: where to point a client, and what is still missing.
//!
//! Of a real token, it shows the last four characters, enough to tell two tokens apart.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The demo's token, which is not secret.
pub(super) const DEMO_TOKEN: &str = "the-token-of-the-demo";
/// The token of the demo's operator, which is not secret either.
pub(super) const DEMO_ADMIN_TOKEN: &str = "the-admin-token-of-the-demo";
/// The demo's keys, which cannot be mistaken for real ones.
pub(super) const DEMO_KEYS: [&str; 12] = [
    "not-a-real-key-for-the-demo-0001",
    "not-a-real-key-for-the-demo-0002",
    "not-a-real-key-for-the-demo-0003",
    "not-a-real-key-for-the-demo-0004",
    "not-a-real-key-for-the-demo-0005",
    "not-a-real-key-for-the-demo-0006",
    "not-a-real-key-for-the-demo-0007",
    "not-a-real-key-for-the-demo-0008",
    "not-a-real-key-for-the-demo-0009",
    "not-a-real-key-for-the-demo-0010",
    "not-a-real-key-for-the-demo-0011",
    "not-a-real-key-for-the-demo-0012",
];
/// Those that the fake refuses: for good, and until somebody changes their restrictions.
pub(super) const DEAD_KEY: &str = DEMO_KEYS[4];
pub(super) const RESTRICTED_KEY: &str = DEMO_KEYS[8];

/// Of a token no longer than this, no character is shown; the component has the same limit.
const SHORT_TOKEN: usize = 12;

/// The priority of imported keys falls by 10 per key from 100, so later keys get hardly any calls.
const KEYS_WITH_PRIORITY: usize = 10;

/// A variable of the component, as far as it is known; a blank value counts as unset.
pub(super) enum Variable<T = String> {
    Unset,
    Unknown,
    Set(T),
}

impl<T> Variable<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Variable<U> {
        match self {
            Self::Unset => Variable::Unset,
            Self::Unknown => Variable::Unknown,
            Self::Set(value) => Variable::Set(change(value)),
        }
    }
}

impl From<Option<String>> for Variable {
    fn from(value: Option<String>) -> Self {
        let value = value.map(|value| value.trim().to_owned());
        value
            .filter(|value| !value.is_empty())
            .map_or(Self::Unset, Self::Set)
    }
}

/// The settings that the greeting depends on.
pub(super) enum Settings {
    Demo,
    Real {
        /// The token that clients must present.
        token: Variable<MaskedToken>,
        /// The number of keys to import.
        keys: Variable<usize>,
    },
}

/// The part of a token that may be shown.
pub(super) struct MaskedToken(String);

impl MaskedToken {
    fn new(token: &str) -> Self {
        let length = token.chars().count();
        let shown = if length > SHORT_TOKEN {
            token.chars().skip(length - 4).collect()
        } else {
            String::new()
        };
        Self(format!("…{shown}"))
    }
}

impl Settings {
    /// Reads the settings from the component's variables.
    pub(super) fn real(variable: impl Fn(&str) -> Variable) -> Self {
        Self::Real {
            token: variable("my_api_token").map(|token| MaskedToken::new(&token)),
            keys: variable("gemini_api_key").map(|keys| {
                let keys = keys.split(',').map(str::trim);
                let keys: HashSet<_> = keys.filter(|key| !key.is_empty()).collect();
                keys.len()
            }),
        }
    }

    /// The text to print once the host serves at `address`.
    pub(super) fn greeting(&self, address: SocketAddr) -> String {
        let origin = format!("http://{}", reachable(address));
        let api_key = match self {
            Self::Demo => DEMO_TOKEN,
            Self::Real { token, .. } => match token {
                Variable::Unset => "(none yet, see below)",
                Variable::Unknown => "your token",
                Variable::Set(MaskedToken(shown)) => &format!("your token, {shown}"),
            },
        };
        let advice = match self {
            Self::Demo => demo_advice(&origin),
            Self::Real { token, keys } => {
                format!("The dashboard is at {origin}\n") + &real_advice(token, keys)
            }
        };
        format!(
            "\nThe key pool listens on {origin}\n\n\
             In an OpenAI client:\n  base_url = {origin}/v1\n  api_key  = {api_key}\n\
             In an Anthropic or Gemini client, the base URL is {origin}\n\
             {advice}\nCtrl-C stops it.\n\n"
        )
    }
}

fn demo_advice(origin: &str) -> String {
    format!(
        "\nThe dashboard, signed in:\n  {origin}/#/sign-in?token={DEMO_ADMIN_TOKEN}\n\
         \nTry it:\n{}\n\nThe same as a stream:\n{}\n\n\
         Before the other commands of the README:\n  export KEYPOOL_TOKEN={DEMO_TOKEN}\n  export KEYPOOL_ADMIN_TOKEN={DEMO_ADMIN_TOKEN}\n\n\
         This is a demo: its answers are made up, and its data is deleted when the next demo \
         starts.\n",
        curl(origin, Reply::Whole),
        curl(origin, Reply::Stream)
    )
}

fn real_advice(token: &Variable<MaskedToken>, keys: &Variable<usize>) -> String {
    let mut text = String::new();
    if matches!(token, Variable::Unset) {
        text += "\nNo token is set, so every call will be refused. Stop this, then run\n  \
            export SPIN_VARIABLE_MY_API_TOKEN=\"$(openssl rand -hex 24)\"\n";
    }
    match keys {
        Variable::Unset => {
            text += "\nSPIN_VARIABLE_GEMINI_API_KEY is not set. Unless the database already has \
                keys, stop this, then run\n  \
                export SPIN_VARIABLE_GEMINI_API_KEY=\"first-key,second-key\"\n";
        }
        Variable::Set(number) if *number > KEYS_WITH_PRIORITY => {
            text += &format!(
                "\nOf the {number} keys in SPIN_VARIABLE_GEMINI_API_KEY, the first ten get most \
                 calls and the last few none:\neach is imported with a lower priority than the \
                 one before. docs/keys.md says how to make them equal.\n"
            );
        }
        Variable::Unknown | Variable::Set(_) => {}
    }
    text
}

#[derive(Clone, Copy)]
enum Reply {
    Whole,
    Stream,
}

/// A complete command on one line: copied backslashes at line ends easily gain a space.
fn curl(origin: &str, reply: Reply) -> String {
    let (flag, stream) = match reply {
        Reply::Whole => ("", ""),
        Reply::Stream => ("-N ", r#","stream":true"#),
    };
    format!(
        "  curl {flag}{origin}/v1/chat/completions -H 'Authorization: Bearer {DEMO_TOKEN}' \
         -H 'Content-Type: application/json' \
         -d '{{\"model\":\"gemini-flash-latest\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]{stream}}}'"
    )
}

/// The address that a client can connect to, for a listening address.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// The address that follows `announcement` in a line.
pub(super) fn address_in(line: &str, announcement: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(announcement)?;
    let end = rest
        .find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']')))
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1:3000";

    fn greeting(settings: &Settings) -> String {
        settings.greeting(LOCAL.parse().unwrap())
    }

    fn real(variables: &[(&str, &str)]) -> Settings {
        Settings::real(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned()).into()
        })
    }

    #[test]
    fn address_is_parsed_from_host_output() {
        for (line, address) in [
            ("Serving http://127.0.0.1:3000", Some("127.0.0.1:3000")),
            ("  Serving http://127.0.0.1:3000/\n", Some("127.0.0.1:3000")),
            ("Serving http://[::1]:41 now", Some("[::1]:41")),
            ("Serving http://0.0.0.0:80\u{1b}[0m", Some("0.0.0.0:80")),
            ("Serving http://localhost:3000", None),
            ("Serving http://", None),
            ("Storing default SQLite data to \"x\"", None),
            ("Serving https://127.0.0.1:3000", None),
        ] {
            assert_eq!(
                address_in(line, "Serving http://"),
                address.map(|address| address.parse().unwrap()),
                "{line:?}"
            );
        }
    }

    #[test]
    fn mask_shows_last_four_characters_of_long_token() {
        for (token, shown) in [
            ("", "…"),
            ("secret", "…"),
            ("exactly12chr", "…"),
            ("thirteenchars", "…hars"),
            ("0123456789abcdefghij", "…ghij"),
            ("ééééééééééééäöüß", "…äöüß"),
        ] {
            assert_eq!(MaskedToken::new(token).0, shown, "{token}");
        }
    }

    #[test]
    fn real_token_is_not_printed() {
        let token = "the-very-secret-token-wxyz";
        let text = greeting(&real(&[("my_api_token", token)]));
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("…wxyz"), "{text}");
    }

    #[test]
    fn missing_settings_are_named_with_a_command() {
        let token = ("my_api_token", "a-token-that-is-set");
        let keys = ("gemini_api_key", "a,b");
        for (variables, no_token, no_keys) in [
            (vec![], true, true),
            (vec![token], false, true),
            (vec![keys], true, false),
            (vec![token, keys], false, false),
            (vec![(token.0, "  "), (keys.0, "")], true, true),
        ] {
            let text = greeting(&real(&variables));
            for (part, expected) in [
                ("every call will be refused", no_token),
                ("export SPIN_VARIABLE_MY_API_TOKEN=", no_token),
                ("export SPIN_VARIABLE_GEMINI_API_KEY=", no_keys),
            ] {
                assert_eq!(text.contains(part), expected, "{variables:?}: {text}");
            }
        }
    }

    #[test]
    fn unknown_settings_are_not_called_missing() {
        let text = greeting(&Settings::real(|_| Variable::Unknown));
        assert!(!text.contains("export"), "{text}");
        assert!(text.contains("api_key  = your token\n"), "{text}");
    }

    #[test]
    fn base_url_depends_on_the_api() {
        for settings in [Settings::Demo, real(&[])] {
            let text = greeting(&settings);
            for line in [
                "  base_url = http://127.0.0.1:3000/v1",
                "In an Anthropic or Gemini client, the base URL is http://127.0.0.1:3000",
            ] {
                assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
            }
        }
    }

    #[test]
    fn warns_of_more_than_ten_keys() {
        for (keys, warns) in [
            ("1,2,3,4,5,6,7,8,9,10", false),
            ("1,2,3,4,5,6,7,8,9,10,,10, 10 ", false),
            ("1,2,3,4,5,6,7,8,9,10,11", true),
        ] {
            let text = greeting(&real(&[("gemini_api_key", keys)]));
            assert_eq!(text.contains("lower priority"), warns, "{keys}: {text}");
        }
    }

    #[test]
    fn unspecified_address_is_shown_as_loopback() {
        let settings = real(&[]);
        for (listens, base_url) in [
            ("127.0.0.1:3000", "base_url = http://127.0.0.1:3000/v1\n"),
            ("0.0.0.0:80", "base_url = http://127.0.0.1:80/v1\n"),
            ("[::]:80", "base_url = http://[::1]:80/v1\n"),
            ("192.0.2.7:80", "base_url = http://192.0.2.7:80/v1\n"),
        ] {
            let text = settings.greeting(listens.parse().unwrap());
            assert!(text.contains(base_url), "{listens}: {text}");
        }
    }

    #[test]
    fn demo_prints_its_token_and_commands() {
        let text = greeting(&Settings::Demo);
        assert!(
            text.contains("api_key  = the-token-of-the-demo\n"),
            "{text}"
        );
        let link = "  http://127.0.0.1:3000/#/sign-in?token=the-admin-token-of-the-demo\n";
        assert!(text.contains(link), "{text}");
        let commands: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("  curl ") || line.starts_with("  export "))
            .collect();
        assert_eq!(
            commands,
            [
                r#"  curl http://127.0.0.1:3000/v1/chat/completions -H 'Authorization: Bearer the-token-of-the-demo' -H 'Content-Type: application/json' -d '{"model":"gemini-flash-latest","messages":[{"role":"user","content":"Hello"}]}'"#,
                r#"  curl -N http://127.0.0.1:3000/v1/chat/completions -H 'Authorization: Bearer the-token-of-the-demo' -H 'Content-Type: application/json' -d '{"model":"gemini-flash-latest","messages":[{"role":"user","content":"Hello"}],"stream":true}'"#,
                "  export KEYPOOL_TOKEN=the-token-of-the-demo",
                "  export KEYPOOL_ADMIN_TOKEN=the-admin-token-of-the-demo",
            ]
        );
    }
}
