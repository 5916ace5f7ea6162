//! Splits SQL into tokens, as bytes: a dump may contain text that is not UTF-8.

/// The kinds of token that an import must tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space or a comment.
    Blank,
    /// A keyword, a name or a number.
    Word,
    /// A string or a quoted name, with its quotes.
    Quoted,
    /// One byte of anything else.
    Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
}

impl Token<'_> {
    /// Whether it is this keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword.as_bytes())
    }

    pub(super) fn is_sign(&self, sign: u8) -> bool {
        self.text == [sign]
    }

    /// The text without quotes.
    pub(super) fn unquoted(&self) -> Vec<u8> {
        let (Kind::Quoted, [open, inner @ ..]) = (self.kind, self.text) else {
            return self.text.to_vec();
        };
        let close = closing_quote(*open);
        let inner = inner.strip_suffix(&[close]).unwrap_or(inner);
        let mut text = Vec::with_capacity(inner.len());
        let mut is_second = false;
        for &byte in inner {
            is_second = byte == close && !is_second;
            if !is_second {
                text.push(byte);
            }
        }
        text
    }
}

/// The tokens of an SQL text; together they are the whole text.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let sql = self.rest;
        let run = |is_part: fn(&u8) -> bool| sql.iter().take_while(|byte| is_part(byte)).count();
        let (kind, length) = match sql {
            [] => return None,
            [b'-', b'-', ..] => (Kind::Blank, length_to(sql, b"\n")),
            [b'/', b'*', ..] => (Kind::Blank, 2 + length_to(sql.get(2..)?, b"*/")),
            [open @ (b'\'' | b'"' | b'`' | b'['), ..] => {
                (Kind::Quoted, quoted_length(sql, closing_quote(*open)))
            }
            [first, ..] if first.is_ascii_whitespace() => {
                (Kind::Blank, run(u8::is_ascii_whitespace))
            }
            [first, ..] if is_word(first) => (Kind::Word, run(is_word)),
            _ => (Kind::Sign, 1),
        };
        let (text, rest) = sql.split_at_checked(length)?;
        self.rest = rest;
        Some(Token { kind, text })
    }
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

fn closing_quote(open: u8) -> u8 {
    match open {
        b'[' => b']',
        quote => quote,
    }
}

/// The length up to and including `end`, or to the end of the text.
fn length_to(text: &[u8], end: &[u8]) -> usize {
    let at = text.windows(end.len()).position(|window| window == end);
    at.map_or(text.len(), |at| at + end.len())
}

/// The length of the quoted text at the start of `sql`; a doubled closing quote is part of it.
fn quoted_length(sql: &[u8], close: u8) -> usize {
    let mut at = 1;
    while let Some(length) = sql.get(at..).map(|rest| length_to(rest, &[close])) {
        at += length;
        if close == b']' || sql.get(at) != Some(&close) {
            break;
        }
        at += 1;
    }
    at.min(sql.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_are_single_tokens() {
        for (sql, expected) in [
            ("a1_$é", vec!["a1_$é"]),
            ("'it''s;'\"b\"\"\"", vec!["'it''s;'", "\"b\"\"\""]),
            ("[a;b]`c`", vec!["[a;b]", "`c`"]),
            ("-- a;\nb", vec!["-- a;\n", "b"]),
            ("/* ; **/-/", vec!["/* ; **/", "-", "/"]),
            ("/*/ a", vec!["/*/ a"]),
            ("'open;", vec!["'open;"]),
            ("a \n;", vec!["a", " \n", ";"]),
        ] {
            let tokens = Tokens {
                rest: sql.as_bytes(),
            };
            let texts: Vec<_> = tokens
                .map(|token| String::from_utf8_lossy(token.text).into_owned())
                .collect();
            assert_eq!(texts, expected, "{sql}");
        }
    }
}
