//! Patterns for the names of models: `*` stands for any characters or none.

/// Stands for any characters in a pattern.
pub const ANY: char = '*';

/// Whether a pattern matches a text.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once(ANY) else {
        return pattern == text;
    };
    let (middle, suffix) = rest.rsplit_once(ANY).unwrap_or(("", rest));
    let between = text
        .strip_prefix(prefix)
        .and_then(|text| text.strip_suffix(suffix));
    let Some(mut between) = between else {
        return false;
    };
    middle
        .split(ANY)
        .all(|part| match between.split_once(part) {
            Some((_, after)) => {
                between = after;
                true
            }
            // An empty part is everywhere, which `split_once` does not say of an empty text.
            None => part.is_empty(),
        })
}
