//! The definitions of a schema, and which references to them Gemini follows.
//!
//! Gemini unrolls cycles to a limited depth, so each must pass through a property that is not
//! required; one that may be null is not enough
//! (<https://ai.google.dev/api/generate-content#GenerationConfig>). A reference that passes through
//! no such property is called strict here, and so is a cycle of strict references.
//!
//! Clients choose the schema, so finding cycles must not take longer for each definition if there
//! are more of them. Definitions that reach each other by strict references form a component.
//! Components are found once, by Gabow's algorithm (<https://doi.org/10.1016/S0020-0190(00)00051-X>),
//! and numbered such that a strict reference never leads to a larger number.

use super::tree::{Fields, Tree, get};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::rc::Rc;

/// How many values those definitions may have that are not in `$defs`. They may contain each other.
const MAX_PART_VALUES: usize = 200_000;
/// How many references searches for cycles may follow, where the numbers of components do not say
/// enough. Beyond, every reference counts as part of a cycle.
const MAX_SEARCHED: usize = 500_000;
/// Members of larger objects are looked up in a table.
const MAX_SCANNED: usize = 16;

/// A schema that references lead to, by its position among [`Definitions`]. The first is the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Target(usize);

/// The whole schema.
pub(super) const ROOT: Target = Target(0);

/// A set of targets.
#[derive(Default)]
pub(super) struct Targets(Vec<bool>);

impl Targets {
    /// Adds a target; returns whether it is new.
    pub(super) fn insert(&mut self, target: Target) -> bool {
        if self.0.len() <= target.0 {
            self.0.resize(target.0 + 1, false);
        }
        let has = self.0.get_mut(target.0);
        has.is_some_and(|has| !std::mem::replace(has, true))
    }

    pub(super) fn contains(&self, target: Target) -> bool {
        self.0.get(target.0) == Some(&true)
    }
}

struct Definition<'a> {
    /// Its name in `$defs`.
    name: String,
    schema: Tree<'a>,
    /// How many values are in it.
    size: usize,
    /// The targets of its strict references, once they are known.
    strict: Option<Rc<[Target]>>,
    /// The number of its component, once it is known.
    component: Option<usize>,
    /// Whether the lowered schema refers to it.
    is_used: bool,
}

pub(super) struct Definitions<'a> {
    known: Vec<Definition<'a>>,
    /// The targets by their place in the schema, as a JSON pointer.
    by_pointer: HashMap<String, Target>,
    names: Names,
    /// The members of large objects.
    members: Members,
    /// The definitions that the lowered schema refers to, until they are lowered.
    used: BinaryHeap<Reverse<usize>>,
    /// The number of the next component.
    next_component: usize,
    /// How many more values definitions may have that are not in `$defs`.
    part_values: usize,
    /// How many more references searches may follow.
    searched: usize,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(root: Tree<'a>) -> Self {
        Self {
            names: Names::declared_in(&root),
            by_pointer: HashMap::from([(String::new(), ROOT)]),
            known: vec![Definition {
                name: String::new(),
                size: root.size(),
                schema: root,
                strict: None,
                component: None,
                is_used: true,
            }],
            members: Members::default(),
            used: BinaryHeap::new(),
            next_component: 0,
            part_values: MAX_PART_VALUES,
            searched: MAX_SEARCHED,
        }
    }

    /// Finds what a reference leads to; `None` if that is not in the schema.
    pub(super) fn resolve(&mut self, reference: &str) -> Option<Target> {
        let pointer = percent_encoding::percent_decode_str(reference.strip_prefix('#')?)
            .decode_utf8()
            .ok()?;
        let pointer = pointer.trim_end_matches('/');
        if let Some(target) = self.by_pointer.get(pointer) {
            return Some(*target);
        }
        let mut schema = &self.known.first()?.schema;
        let mut steps = Vec::new();
        // One place has one pointer here, however the reference spells it.
        let mut place = String::new();
        for step in pointer.strip_prefix('/')?.split('/') {
            let mut step = step.replace("~1", "/").replace("~0", "~");
            schema = match schema {
                Tree::Object(fields) => self.members.find(&place, fields, &step)?,
                Tree::Array(elements) => {
                    let index = step.parse::<usize>().ok()?;
                    step = index.to_string();
                    elements.get(index)?
                }
                Tree::Scalar(_) => return None,
            };
            place.push('/');
            place.push_str(&step.replace('~', "~0").replace('/', "~1"));
            steps.push(step);
        }
        if let Some(target) = self.by_pointer.get(&place) {
            return Some(*target);
        }
        let size = schema.size();
        let name = match steps.as_slice() {
            [folder, name] if folder == "$defs" => name.clone(),
            [folder, name] if folder == "definitions" => self.names.free(name),
            steps => {
                self.part_values = self.part_values.checked_sub(size)?;
                self.names.free(&steps.join("_"))
            }
        };
        let target = Target(self.known.len());
        let schema = schema.clone();
        self.known.push(Definition {
            name,
            schema,
            size,
            strict: None,
            component: None,
            is_used: false,
        });
        self.by_pointer.insert(place, target);
        Some(target)
    }

    /// A definition in the root's `$defs`.
    pub(super) fn declared(&mut self, name: &str) -> Option<Target> {
        self.resolve(&reference_to(name))
    }

    /// The reference to a target in a lowered schema.
    pub(super) fn refer_to(&mut self, target: Target) -> String {
        match self.known.get_mut(target.0) {
            Some(definition) if target != ROOT => {
                if !std::mem::replace(&mut definition.is_used, true) {
                    self.used.push(Reverse(target.0));
                }
                reference_to(&definition.name)
            }
            Some(_) | None => "#".to_owned(),
        }
    }

    pub(super) fn name(&self, target: Target) -> &str {
        let definition = self.known.get(target.0);
        definition.map_or("", |definition| &definition.name)
    }

    pub(super) fn schema(&self, target: Target) -> Option<&Tree<'a>> {
        self.known
            .get(target.0)
            .map(|definition| &definition.schema)
    }

    /// The number of values in a definition.
    pub(super) fn size(&self, target: Target) -> usize {
        let definition = self.known.get(target.0);
        definition.map_or(0, |definition| definition.size)
    }

    /// Takes the first definition that the lowered schema refers to and that was not taken yet.
    pub(super) fn take_used(&mut self) -> Option<Target> {
        self.used.pop().map(|Reverse(position)| Target(position))
    }

    /// Whether a strict reference from one target to another closes a strict cycle.
    pub(super) fn is_strict_cycle(&mut self, from: Target, to: Target) -> bool {
        let (from_component, to_component) = (self.component(from), self.component(to));
        if to_component <= from_component {
            return to_component == from_component;
        }
        // The reference is not one of the schema's own, but has been copied to where it is.
        let mut seen = HashSet::from([to]);
        let mut open = vec![to];
        while let Some(target) = open.pop() {
            for next in self.strict_references(target).iter().copied() {
                let Some(searched) = self.searched.checked_sub(1) else {
                    return true;
                };
                self.searched = searched;
                let component = self.component(next);
                if component == from_component {
                    return true;
                }
                if component > from_component && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    }

    /// Whether a part of `from` has a strict reference that closes a strict cycle.
    pub(super) fn has_strict_cycle(&mut self, from: Target, part: &Tree<'a>) -> bool {
        let mut references = Vec::new();
        collect_strict(part, &mut references);
        references.iter().any(|reference| {
            let to = self.resolve(reference);
            to.is_some_and(|to| self.is_strict_cycle(from, to))
        })
    }

    /// The number of a target's component.
    fn component(&mut self, target: Target) -> usize {
        if self.known_component(target).is_none() {
            self.find_components(target);
        }
        self.known_component(target).unwrap_or_default()
    }

    fn known_component(&self, target: Target) -> Option<usize> {
        let definition = self.known.get(target.0);
        definition.and_then(|definition| definition.component)
    }

    /// Numbers the components that can be reached from a target.
    fn find_components(&mut self, start: Target) {
        let mut search = Search::default();
        search.enter(start, self.strict_references(start));
        while let Some((target, references, done)) = search.path.last_mut() {
            let target = *target;
            if let Some(next) = references.get(*done).copied() {
                *done += 1;
                if self.known_component(next).is_some() {
                    continue;
                }
                match search.numbers.get(&next) {
                    // A cycle: all on the path since then is one component.
                    Some(number) => {
                        let after = search
                            .firsts
                            .iter()
                            .rev()
                            .take_while(|first| *first > number);
                        let kept = search.firsts.len() - after.count();
                        search.firsts.truncate(kept);
                    }
                    None => search.enter(next, self.strict_references(next)),
                }
                continue;
            }
            search.path.pop();
            if search.firsts.last() == search.numbers.get(&target) {
                search.firsts.pop();
                while let Some(member) = search.open.pop() {
                    if let Some(definition) = self.known.get_mut(member.0) {
                        definition.component = Some(self.next_component);
                    }
                    if member == target {
                        break;
                    }
                }
                self.next_component += 1;
            }
        }
    }

    fn strict_references(&mut self, target: Target) -> Rc<[Target]> {
        let Some(definition) = self.known.get(target.0) else {
            return Rc::default();
        };
        if let Some(strict) = &definition.strict {
            return Rc::clone(strict);
        }
        let mut references = Vec::new();
        collect_strict(&definition.schema, &mut references);
        let resolved = references.iter().map(|reference| self.resolve(reference));
        let strict: Rc<[Target]> = resolved.flatten().collect();
        if let Some(definition) = self.known.get_mut(target.0) {
            definition.strict = Some(Rc::clone(&strict));
        }
        strict
    }
}

/// A depth-first search for components.
#[derive(Default)]
struct Search {
    /// The targets that are being visited, with their references and how many are done.
    path: Vec<(Target, Rc<[Target]>, usize)>,
    /// The targets visited, numbered in the order of their first visit.
    numbers: HashMap<Target, usize>,
    /// The targets visited whose component is not known.
    open: Vec<Target>,
    /// The numbers of the first targets of the components on the path, as far as these are known.
    firsts: Vec<usize>,
}

impl Search {
    fn enter(&mut self, target: Target, references: Rc<[Target]>) {
        let number = self.numbers.len();
        self.numbers.insert(target, number);
        self.open.push(target);
        self.firsts.push(number);
        self.path.push((target, references, 0));
    }
}

/// The names that are taken in `$defs`.
struct Names {
    /// Each with the number that its next namesake may get.
    taken: HashMap<String, usize>,
}

impl Names {
    fn declared_in(root: &Tree<'_>) -> Self {
        let declared = match root {
            Tree::Object(root) => get(root, "$defs"),
            Tree::Array(_) | Tree::Scalar(_) => None,
        };
        let taken = match declared {
            Some(Tree::Object(declared)) => {
                let names = declared.iter().map(|(name, _)| (name.to_string(), 1));
                names.collect()
            }
            Some(Tree::Array(_) | Tree::Scalar(_)) | None => HashMap::new(),
        };
        Self { taken }
    }

    /// Takes a name like this one that is free: `a`, `a_`, `a_2` and so on.
    fn free(&mut self, name: &str) -> String {
        let mut number = self.taken.get(name).copied().unwrap_or_default();
        let mut candidate = numbered(name, number);
        while candidate.is_empty() || self.taken.contains_key(&candidate) {
            number += 1;
            candidate = numbered(name, number);
        }
        self.taken.insert(candidate.clone(), 1);
        self.taken.insert(name.to_owned(), number + 1);
        candidate
    }
}

fn numbered(name: &str, number: usize) -> String {
    match number {
        0 => name.to_owned(),
        1 => format!("{name}_"),
        number => format!("{name}_{number}"),
    }
}

/// Where the members of large objects are, by the object's JSON pointer.
#[derive(Default)]
struct Members(HashMap<String, HashMap<String, usize>>);

impl Members {
    /// The member of an object at this place.
    fn find<'t, 'a>(
        &mut self,
        place: &str,
        fields: &'t Fields<'a>,
        name: &str,
    ) -> Option<&'t Tree<'a>> {
        if fields.len() <= MAX_SCANNED {
            return get(fields, name);
        }
        if !self.0.contains_key(place) {
            let names = fields.iter().enumerate();
            let positions = names.map(|(position, (name, _))| (name.to_string(), position));
            self.0.insert(place.to_owned(), positions.collect());
        }
        let position = self.0.get(place)?.get(name)?;
        fields.get(*position).map(|(_, member)| member)
    }
}

/// A reference to a name in `$defs`.
fn reference_to(name: &str) -> String {
    let step = name
        .replace('~', "~0")
        .replace('/', "~1")
        .replace('%', "%25");
    format!("#/$defs/{step}")
}

/// Collects the references that pass through no property that may be missing.
fn collect_strict(schema: &Tree<'_>, references: &mut Vec<String>) {
    let Tree::Object(fields) = schema else {
        return;
    };
    for (keyword, value) in fields {
        match &**keyword {
            "$ref" => references.extend(value.as_text()),
            "properties" => {
                let required = get(fields, "required").and_then(Tree::as_texts);
                let required: HashSet<String> = required.into_iter().flatten().collect();
                if let Tree::Object(properties) = value {
                    for (_, schema) in properties
                        .iter()
                        .filter(|(name, _)| required.contains(&**name))
                    {
                        collect_strict(schema, references);
                    }
                }
            }
            "items"
            | "additionalItems"
            | "additionalProperties"
            | "prefixItems"
            | "anyOf"
            | "oneOf"
            | "allOf" => match value {
                Tree::Array(schemas) => {
                    for schema in schemas {
                        collect_strict(schema, references);
                    }
                }
                Tree::Object(_) | Tree::Scalar(_) => collect_strict(value, references),
            },
            "patternProperties" => {
                if let Tree::Object(schemas) = value {
                    for (_, schema) in schemas {
                        collect_strict(schema, references);
                    }
                }
            }
            _ => {}
        }
    }
}
