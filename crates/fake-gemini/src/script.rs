//! Replies that have a name on the command line.

use crate::demo::Pace;
use anyhow::{Context, Result, bail, ensure};
use fake_gemini::{Answer, Break, Framing, MidStream, Reply, errors};
use std::time::Duration;

/// The model that quota errors name: the script is older than the call.
const MODEL: &str = "gemini-2.5-flash";
/// More events than anybody watches.
const MAX_EVENTS: usize = 1000;
/// Google's hints are below a minute.
const RETRY: Duration = Duration::from_secs(30);

/// The names, as the help shows them. `N` is a number of events.
pub(crate) const NAMES: [&str; 20] = [
    "ok",
    "empty",
    "high-demand",
    "overloaded",
    "unavailable",
    "internal",
    "deadline",
    "exhausted",
    "quota-minute",
    "quota-day",
    "quota-zero",
    "prepaid",
    "html-502",
    "cut",
    "reset",
    "close",
    "silence",
    "break:N",
    "reset:N",
    "error:N",
];

/// `KEY_NUMBER=reply,reply,…`: the key's place among `keys` keys, from 1, and its replies in their order.
pub(crate) fn parse(text: &str, keys: usize, pace: Pace) -> Result<(usize, Vec<Reply>)> {
    let (number, names) = text
        .split_once('=')
        .context("it is KEY_NUMBER=reply,reply,…")?;
    let place = number.parse().unwrap_or(0);
    ensure!(
        (1..=keys).contains(&place),
        "before `=` comes a key's place, from 1 to {keys}"
    );
    let replies: Result<Vec<Reply>> = names.split(',').map(|name| reply(name, pace)).collect();
    Ok((place, replies?))
}

fn reply(name: &str, pace: Pace) -> Result<Reply> {
    let reply = match name.split_once(':') {
        None => plain(name).with_context(|| unknown(name))?,
        Some((kind, count)) => {
            let how = match kind {
                "break" => Break::Close,
                "reset" => Break::Reset,
                // On the compatible surface no form is known; this one every client can read.
                "error" => Break::Error(errors::high_demand(), MidStream::Object),
                _ => bail!(unknown(name)),
            };
            let count = count.parse().ok().filter(|count| *count <= MAX_EVENTS);
            let count = count.with_context(|| {
                format!("`{name}`: after `:` comes a number of events, at most {MAX_EVENTS}")
            })?;
            Reply::events(count + 2).break_after(count, how)
        }
    };
    Ok(reply.delay(pace.delay).gap(pace.gap))
}

fn plain(name: &str) -> Option<Reply> {
    Some(match name {
        "ok" => Reply::answer(Answer::words("This is a made-up answer, as scripted.")),
        "empty" => Reply::answer(Answer::empty()),
        "high-demand" => Reply::error(errors::high_demand()),
        "overloaded" => Reply::error(errors::overloaded()),
        "unavailable" => Reply::error(errors::unavailable()),
        "internal" => Reply::error(errors::internal()),
        "deadline" => Reply::error(errors::deadline_exceeded()),
        "exhausted" => Reply::error(errors::resource_exhausted()),
        "quota-minute" => Reply::error(errors::quota_per_minute(MODEL, 15, RETRY)),
        "quota-day" => Reply::error(errors::quota_per_day(MODEL, 20, RETRY)),
        "quota-zero" => Reply::error(errors::quota_zero(MODEL, RETRY)),
        "prepaid" => Reply::error(errors::prepayment_depleted()),
        "html-502" => Reply::html(502),
        "cut" => Reply::ok().cut_at(20, Framing::Length),
        "reset" => Reply::reset(),
        "close" => Reply::close(),
        "silence" => Reply::silence(),
        _ => return None,
    })
}

fn unknown(name: &str) -> String {
    format!(
        "no reply is called `{name}`; there are: {}",
        NAMES.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        delay: Duration::from_millis(1),
        gap: Duration::from_millis(2),
    };

    #[test]
    fn each_name_of_the_list_is_a_reply() {
        for name in NAMES {
            let name = name.replace('N', "3");
            assert!(reply(&name, PACE).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_script_is_a_keys_place_and_its_replies_in_order() {
        let (place, replies) = parse("2=silence,break:1,ok", 2, PACE).unwrap();
        assert_eq!(place, 2);
        let expected = [
            Reply::silence(),
            Reply::events(3).break_after(1, Break::Close),
            Reply::answer(Answer::words("This is a made-up answer, as scripted.")),
        ]
        .map(|reply| reply.delay(PACE.delay).gap(PACE.gap));
        assert_eq!(format!("{replies:?}"), format!("{expected:?}"));
    }

    #[test]
    fn what_is_wrong_with_a_script_is_told() {
        for (text, message) in [
            ("1", "it is KEY_NUMBER=reply,reply,…"),
            ("0=ok", "before `=` comes a key's place, from 1 to 2"),
            ("3=ok", "before `=` comes a key's place, from 1 to 2"),
            ("x=ok", "before `=` comes a key's place, from 1 to 2"),
            ("1=", "no reply is called ``; there are: ok, empty,"),
            ("1=ok,okay", "no reply is called `okay`; there are: ok,"),
            ("1=brake:3", "no reply is called `brake:3`; there are: ok,"),
            ("1=break", "no reply is called `break`"),
            ("1=break:x", "`break:x`: after `:` comes a number"),
            ("1=error:1001", "at most 1000"),
        ] {
            let error = parse(text, 2, PACE).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
