//! What searches have found, and the passages of a message that it supports.
//!
//! An event may repeat all that earlier ones said, so everything is stored once.

use super::response::{Annotation, SearchAction, SearchSource};
use crate::wire::translate::answer::Grounding;
use crate::wire::translate::passages::{Budget, Passages};
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::rc::Rc;

/// What searches have found.
#[derive(Default)]
pub(super) struct Found {
    queries: Distinct<String>,
    urls: Distinct<String>,
    sources: Distinct<Source>,
    passages: Distinct<Passage>,
    /// Passages and their sources, by their positions.
    citations: Distinct<(usize, usize)>,
    budget: Budget,
}

#[derive(PartialEq, Eq, Hash)]
struct Source {
    url: String,
    title: String,
}

/// A passage of the answer.
#[derive(PartialEq, Eq, Hash)]
struct Passage {
    /// In bytes of the answer's text.
    place: Range<usize>,
    text: String,
}

impl Found {
    /// Whether there was a search.
    pub(super) fn has_queries(&self) -> bool {
        !self.queries.items.is_empty()
    }

    /// What was searched for.
    pub(super) fn action(&self, sources: Option<Vec<SearchSource>>) -> SearchAction {
        let queries = self.queries.items.iter();
        let queries: Vec<String> = queries.map(|query| query.to_string()).collect();
        SearchAction {
            query: queries.first().cloned().unwrap_or_default(),
            queries,
            sources,
        }
    }

    /// Adds what is new.
    pub(super) fn add(&mut self, grounding: &Grounding<'_>) {
        for query in &grounding.queries {
            self.queries.add(query.to_string());
        }
        let sources = grounding.sources.iter().map(|source| {
            self.urls.add(source.url.to_string());
            self.sources.add(Source {
                url: source.url.to_string(),
                title: source.title.to_string(),
            })
        });
        let sources: Vec<usize> = sources.collect();
        for citation in &grounding.citations {
            let passage = self.passages.add(Passage {
                place: citation.start..citation.end,
                text: citation.text.to_string(),
            });
            for index in &citation.sources {
                if let Some(source) = sources.get(*index) {
                    self.citations.add((passage, *source));
                }
            }
        }
    }

    pub(super) fn sources(&self) -> Vec<SearchSource> {
        let urls = self.urls.items.iter();
        urls.map(|url| SearchSource {
            url: url.to_string(),
        })
        .collect()
    }

    /// The annotations of a message after this many bytes of text.
    pub(super) fn annotations(&mut self, before: usize, text: &str) -> Vec<Annotation> {
        let mut found = Passages::new(text, before, &mut self.budget);
        let characters = Characters::of(text);
        let passages = self.passages.items.iter().map(|passage| {
            let bytes = match passage.text.as_str() {
                "" => None,
                text => found.find(text, &passage.place),
            };
            let bytes = bytes.unwrap_or_else(|| found.at(&passage.place));
            let is_empty = bytes.start >= bytes.end;
            (!is_empty).then(|| characters.before(bytes.start)..characters.before(bytes.end))
        });
        let passages: Vec<Option<Range<usize>>> = passages.collect();
        let citations = self.citations.items.iter().filter_map(|citation| {
            let (passage, source) = **citation;
            let passage = passages.get(passage)?.as_ref()?;
            let source = self.sources.items.get(source)?;
            Some(Annotation {
                start_index: passage.start,
                end_index: passage.end,
                url: source.url.clone(),
                title: source.title.clone(),
            })
        });
        citations.collect()
    }
}

/// Items in the order in which they were added, each once.
struct Distinct<T> {
    items: Vec<Rc<T>>,
    positions: HashMap<Rc<T>, usize>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            positions: HashMap::new(),
        }
    }
}

impl<T: Eq + Hash> Distinct<T> {
    /// Returns the item's position.
    fn add(&mut self, item: T) -> usize {
        if let Some(position) = self.positions.get(&item) {
            return *position;
        }
        let (item, position) = (Rc::new(item), self.items.len());
        self.items.push(Rc::clone(&item));
        self.positions.insert(item, position);
        position
    }
}

/// Counts the characters of a text.
struct Characters<'t> {
    text: &'t [u8],
    /// How many characters begin before each block.
    blocks: Vec<usize>,
}

impl<'t> Characters<'t> {
    /// In bytes.
    const BLOCK: usize = 1024;

    fn of(text: &'t str) -> Self {
        let text = text.as_bytes();
        let mut blocks = vec![0];
        let mut count = 0;
        for block in text.chunks(Self::BLOCK) {
            count += starts(block);
            blocks.push(count);
        }
        Self { text, blocks }
    }

    /// The number of characters before a position in bytes.
    fn before(&self, position: usize) -> usize {
        let block = position / Self::BLOCK;
        let rest = self.text.get(block * Self::BLOCK..position);
        let counted = self.blocks.get(block).copied().unwrap_or_default();
        counted + starts(rest.unwrap_or_default())
    }
}

/// How many characters begin in these bytes of UTF-8.
fn starts(bytes: &[u8]) -> usize {
    let is_start = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
    bytes.iter().filter(is_start).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::translate::answer;

    #[test]
    fn characters_are_counted_from_blocks() {
        let text = "aé€😀".repeat(700);
        let characters = Characters::of(&text);
        for (count, (position, _)) in text.char_indices().enumerate() {
            assert_eq!(characters.before(position), count);
        }
        assert_eq!(characters.before(text.len()), 2800);
    }

    #[test]
    fn many_passages_that_are_not_in_the_text_keep_their_places() {
        let text = "é".repeat(500_000);
        let sources = (0..10).map(|index| answer::Source {
            url: format!("https://{index}.example/").into(),
            title: "T".into(),
        });
        let citations = (0..2000).map(|index| answer::Citation {
            start: index * 2,
            end: index * 2 + 2,
            text: format!("passage {index}").into(),
            sources: (0..10).collect(),
        });
        let grounding = Grounding {
            queries: Vec::new(),
            sources: sources.collect(),
            citations: citations.collect(),
        };
        let mut found = Found::default();
        for _ in 0..3 {
            found.add(&grounding);
        }
        let annotations = found.annotations(0, &text);
        assert_eq!(annotations.len(), 20_000);
        let last = annotations.last().unwrap();
        assert_eq!((last.start_index, last.end_index), (1999, 2000));
    }
}
