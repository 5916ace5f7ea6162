//! Collects edits to a text while it is parsed, and applies them at once.

use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// Pending edits to a byte slice. All text passed to its methods must be borrowed from that slice.
pub(crate) struct Patch<'a> {
    bytes: &'a [u8],
    edits: Edits,
}

/// The edits of a [`Patch`], detached from the bytes that they apply to.
#[derive(Default)]
pub(crate) struct Edits(Vec<Edit>);

struct Edit {
    /// The range to replace; empty for an insertion.
    range: Range<usize>,
    /// The replacement.
    text: String,
}

impl<'a> Patch<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            edits: Edits::default(),
        }
    }

    /// Sets a member of an object: replaces the `old` value, or inserts the member first.
    pub(crate) fn set(&mut self, object: &str, name: &str, old: Option<&RawValue>, value: &str) {
        if let Some(old) = old {
            self.replace(old, value);
            return;
        }
        let Some(inside) = object.strip_prefix('{') else {
            return;
        };
        let at = self.range_of(inside.as_bytes()).start;
        let text = if !inside.trim_start().starts_with('}') {
            format!("\"{name}\":{value},")
        } else if self.edits.0.last().is_some_and(|edit| edit.range.end == at) {
            // A previous insertion into the same empty object.
            format!(",\"{name}\":{value}")
        } else {
            format!("\"{name}\":{value}")
        };
        self.push_edit(at..at, text);
    }

    /// Replaces a value.
    pub(crate) fn replace(&mut self, old: &RawValue, value: &str) {
        self.push_edit(self.range_of(old.get().as_bytes()), value.to_owned());
    }

    /// Removes members of an object, with the commas and blanks before them. Insertions into the
    /// object must be made first.
    pub(crate) fn cut(
        &mut self,
        object: &str,
        members: &[(Cow<'_, str>, &RawValue)],
        is_removed: impl Fn(&str) -> bool,
    ) {
        let bytes = object.as_bytes();
        let start = self.range_of(bytes).start;
        // Each member includes what precedes it: the brace or comma, and blanks.
        let mut from = start + 1;
        let mut has_remaining = false;
        for (name, value) in members {
            let to = self.range_of(value.get().as_bytes()).end;
            if is_removed(name) {
                self.remove(from..to);
            } else if !has_remaining {
                has_remaining = true;
                // The first remaining member must not be preceded by a comma.
                let before = bytes.get(from - start..to - start).unwrap_or_default();
                let blanks = before
                    .iter()
                    .position(|byte| *byte != b',' && !byte.is_ascii_whitespace());
                if from > start + 1 {
                    self.remove(from..from + blanks.unwrap_or_default());
                }
            }
            from = to;
        }
        // Nor must an insertion be followed by one if no member remains.
        let (inside, edits) = (start + 1..start + 1, &mut self.edits.0);
        let last = edits.iter_mut().rfind(|edit| edit.range == inside);
        if let Some(edit) = last.filter(|_| !has_remaining && !members.is_empty())
            && edit.text.ends_with(',')
        {
            edit.text.pop();
        }
    }

    /// Renames a member of an object.
    pub(crate) fn rename(
        &mut self,
        object: &str,
        members: &[(Cow<'_, str>, &RawValue)],
        name: &str,
        other: &str,
    ) {
        let mut from = self.range_of(object.as_bytes()).start + 1;
        for (member_name, value) in members {
            let value = self.range_of(value.get().as_bytes());
            // The comma, blanks, name and colon.
            let before = self.bytes.get(from..value.start).unwrap_or_default();
            let is_quote = |byte: &u8| *byte == b'"';
            let open = before.iter().position(is_quote);
            let close = before.iter().rposition(is_quote);
            if let (true, Some(open), Some(close)) = (member_name == name, open, close) {
                self.push_edit(from + open..from + close + 1, format!("\"{other}\""));
            }
            from = value.end;
        }
    }

    /// Inserts text before a part.
    pub(crate) fn insert_before(&mut self, part: &[u8], text: String) {
        let at = self.range_of(part).start;
        self.push_edit(at..at, text);
    }

    /// Removes a range, and any edits within it.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        let is_inside = |edit: &Edit| {
            let Range { start, end } = edit.range;
            (range.start..range.end).contains(&start) && end <= range.end && end > range.start
        };
        self.edits.0.retain(|edit| !is_inside(edit));
        self.push_edit(range, String::new());
    }

    pub(crate) fn into_edits(self) -> Edits {
        self.edits
    }

    fn push_edit(&mut self, range: Range<usize>, text: String) {
        self.edits.0.push(Edit { range, text });
    }

    /// The range of a part that is borrowed from the bytes.
    pub(crate) fn range_of(&self, part: &[u8]) -> Range<usize> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        start..start.wrapping_add(part.len())
    }
}

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies the edits. Without any, returns the same bytes.
    pub(crate) fn apply(mut self, bytes: Vec<u8>) -> Vec<u8> {
        if self.is_empty() {
            return bytes;
        }
        // The sort is stable, so insertions at one position stay in order, before the removal of
        // what follows.
        self.0
            .sort_by_key(|edit| (edit.range.start, edit.range.end));
        let inserted: usize = self.0.iter().map(|edit| edit.text.len()).sum();
        let mut changed = Vec::with_capacity(bytes.len() + inserted);
        let mut at = 0;
        for Edit { range, text } in self.0 {
            changed.extend_from_slice(bytes.get(at..range.start).unwrap_or_default());
            changed.extend_from_slice(text.as_bytes());
            at = range.end;
        }
        changed.extend_from_slice(bytes.get(at..).unwrap_or_default());
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Members;

    fn patched(text: &str, change: impl FnOnce(&mut Patch<'_>, &str)) -> String {
        let bytes = text.as_bytes().to_vec();
        let mut patch = Patch::of(&bytes);
        change(&mut patch, std::str::from_utf8(&bytes).unwrap());
        let edits = patch.into_edits();
        String::from_utf8(edits.apply(bytes)).unwrap()
    }

    #[test]
    fn inserts_members_first_and_in_order() {
        for (object, expected) in [
            ("{}", r#"{"a":1,"b":2}"#),
            ("{ }", r#"{"a":1,"b":2 }"#),
            (r#"{"c":3}"#, r#"{"a":1,"b":2,"c":3}"#),
            ("{\n \"c\":3}", "{\"a\":1,\"b\":2,\n \"c\":3}"),
        ] {
            let both = patched(object, |patch, object| {
                patch.set(object, "a", None, "1");
                patch.set(object, "b", None, "2");
            });
            assert_eq!(both, expected, "{object}");
        }
    }

    #[test]
    fn applies_edits_in_order_of_position() {
        let changed = patched("[{},{}]", |patch, text| {
            patch.set(&text[4..], "b", None, "2");
            patch.set(&text[1..3], "a", None, "1");
            patch.insert_before(text.as_bytes(), "x".into());
        });
        assert_eq!(changed, r#"x[{"a":1},{"b":2}]"#);
    }

    #[test]
    fn removes_members_after_an_insertion() {
        for (object, expected) in [
            (r#"{"x":1,"a":2}"#, r#"{"new":0,"a":2}"#),
            (r#"{"a":2, "x":1}"#, r#"{"new":0,"a":2}"#),
            (r#"{ "x" : 1 , "a":2}"#, r#"{"new":0,"a":2}"#),
            (r#"{"a":2}"#, r#"{"new":0,"a":2}"#),
            (r#"{"x":1}"#, r#"{"new":0}"#),
            (r#"{ "x":1,"x":2 }"#, r#"{"new":0 }"#),
            ("{}", r#"{"new":0}"#),
        ] {
            let changed = patched(object, |patch, object| {
                let Members(members) = serde_json::from_str(object).unwrap();
                patch.set(object, "new", None, "0");
                patch.cut(object, &members, |name| name == "x");
            });
            assert_eq!(changed, expected, "{object}");
        }
    }

    #[test]
    fn renames_every_occurrence_of_a_member() {
        for case in [
            r#"{"x":1,"a":"x"} -> {"y":1,"a":"x"}"#,
            r#"{"a":"x" , "\u0078" : {"x":1} } -> {"a":"x" , "y" : {"x":1} }"#,
            "{} -> {}",
        ] {
            let (object, expected) = case.split_once(" -> ").unwrap();
            let changed = patched(object, |patch, object| {
                let Members(members) = serde_json::from_str(object).unwrap();
                patch.rename(object, &members, "x", "y");
            });
            assert_eq!(changed, expected, "{object}");
        }
    }

    #[test]
    fn returns_the_same_bytes_without_edits() {
        let bytes = b"{}".to_vec();
        let pointer = bytes.as_ptr();
        let same = Edits::default().apply(bytes);
        assert_eq!(same.as_ptr(), pointer);
    }
}
