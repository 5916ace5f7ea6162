//! The parameters of lists: filters, the order, and the page.

use crate::store::{Cursor, LARGEST_PAGE, Order, PageOf};
use crate::wire::parameters::Invalid;
use std::borrow::Cow;
use std::cell::RefCell;

/// The size of a page, unless the request says otherwise.
const DEFAULT_LIMIT: u64 = 100;

/// The values of a parameter that turns something on.
pub(super) const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];

/// A query. Each parameter is taken once, and [`finish`](Self::finish) refuses the others.
pub(super) struct Query {
    parameters: RefCell<Vec<(String, String)>>,
    taken: RefCell<Vec<&'static str>>,
}

impl Query {
    /// Reads a query. An empty value counts as absent.
    pub(super) fn parse(query: &str) -> Result<Self, Invalid> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs.map(|(name, value)| (Cow::into_owned(name), value)) {
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Invalid::about("query", "has a parameter twice"));
            }
            parameters.push((name, value.trim().to_owned()));
        }
        Ok(Self {
            parameters: RefCell::new(parameters),
            taken: RefCell::default(),
        })
    }

    /// Takes a parameter.
    pub(super) fn take(&self, name: &'static str) -> Option<String> {
        self.taken.borrow_mut().push(name);
        let mut parameters = self.parameters.borrow_mut();
        let position = parameters.iter().position(|(known, _)| known == name)?;
        let (_, value) = parameters.swap_remove(position);
        (!value.is_empty()).then_some(value)
    }

    /// Takes a whole number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<i64>, Invalid> {
        let number = self.take(name).map(|text| {
            text.parse()
                .map_err(|_| Invalid::about(name, "must be a whole number"))
        });
        number.transpose()
    }

    /// Takes a parameter that must be one of these names.
    pub(super) fn choose<T: Copy>(
        &self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, Invalid> {
        let choice = self.take(name).map(|text| chosen(&text, choices));
        let choice = choice.transpose();
        choice.map_err(|invalid| invalid.within(name))
    }

    /// Takes the parameters of a page: `sort`, with a `-` before it to reverse the order, `limit`
    /// and `cursor`.
    pub(super) fn page<S: Copy>(
        &self,
        sorts: &[(&'static str, S)],
        default: (S, Order),
    ) -> Result<PageOf<S>, Invalid> {
        let (sort, order) = match self.take("sort") {
            None => default,
            Some(text) => {
                let (name, order) = match text.strip_prefix('-') {
                    Some(name) => (name, Order::Descending),
                    None => (text.as_str(), Order::Ascending),
                };
                let sort = chosen(name, sorts).map_err(|invalid| invalid.within("sort"))?;
                (sort, order)
            }
        };
        Ok(PageOf {
            sort,
            order,
            // The sorted column and the id.
            after: self.cursor(2)?,
            limit: self.limit()?,
        })
    }

    /// Takes the size of a page.
    pub(super) fn limit(&self) -> Result<u64, Invalid> {
        let Some(text) = self.take("limit") else {
            return Ok(DEFAULT_LIMIT);
        };
        let limit = text.parse().ok();
        let limit = limit.filter(|limit| (1..=LARGEST_PAGE).contains(limit));
        limit.ok_or_else(|| {
            let rule = format!("must be a whole number from 1 to {LARGEST_PAGE}");
            Invalid::about("limit", rule)
        })
    }

    /// Takes the cursor of a list that this many columns order.
    pub(super) fn cursor(&self, columns: usize) -> Result<Option<Cursor>, Invalid> {
        let cursor = self.take("cursor").map(|text| {
            Cursor::parse(&text, columns)
                .ok_or_else(|| Invalid::about("cursor", "is not the `next_cursor` of a page"))
        });
        cursor.transpose()
    }

    /// Refuses parameters that were not taken.
    pub(super) fn finish(&self) -> Result<(), Invalid> {
        match self.parameters.borrow().is_empty() {
            true => Ok(()),
            false => {
                let known = quoted(&self.taken.borrow());
                let reason = format!("has an unknown parameter; it may have {known}");
                Err(Invalid::about("query", reason))
            }
        }
    }
}

/// Names for a message.
pub(super) fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The choice with this name.
pub(super) fn chosen<T: Copy>(name: &str, choices: &[(&'static str, T)]) -> Result<T, Invalid> {
    match choices.iter().find(|(choice, _)| *choice == name) {
        Some((_, choice)) => Ok(*choice),
        None => {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            Err(Invalid::new(format!("must be one of {}", quoted(&names))))
        }
    }
}
