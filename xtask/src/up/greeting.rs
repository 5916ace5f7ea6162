//! What `up` tells the person who started it: where to point a client, and what is still missing.
//!
//! A real token is never printed. Its last four characters are enough to tell two tokens apart.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The demo's token, which is no secret.
pub(super) const DEMO_TOKEN: &str = "the-token-of-the-demo";
/// The demo's keys, which nobody can mistake for real ones.
pub(super) const DEMO_KEYS: [&str; 5] = [
    "not-a-real-key-for-the-demo-0001",
    "not-a-real-key-for-the-demo-0002",
    "not-a-real-key-for-the-demo-0003",
    "not-a-real-key-for-the-demo-0004",
    "not-a-real-key-for-the-demo-0005",
];

/// A token no longer than this shows nothing of itself: four characters would be too much of it. As in the component.
const SHORT_TOKEN: usize = 12;

/// The priority of imported keys falls by 10 a key from 100, so that those after the tenth get less than 0 or nothing.
const KEYS_WITH_PRIORITY: usize = 10;

/// What is known of a variable that the component will see. Blank counts as unset, as it does there.
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

/// What the greeting depends on.
pub(super) enum Settings {
    Demo,
    Real {
        /// The token that clients must present.
        token: Variable<MaskedToken>,
        /// How many keys there are to import.
        keys: Variable<usize>,
    },
}

/// What may be shown of a token.
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
    /// Takes the variables that the component will see, by their names there.
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

    /// All that there is to say once the host serves at `address`.
    pub(super) fn greeting(&self, address: SocketAddr) -> String {
        let origin = format!("http://{}", reachable(address));
        let mut text = format!("\nThe key pool listens on {origin}\n\n");
        let api_key = match self {
            Self::Demo => DEMO_TOKEN,
            Self::Real { token, .. } => match token {
                Variable::Unset => "(none yet, see below)",
                Variable::Unknown => "your token",
                Variable::Set(MaskedToken(shown)) => &format!("your token, {shown}"),
            },
        };
        push(&mut text, "In an OpenAI client:");
        push(&mut text, &format!("  base_url = {origin}/v1"));
        push(&mut text, &format!("  api_key  = {api_key}"));
        match self {
            Self::Demo => {
                push(&mut text, "\nTry it:");
                push(&mut text, &curl(&origin, Reply::Whole));
                push(&mut text, "\nThe same as a stream:");
                push(&mut text, &curl(&origin, Reply::Stream));
                push(
                    &mut text,
                    "\nThis is a demo: the answers are made up, and its data is deleted when the next demo starts.",
                );
            }
            Self::Real { token, keys } => {
                if matches!(token, Variable::Unset) {
                    push(
                        &mut text,
                        "\nNo token is set: every call will be refused until there is one. Stop this, then run\n  \
                         export SPIN_VARIABLE_MY_API_TOKEN=\"$(openssl rand -hex 24)\"",
                    );
                }
                match keys {
                    Variable::Unset => push(
                        &mut text,
                        "\nSPIN_VARIABLE_GEMINI_API_KEY is not set. Unless keys are in the database already, stop this, then run\n  \
                         export SPIN_VARIABLE_GEMINI_API_KEY=\"first-key,second-key\"",
                    ),
                    Variable::Set(number) if *number > KEYS_WITH_PRIORITY => push(
                        &mut text,
                        &format!(
                            "\nOf the {number} keys in SPIN_VARIABLE_GEMINI_API_KEY, the first ten get most calls and the last few none:\n\
                             each is imported with a lower priority than the one before. docs/keys.md says how to make them equal."
                        ),
                    ),
                    Variable::Unknown | Variable::Set(_) => {}
                }
            }
        }
        push(&mut text, "\nCtrl-C stops it.");
        text.push('\n');
        text
    }
}

#[derive(Clone, Copy)]
enum Reply {
    Whole,
    Stream,
}

/// A command that works as it stands. It is one line, since a copied backslash at a line's end easily gains a space.
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

fn push(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// The address to connect to for one that is listened on: "any" is no place to go to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
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
    fn the_address_is_read_from_the_hosts_line() {
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
    fn a_token_shows_its_last_four_characters_and_a_short_one_nothing() {
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
    fn a_real_token_is_not_printed() {
        let token = "the-very-secret-token-wxyz";
        let text = greeting(&real(&[("my_api_token", token)]));
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("…wxyz"), "{text}");
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_helps() {
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
            let says = |part: &str| text.contains(part);
            assert_eq!(
                says("every call will be refused"),
                no_token,
                "{variables:?}"
            );
            assert_eq!(
                says("export SPIN_VARIABLE_MY_API_TOKEN="),
                no_token,
                "{text}"
            );
            assert_eq!(
                says("export SPIN_VARIABLE_GEMINI_API_KEY="),
                no_keys,
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_is_called_missing_that_may_be_in_a_file() {
        let text = greeting(&Settings::real(|_| Variable::Unknown));
        assert!(!text.contains("export"), "{text}");
        assert!(text.contains("api_key  = your token\n"), "{text}");
    }

    #[test]
    fn keys_that_will_get_few_calls_are_told() {
        for (keys, told) in [
            ("1,2,3,4,5,6,7,8,9,10", false),
            ("1,2,3,4,5,6,7,8,9,10,,10, 10 ", false),
            ("1,2,3,4,5,6,7,8,9,10,11", true),
        ] {
            let text = greeting(&real(&[("gemini_api_key", keys)]));
            assert_eq!(text.contains("lower priority"), told, "{keys}: {text}");
        }
    }

    #[test]
    fn the_client_gets_an_address_that_it_can_connect_to() {
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
    fn the_demo_prints_its_token_and_two_complete_commands() {
        let text = greeting(&Settings::Demo);
        assert!(
            text.contains("api_key  = the-token-of-the-demo\n"),
            "{text}"
        );
        let commands: Vec<&str> = text
            .lines()
            .filter(|line| line.trim_start().starts_with("curl "))
            .collect();
        assert_eq!(
            commands,
            [
                r#"  curl http://127.0.0.1:3000/v1/chat/completions -H 'Authorization: Bearer the-token-of-the-demo' -H 'Content-Type: application/json' -d '{"model":"gemini-flash-latest","messages":[{"role":"user","content":"Hello"}]}'"#,
                r#"  curl -N http://127.0.0.1:3000/v1/chat/completions -H 'Authorization: Bearer the-token-of-the-demo' -H 'Content-Type: application/json' -d '{"model":"gemini-flash-latest","messages":[{"role":"user","content":"Hello"}],"stream":true}'"#,
            ]
        );
        assert!(!text.contains("export"), "{text}");
    }
}
