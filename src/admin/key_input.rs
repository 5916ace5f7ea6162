//! Reads keys that are to be added, in any form in which people paste them.
//!
//! | input | entries |
//! |---|---|
//! | `{"keys":[…]}` | objects, or keys as texts |
//! | `{"text":"…"}` | those of the text |
//! | a JSON list | objects, or keys as texts |
//! | a header that names a column `key` or `api_key`, as in CSV | one for each record |
//! | any other text | keys between commas, semicolons, blanks, line breaks and quotes |

use super::key_fields::{NAME, NOTE, TAG, priority, priority_of, short, tags, tags_of, trimmed};
use crate::config::key_list::{KEY_RULE, key, keys_in};
use crate::pool::ApiKey;
use crate::store::NewKey;
use crate::wire::parameters::{Invalid, Parameters, list, text};
use serde_json::value::RawValue;
use std::iter::Peekable;
use std::str::Chars;

/// The members of an object that describes a key.
const MEMBERS: [&str; 7] = [
    "key", "api_key", "name", "project", "priority", "tags", "note",
];
/// The weight in a draw of a key whose entry states none.
const DEFAULT_PRIORITY: i64 = 100;

/// An entry: a key, or why it is none.
pub(super) type Entry = Result<NewKey, String>;

/// The entries of a body.
///
/// # Errors
/// The body is an object, but not as above.
pub(super) fn entries(body: &[u8]) -> Result<Vec<Entry>, Invalid> {
    let input = std::str::from_utf8(body).map_err(|_| Invalid::new("is not UTF-8"))?;
    let input = input.trim_start_matches('\u{feff}').trim();
    match input.chars().next() {
        None => return Err(Invalid::new("must have keys")),
        Some('{') => {}
        Some(_) => return Ok(in_text(input)),
    }
    let parameters = Parameters::of_body(input.as_bytes())?;
    let names: Vec<&str> = parameters.names().collect();
    match names[..] {
        ["keys"] => Ok(parameters.list("keys")?.into_iter().map(of_json).collect()),
        ["text"] => Ok(in_text(parameters.require("text", text)?.trim())),
        _ => Err(Invalid::new(
            "must have one member, either `keys` or `text`",
        )),
    }
}

fn in_text(input: &str) -> Vec<Entry> {
    if input.starts_with('[')
        && let Some(items) = read_list(input)
    {
        return items.into_iter().map(of_json).collect();
    }
    if let Some(entries) = in_csv(input) {
        return entries;
    }
    let keys = keys_in(input).into_iter();
    keys.map(|key| key.map(plain).ok_or_else(|| KEY_RULE.to_owned()))
        .collect()
}

/// The items of a JSON list of texts and objects.
fn read_list(input: &str) -> Option<Vec<&RawValue>> {
    let items = list(serde_json::from_str(input).ok()?).ok()?;
    let may_be_key = |item: &&RawValue| item.get().starts_with(['"', '{']);
    items.iter().all(may_be_key).then_some(items)
}

fn of_json(item: &RawValue) -> Entry {
    let read = || {
        if item.get().starts_with('"') {
            return api_key(&text(item)?).map(plain);
        }
        let members =
            Parameters::of(item).map_err(|_| Invalid::new("must be an object or a text"))?;
        if members.names().any(|name| !MEMBERS.contains(&name)) {
            return Err(Invalid::new("has an unknown member"));
        }
        let key = members.raw("key").or(members.raw("api_key"));
        let key = key.ok_or_else(|| Invalid::new("has no `key`"))?;
        let text_of = |name, rule| {
            let text = members.read(name, |value| short(value, rule))?;
            Ok::<_, Invalid>(text.flatten())
        };
        Ok(NewKey {
            key: api_key(&text(key)?)?,
            name: text_of("name", NAME)?,
            project: text_of("project", NAME)?,
            note: text_of("note", NOTE)?,
            priority: members
                .read("priority", priority)?
                .unwrap_or(DEFAULT_PRIORITY),
            tags: members.read("tags", tags)?.unwrap_or_default(),
        })
    };
    read().map_err(reason)
}

fn plain(key: ApiKey) -> NewKey {
    NewKey {
        key,
        name: None,
        project: None,
        priority: DEFAULT_PRIORITY,
        tags: Vec::new(),
        note: None,
    }
}

fn api_key(text: &str) -> Result<ApiKey, Invalid> {
    key(text.trim()).ok_or_else(|| Invalid::new(KEY_RULE))
}

/// An error about an entry, without its value.
fn reason(invalid: Invalid) -> String {
    match invalid.path.as_str() {
        "" => invalid.reason,
        _ => invalid.message(),
    }
}

/// A column of a CSV text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Key,
    Name,
    Project,
    Priority,
    Tags,
    Note,
    /// Any other, which is ignored.
    Other,
}

impl Column {
    fn of(header: &str) -> Self {
        let header = header.trim().to_ascii_lowercase().replace([' ', '-'], "_");
        match header.as_str() {
            "key" | "api_key" | "apikey" => Self::Key,
            "name" => Self::Name,
            "project" => Self::Project,
            "priority" => Self::Priority,
            "tags" => Self::Tags,
            "note" => Self::Note,
            _ => Self::Other,
        }
    }
}

/// The entries of a CSV text; `None` if its first line is not a header with a key.
fn in_csv(input: &str) -> Option<Vec<Entry>> {
    let header = input.lines().next()?;
    let separators = [',', ';', '\t'];
    let separator = separators.into_iter().find(|c| header.contains(*c));
    let mut records = Records {
        characters: input.chars().peekable(),
        separator: separator.unwrap_or(','),
    };
    let columns: Vec<Column> = records
        .next()?
        .iter()
        .map(|name| Column::of(name))
        .collect();
    if !columns.contains(&Column::Key) {
        return None;
    }
    let is_blank = |record: &Vec<String>| record.iter().all(|field| field.trim().is_empty());
    let records = records.filter(|record| !is_blank(record));
    Some(records.map(|record| of_record(&columns, &record)).collect())
}

fn of_record(columns: &[Column], record: &[String]) -> Entry {
    let field = |column| {
        let position = columns.iter().position(|known| *known == column)?;
        record.get(position).map(|field| field.trim())
    };
    let text_of = |column, name: &str, rule| {
        let text = trimmed(field(column).unwrap_or_default(), rule);
        text.map_err(|invalid| invalid.within(name))
    };
    let read = || {
        Ok(NewKey {
            key: api_key(field(Column::Key).unwrap_or_default())?,
            name: text_of(Column::Name, "name", NAME)?,
            project: text_of(Column::Project, "project", NAME)?,
            note: text_of(Column::Note, "note", NOTE)?,
            priority: match field(Column::Priority) {
                None | Some("") => DEFAULT_PRIORITY,
                Some(text) => priority_of(text.parse().ok())
                    .map_err(|invalid: Invalid| invalid.within("priority"))?,
            },
            tags: {
                let tags = field(Column::Tags).unwrap_or_default().split([';', '|']);
                let tags = tags.filter(|tag| !tag.trim().is_empty());
                tags_of(tags.map(|tag| trimmed(tag, TAG)))
                    .map_err(|invalid| invalid.within("tags"))?
            },
        })
    };
    read().map_err(reason)
}

/// The records of a CSV text as in RFC 4180: a field in quotes may contain separators, line breaks,
/// and quotes that are doubled.
struct Records<'a> {
    characters: Peekable<Chars<'a>>,
    separator: char,
}

impl Iterator for Records<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        self.characters.peek()?;
        let mut fields = vec![String::new()];
        let mut is_quoted = false;
        while let Some(character) = self.characters.next() {
            let field = fields.last_mut()?;
            match character {
                '"' if is_quoted => {
                    is_quoted = self.characters.next_if_eq(&'"').is_some();
                    if is_quoted {
                        field.push('"');
                    }
                }
                '"' if field.trim().is_empty() => {
                    field.clear();
                    is_quoted = true;
                }
                '\n' if !is_quoted => break,
                '\r' if !is_quoted => {}
                _ if character == self.separator && !is_quoted => fields.push(String::new()),
                _ => field.push(character),
            }
        }
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys and reasons of the entries.
    fn read(body: &str) -> Vec<String> {
        let entries = entries(body.as_bytes()).unwrap().into_iter();
        let described = entries.map(|entry| match entry {
            Ok(key) => key.key.expose().to_owned(),
            Err(reason) => reason,
        });
        described.collect()
    }

    fn full(body: &str) -> NewKey {
        let entries = entries(body.as_bytes()).unwrap();
        entries.into_iter().next().unwrap().unwrap()
    }

    #[test]
    fn keys_are_read_in_any_form() {
        for body in [
            "fake-key-1\nfake-key-2",
            "fake-key-1, fake-key-2",
            "fake-key-1;fake-key-2\n",
            "'fake-key-1' 'fake-key-2'",
            "\u{feff}fake-key-1\tfake-key-2",
            r#"["fake-key-1","fake-key-2"]"#,
            r#"[{"key":"fake-key-1"},{"api_key":" fake-key-2 ","name":"x"}]"#,
            r#"{"keys":["fake-key-1",{"key":"fake-key-2"}]}"#,
            r#"{"text":"fake-key-1\nfake-key-2"}"#,
            r#"{"text":"[\"fake-key-1\",\"fake-key-2\"]"}"#,
            r#"{"text":"key\nfake-key-1\nfake-key-2"}"#,
            "key\nfake-key-1\nfake-key-2",
            "API Key,Name\r\nfake-key-1,a\r\n\r\nfake-key-2,b\r\n",
            "name;key\na;fake-key-1\nb;\"fake-key-2\"",
            "status\tAPI-KEY\n1\tfake-key-1\n0\tfake-key-2",
            "note,key\n\"a, \"\"b\"\"\nc\",fake-key-1\n,fake-key-2",
        ] {
            assert_eq!(read(body), ["fake-key-1", "fake-key-2"], "{body}");
        }
        for body in ["[]", r#"{"text":""}"#, r#"{"keys":[]}"#, "key\n"] {
            assert_eq!(read(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn a_key_has_what_its_entry_says() {
        let expected = NewKey {
            key: ApiKey::try_new("fake-key-1").unwrap(),
            name: Some("Anna, \"A\"".to_owned()),
            project: Some("projects/1".to_owned()),
            priority: 7,
            tags: vec!["a".to_owned(), "b".to_owned()],
            note: Some("hers".to_owned()),
        };
        for body in [
            r#"{"keys":[{"key":"fake-key-1","name":"Anna, \"A\"","project":"projects/1","priority":7,"tags":["a","b"],"note":"hers"}]}"#,
            "Tags,PRIORITY,note,Project,api_key,name\na;b,7,hers,projects/1,fake-key-1,\"Anna, \"\"A\"\"\"",
            "tags;priority;note;project;key;name\na|b; 7 ;hers;projects/1;fake-key-1;\"Anna, \"\"A\"\"\"",
        ] {
            assert_eq!(full(body), expected, "{body}");
        }
        let minimal = plain(expected.key);
        for body in [
            "fake-key-1",
            r#"[{"key":"fake-key-1","name":null}]"#,
            "key,priority\nfake-key-1,",
        ] {
            assert_eq!(full(body), minimal, "{body}");
        }
    }

    #[test]
    fn a_malformed_entry_has_a_reason_but_no_value() {
        for (body, reason) in [
            ("short", KEY_RULE),
            (r#"["short"]"#, KEY_RULE),
            (r#"[{"name":"x"}]"#, "has no `key`"),
            (
                r#"[{"key":"fake-key-1","nam":"x"}]"#,
                "has an unknown member",
            ),
            (r#"{"keys":[7]}"#, "must be an object or a text"),
            (
                r#"[{"key":"fake-key-1","priority":-1}]"#,
                "`priority` must be a whole number from 0 to 1000000.",
            ),
            (
                r#"[{"key":"fake-key-1","tags":["a",""]}]"#,
                "`tags[1]` must not be empty.",
            ),
            (
                "key,priority\nfake-key-1,high",
                "`priority` must be a whole number from 0 to 1000000.",
            ),
            ("name,key\nAnna", KEY_RULE),
        ] {
            assert_eq!(read(body), [reason], "{body}");
        }
    }

    #[test]
    fn an_object_has_keys_or_a_text() {
        for body in [
            "",
            " ",
            "{",
            "{}",
            r#"{"key":"fake-key-1"}"#,
            r#"{"keys":1}"#,
            r#"{"keys":[],"text":""}"#,
        ] {
            assert!(entries(body.as_bytes()).is_err(), "{body}");
        }
        assert!(entries(&[0xff]).is_err());
    }
}
