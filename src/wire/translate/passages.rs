//! Finds the passages that Gemini cites in the text of its answer.
//!
//! Each passage comes with its place, which is counted from elsewhere in some answers, such as the
//! part's beginning. Only then it is searched for. Searches read a limited number of bytes in all,
//! since the component does nothing else meanwhile: beyond, a passage is known by its place alone.

use std::collections::HashMap;
use std::ops::Range;

/// How many bytes all searches for the passages of an answer may read: more than 500 passages in
/// an answer of 60 KB, which is as long as answers get without thoughts or images.
const MAX_READ: usize = 32 << 20;

/// How many more bytes searches in an answer may read.
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_READ)
    }
}

/// A text in which passages are searched for.
pub(super) struct Passages<'t> {
    text: &'t str,
    /// How many bytes of the answer's text are before it.
    before: usize,
    budget: &'t mut Budget,
    /// Where the passages are that were searched for.
    found: HashMap<&'t str, Option<usize>>,
}

impl<'t> Passages<'t> {
    pub(super) fn new(text: &'t str, before: usize, budget: &'t mut Budget) -> Self {
        Self {
            text,
            before,
            budget,
            found: HashMap::new(),
        }
    }

    /// The bytes of the text at a place in the answer.
    pub(super) fn at(&self, place: &Range<usize>) -> Range<usize> {
        let offset = |place: usize| {
            let offset = place.saturating_sub(self.before);
            self.text.floor_char_boundary(offset)
        };
        offset(place.start)..offset(place.end)
    }

    /// The bytes of the text that a passage covers; `None` if it was not found.
    pub(super) fn find(&mut self, passage: &'t str, place: &Range<usize>) -> Option<Range<usize>> {
        let given = self.at(place);
        if self.text.get(given.clone()) == Some(passage) {
            return Some(given);
        }
        let start = match self.found.get(passage) {
            Some(start) => *start,
            None => {
                let start = self.search(passage);
                self.found.insert(passage, start);
                start
            }
        }?;
        Some(start..start.saturating_add(passage.len()))
    }

    fn search(&mut self, passage: &str) -> Option<usize> {
        if passage.len() > self.text.len() {
            return None;
        }
        self.budget.0 = self.budget.0.checked_sub(self.text.len())?;
        memchr::memmem::find(self.text.as_bytes(), passage.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_place_comes_first() {
        let mut budget = Budget::default();
        let mut passages = Passages::new("é a a", 10, &mut budget);
        assert_eq!(passages.find("a", &(15..16)), Some(5..6));
        assert_eq!(passages.find("a", &(0..1)), Some(3..4));
        assert_eq!(passages.find("b", &(15..16)), None);
        assert_eq!(passages.at(&(11..99)), 0..6);
    }

    #[test]
    fn a_passage_is_searched_for_once() {
        let text = "x".repeat(1000);
        let mut budget = Budget(2500);
        let mut passages = Passages::new(&text, 0, &mut budget);
        for _ in 0..9 {
            assert_eq!(passages.find("y", &(0..1)), None);
        }
        assert_eq!(passages.budget.0, 1500);
        assert_eq!(passages.find("xx", &(0..1)), Some(0..2));
        assert_eq!(passages.find("xxx", &(0..1)), None);
        // Beyond the budget, only the place counts.
        assert_eq!(passages.find("xxx", &(7..10)), Some(7..10));
    }
}
