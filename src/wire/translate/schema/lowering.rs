//! The walk through a schema that applies the rules.

use super::error::{SchemaError, Usage};
use super::merge::{both, distribute};
use super::references::{Definitions, ROOT, Target, Targets};
use super::tree::{Fields, MAX_DEPTH, Tree, get, set, size_of, take};
use super::types;
use super::words;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// How many definitions may be copied into each other. Deeper references stay references.
const MAX_COPIES: usize = 64;
/// How many values copies may add to a schema. Beyond, references stay references, and alternatives
/// become sentences.
const MAX_COPIED_VALUES: usize = 5_000;

const NOTHING: &str = "No value is valid here.";
const NOT_A_SCHEMA: &str = "must be an object or a boolean";

pub(super) struct Lowering<'a> {
    usage: Usage,
    root: Tree<'a>,
    definitions: Definitions<'a>,
    is_changed: bool,
    /// The steps from the root, or from the current definition.
    path: Vec<String>,
    /// The definition that is being lowered.
    current: Target,
    /// The definitions that are copied into the current schema and those around it.
    copied: Vec<Target>,
    /// How many of them are copied into those around it.
    copied_around: usize,
    /// How many more values may be copied.
    budget: usize,
    /// Whether the current schema belongs to a property that may be missing.
    is_optional: bool,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(root: Tree<'a>, usage: Usage) -> Self {
        Self {
            usage,
            definitions: Definitions::new(root.clone()),
            root,
            is_changed: false,
            path: Vec::new(),
            current: ROOT,
            copied: Vec::new(),
            copied_around: 0,
            budget: MAX_COPIED_VALUES,
            is_optional: false,
        }
    }

    /// Lowers the schema; `None` if it needs no change.
    pub(super) fn run(mut self, is_changed: bool) -> Result<Option<Tree<'a>>, SchemaError> {
        self.is_changed = is_changed;
        let mut fields = match self.root.clone() {
            Tree::Object(fields) => fields,
            root if root.is("true") || root.is("false") => {
                self.is_changed = true;
                Vec::new()
            }
            Tree::Array(_) | Tree::Scalar(_) => return Err(self.error(NOT_A_SCHEMA)),
        };
        let declared = take(&mut fields, "$defs");
        self.is_changed |= take(&mut fields, "definitions").is_some();
        fields = self.copy_root_reference(fields);
        if self.usage == Usage::Parameters {
            fields = self.as_object(fields)?;
        }
        let mut root = match self.lower_fields(fields)? {
            Tree::Object(fields) => fields,
            Tree::Array(_) | Tree::Scalar(_) => Vec::new(),
        };
        let mut lowered = Targets::default();
        let mut definitions = Vec::new();
        while let Some(target) = self.definitions.take_used() {
            lowered.insert(target);
            let schema = self.lower_definition(target)?;
            definitions.push((Cow::Owned(self.definitions.name(target).to_owned()), schema));
        }
        if let (false, Some(Tree::Object(declared))) = (self.is_changed, declared) {
            // Nor must there be anything to change in definitions that are not used.
            for (name, _) in declared {
                let target = self.definitions.declared(&name);
                if let Some(target) = target.filter(|target| !lowered.contains(*target)) {
                    self.lower_definition(target)?;
                }
            }
        }
        if !self.is_changed {
            return Ok(None);
        }
        if !definitions.is_empty() {
            set(&mut root, "$defs", Tree::Object(definitions));
        }
        Ok(Some(Tree::Object(root)))
    }

    fn lower_definition(&mut self, target: Target) -> Result<Tree<'a>, SchemaError> {
        self.current = target;
        self.path = vec!["$defs".to_owned(), self.definitions.name(target).to_owned()];
        self.copied.clear();
        self.copied_around = 0;
        self.is_optional = false;
        match self.definitions.schema(target).cloned() {
            Some(schema) => self.lower(schema),
            None => Ok(Tree::Object(Vec::new())),
        }
    }

    /// Replaces a reference at the root by what it leads to.
    fn copy_root_reference(&mut self, mut fields: Fields<'a>) -> Fields<'a> {
        while let Some(reference) = take(&mut fields, "$ref") {
            self.is_changed = true;
            let reference = reference.as_text().unwrap_or_default();
            let target = self.definitions.resolve(&reference);
            match target.map(|target| self.copy(target)) {
                Some(Some(copy)) => fields = both(fields, copy),
                // The whole schema, or one that is copied already, adds nothing.
                Some(None) => {}
                None => words::note(&mut fields, &format!("As defined by `{reference}`.")),
            }
        }
        fields
    }

    /// Makes a root an object with properties, as parameters must be.
    fn as_object(&mut self, fields: Fields<'a>) -> Result<Fields<'a>, SchemaError> {
        let mut fields = self.flatten(fields);
        self.is_changed |= take(&mut fields, "nullable").is_some();
        let types = types::types_of(&fields);
        if !types.is_empty() && !types.contains(&"object") {
            return Err(self.error("must describe an object"));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Tree::Array(branches)) = take(&mut fields, keyword) {
                self.is_changed = true;
                self.unite(&mut fields, branches);
            }
        }
        let object = Tree::text("object");
        if get(&fields, "type") != Some(&object) {
            set(&mut fields, "type", object);
            self.is_changed = true;
        }
        if !matches!(get(&fields, "properties"), Some(Tree::Object(_))) {
            set(&mut fields, "properties", Tree::Object(Vec::new()));
            self.is_changed = true;
        }
        Ok(fields)
    }

    /// Adds the properties of alternatives to parameters. What belongs together is said in words.
    fn unite(&mut self, fields: &mut Fields<'a>, branches: Vec<Tree<'a>>) {
        if let Some(sentence) = words::sentence("anyOf", &Tree::Array(branches.clone())) {
            words::note(fields, &sentence);
        }
        let mut united: Fields<'a> = match take(fields, "properties") {
            Some(Tree::Object(properties)) => properties,
            Some(Tree::Array(_) | Tree::Scalar(_)) | None => Vec::new(),
        };
        let declared = united.len();
        let is_closed = |fields: &Fields<'_>| {
            get(fields, "additionalProperties").is_some_and(|value| !value.is("true"))
        };
        let mut is_open = !is_closed(fields);
        for branch in branches {
            let Tree::Object(branch) = branch else {
                continue;
            };
            let mut branch = self.flatten(branch);
            is_open |= !is_closed(&branch);
            let Some(Tree::Object(properties)) = take(&mut branch, "properties") else {
                continue;
            };
            for (name, schema) in properties {
                let position = united.iter().position(|(known, _)| *known == name);
                match position.and_then(|position| Some((position, united.get_mut(position)?))) {
                    Some((position, _)) if position < declared => {}
                    Some((_, (_, known))) => add_alternative(known, schema),
                    None => united.push((name, schema)),
                }
            }
        }
        if is_open {
            take(fields, "additionalProperties");
        }
        fields.push((Cow::Borrowed("properties"), Tree::Object(united)));
    }

    fn lower(&mut self, schema: Tree<'a>) -> Result<Tree<'a>, SchemaError> {
        match schema {
            Tree::Object(fields) => self.lower_fields(fields),
            schema if schema.is("true") => {
                self.is_changed = true;
                Ok(Tree::Object(Vec::new()))
            }
            schema if schema.is("false") => {
                self.is_changed = true;
                Ok(described(NOTHING))
            }
            Tree::Array(_) | Tree::Scalar(_) => Err(self.error(NOT_A_SCHEMA)),
        }
    }

    /// Lowers a part of the current schema.
    fn lower_part(&mut self, steps: &[&str], schema: Tree<'a>) -> Result<Tree<'a>, SchemaError> {
        let length = self.path.len();
        self.path
            .extend(steps.iter().map(|step| (*step).to_owned()));
        if self.path.len() > MAX_DEPTH {
            return Err(self.error("is nested too deeply once its references are resolved"));
        }
        let copied_around = std::mem::replace(&mut self.copied_around, self.copied.len());
        let lowered = self.lower(schema)?;
        self.copied.truncate(self.copied_around);
        self.copied_around = copied_around;
        self.path.truncate(length);
        Ok(lowered)
    }

    fn lower_fields(&mut self, fields: Fields<'a>) -> Result<Tree<'a>, SchemaError> {
        let mut fields = self.flatten(fields);
        if let Some(reference) = get(&fields, "$ref") {
            let reference = reference.as_text().unwrap_or_default();
            return Ok(self.lower_reference(&reference));
        }
        self.rename_alternatives(&mut fields);
        self.is_changed |= types::normalize(&mut fields);
        self.distribute(&mut fields);
        // Without its `anyOf`, a schema may lack a type.
        self.is_changed |= types::normalize(&mut fields);
        self.is_changed |= types::split(&mut fields);
        self.is_changed |= types::limit_enum(&mut fields);
        self.is_changed |= types::close_bounds(&mut fields);
        self.is_changed |= types::name_items(&mut fields);
        self.open_patterns(&mut fields);
        self.check_required(&mut fields);
        let types = types::types_of(&fields);
        let required = get(&fields, "required").and_then(Tree::as_texts);
        let required: HashSet<String> = required.into_iter().flatten().collect();
        let mut lowered: Fields<'a> = Vec::with_capacity(fields.len());
        let mut sentences = Vec::new();
        for (keyword, value) in fields {
            match self.lower_keyword(&keyword, value, &types, &required)? {
                Lowered::Kept(value) => lowered.push((keyword, value)),
                Lowered::Said(sentence) => sentences.push(sentence),
                Lowered::Dropped => {}
            }
        }
        self.is_changed |= !sentences.is_empty();
        for sentence in sentences {
            words::note(&mut lowered, &sentence);
        }
        Ok(Tree::Object(lowered))
    }

    fn lower_keyword(
        &mut self,
        keyword: &str,
        value: Tree<'a>,
        types: &[&str],
        required: &HashSet<String>,
    ) -> Result<Lowered<'a>, SchemaError> {
        let is_kept = match (keyword, &value) {
            ("type" | "enum" | "required", _) => true,
            ("title", _) if self.usage == Usage::Parameters => false,
            ("title" | "description" | "$id" | "$anchor", Tree::Scalar(_)) => {
                value.as_text().is_some()
            }
            ("minItems" | "maxItems" | "minimum" | "maximum", _) => value.as_f64().is_some(),
            ("propertyOrdering", _) => value.as_texts().is_some(),
            ("additionalProperties", Tree::Scalar(_)) => value.is("true") || value.is("false"),
            ("format", _) => {
                let format = value.as_text();
                format.is_some_and(|format| types::is_known_format(&format, types))
            }
            ("properties", Tree::Object(_))
            | ("anyOf" | "prefixItems", Tree::Array(_))
            | ("items" | "additionalProperties", _) => {
                return self
                    .lower_parts(keyword, value, required)
                    .map(Lowered::Kept);
            }
            ("properties" | "anyOf" | "prefixItems", _) => {
                return Err(self.error_at(keyword, "is not of the type that the keyword takes"));
            }
            _ => false,
        };
        if is_kept {
            return Ok(Lowered::Kept(value));
        }
        self.is_changed = true;
        let is_silent = matches!(keyword, "enum" | "$ref")
            || (keyword, value.as_text().as_deref()) == ("format", Some("enum"));
        let sentence = match keyword {
            "title" => value.as_text().filter(|title| !self.is_name(title)),
            _ if is_silent => None,
            keyword => words::sentence(keyword, &value),
        };
        Ok(sentence.map_or(Lowered::Dropped, Lowered::Said))
    }

    /// Lowers the schemas in a keyword's value.
    fn lower_parts(
        &mut self,
        keyword: &str,
        value: Tree<'a>,
        required: &HashSet<String>,
    ) -> Result<Tree<'a>, SchemaError> {
        match value {
            Tree::Object(properties) if keyword == "properties" => {
                let mut lowered = Vec::with_capacity(properties.len());
                for (name, schema) in properties {
                    let was_optional = self.is_optional;
                    self.is_optional |= !required.contains(&*name);
                    let schema = self.lower_part(&[keyword, &name], schema)?;
                    self.is_optional = was_optional;
                    lowered.push((name, schema));
                }
                Ok(Tree::Object(lowered))
            }
            Tree::Array(schemas) => {
                let mut lowered = Vec::with_capacity(schemas.len());
                for (index, schema) in schemas.into_iter().enumerate() {
                    lowered.push(self.lower_part(&[keyword, &index.to_string()], schema)?);
                }
                Ok(Tree::Array(lowered))
            }
            schema => self.lower_part(&[keyword], schema),
        }
    }

    /// Whether a title only repeats the name of the property.
    fn is_name(&self, title: &str) -> bool {
        let plain = |text: &str| {
            let letters = text.chars().filter(|c| c.is_alphanumeric());
            letters.map(|c| c.to_ascii_lowercase()).collect::<String>()
        };
        self.path
            .last()
            .is_some_and(|name| plain(name) == plain(title))
    }

    fn lower_reference(&mut self, reference: &str) -> Tree<'a> {
        let Some(target) = self.definitions.resolve(reference) else {
            self.is_changed = true;
            return described(&format!("As defined by `{reference}`."));
        };
        if !self.is_optional && self.definitions.is_strict_cycle(self.current, target) {
            self.is_changed = true;
            let name = match self.definitions.name(target) {
                "" => "the whole schema",
                name => name,
            };
            return described(&format!("Recursive: as described by {name}."));
        }
        let canonical = self.definitions.refer_to(target);
        self.is_changed |= canonical != reference;
        Tree::Object(vec![(Cow::Borrowed("$ref"), Tree::text(&canonical))])
    }

    /// Merges `allOf` and what stands beside a reference into one schema. What remains of a
    /// reference has no other keywords beside it.
    fn flatten(&mut self, mut fields: Fields<'a>) -> Fields<'a> {
        loop {
            if let Some(all) = take(&mut fields, "allOf") {
                self.is_changed = true;
                if let Tree::Array(all) = all {
                    fields = self.merge_all(fields, all);
                }
            } else if get(&fields, "$ref").is_some() && fields.len() > 1 {
                self.is_changed = true;
                fields = self.flatten_reference(fields);
            } else {
                return fields;
            }
        }
    }

    fn merge_all(&mut self, mut fields: Fields<'a>, all: Vec<Tree<'a>>) -> Fields<'a> {
        let is_alone = fields.is_empty() && all.len() == 1;
        for part in all {
            match part {
                Tree::Object(part) => {
                    let mut part = self.flatten(part);
                    if get(&part, "$ref").is_some() && !is_alone {
                        part = self.flatten_reference(part);
                    }
                    fields = both(fields, part);
                }
                part if part.is("false") => words::note(&mut fields, NOTHING),
                Tree::Array(_) | Tree::Scalar(_) => {}
            }
        }
        fields
    }

    fn flatten_reference(&mut self, mut fields: Fields<'a>) -> Fields<'a> {
        let reference = take(&mut fields, "$ref").and_then(|reference| reference.as_text());
        let reference = reference.unwrap_or_default();
        let target = self.definitions.resolve(&reference);
        if target.is_none() {
            words::note(&mut fields, &format!("As defined by `{reference}`."));
            return fields;
        }
        if let Some(copy) = target.and_then(|target| self.copy(target)) {
            return both(fields, copy);
        }
        let here = self.copied.get(self.copied_around..).unwrap_or_default();
        if target.is_some_and(|target| here.contains(&target)) {
            return fields;
        }
        // Only annotations may stand beside an `anyOf`.
        let is_annotation = |keyword: &str| matches!(keyword, "title" | "description");
        let (mut beside, others): (Fields<'a>, Fields<'a>) = fields
            .into_iter()
            .partition(|(keyword, _)| is_annotation(keyword));
        let is_nullable = get(&others, "nullable").is_some_and(|value| value.is("true"));
        for (keyword, value) in others {
            if let Some(sentence) = words::sentence(&keyword, &value) {
                words::note(&mut beside, &sentence);
            }
        }
        let reference = vec![(Cow::Borrowed("$ref"), Tree::text(&reference))];
        if beside.is_empty() && !is_nullable {
            return reference;
        }
        let mut branches = vec![Tree::Object(reference)];
        branches.extend(is_nullable.then(types::null));
        set(&mut beside, "anyOf", Tree::Array(branches));
        beside
    }

    /// A copy of a definition, to be merged with other keywords. `None` if it is being copied
    /// already, or too much is.
    fn copy(&mut self, target: Target) -> Option<Fields<'a>> {
        if target == self.current
            || self.copied.contains(&target)
            || self.copied.len() >= MAX_COPIES
        {
            return None;
        }
        let Tree::Object(fields) = self.definitions.schema(target)? else {
            return None;
        };
        self.budget = self.budget.checked_sub(self.definitions.size(target))?;
        let mut fields = fields.clone();
        take(&mut fields, "$defs");
        self.copied.push(target);
        Some(fields)
    }

    /// Gemini reads `oneOf` as `anyOf`.
    fn rename_alternatives(&mut self, fields: &mut Fields<'a>) {
        let Some(alternatives) = take(fields, "oneOf") else {
            return;
        };
        self.is_changed = true;
        if get(fields, "anyOf").is_none() {
            fields.push((Cow::Borrowed("anyOf"), alternatives));
        } else if let Some(sentence) = words::sentence("oneOf", &alternatives) {
            words::note(fields, &sentence);
        }
    }

    /// Moves constraints beside an `anyOf` into its branches.
    fn distribute(&mut self, fields: &mut Fields<'a>) {
        let has_constraints = fields
            .iter()
            .any(|(keyword, _)| types::is_constraint(keyword));
        let Some(Tree::Array(alternatives)) = get(fields, "anyOf").filter(|_| has_constraints)
        else {
            return;
        };
        self.is_changed = true;
        let alternatives = alternatives.clone();
        take(fields, "anyOf");
        if alternatives.is_empty() || alternatives.iter().any(accepts_all) {
            return;
        }
        let (constraints, mut annotations): (Fields<'a>, Fields<'a>) = std::mem::take(fields)
            .into_iter()
            .partition(|(keyword, _)| types::is_constraint(keyword));
        let copies = size_of(&constraints).saturating_mul(alternatives.len());
        match self.budget.checked_sub(copies) {
            Some(budget) if !alternatives.iter().all(only_requires) => {
                self.budget = budget;
                distribute(&mut annotations, &constraints, alternatives);
                *fields = annotations;
            }
            Some(_) | None => {
                if let Some(sentence) = words::sentence("anyOf", &Tree::Array(alternatives)) {
                    words::note(&mut annotations, &sentence);
                }
                annotations.extend(constraints);
                *fields = annotations;
            }
        }
    }

    /// Lets properties that match a pattern pass as additional ones.
    fn open_patterns(&mut self, fields: &mut Fields<'a>) {
        let Some(Tree::Object(patterns)) = get(fields, "patternProperties") else {
            return;
        };
        let mut schemas: Vec<Tree<'a>> = Vec::new();
        for (_, schema) in patterns {
            if !schemas.contains(schema) {
                schemas.push(schema.clone());
            }
        }
        match get(fields, "additionalProperties") {
            None => return,
            Some(additional) if additional.is("true") => return,
            Some(additional) if additional.is("false") => {}
            Some(additional) => schemas.push(additional.clone()),
        }
        self.is_changed = true;
        let additional = match schemas.len() {
            0 => return,
            1 => schemas.remove(0),
            _ => Tree::Object(vec![(Cow::Borrowed("anyOf"), Tree::Array(schemas))]),
        };
        set(fields, "additionalProperties", additional);
    }

    /// Requires only properties that are declared and lead into no strict cycle.
    fn check_required(&mut self, fields: &mut Fields<'a>) {
        let Some(required) = get(fields, "required") else {
            return;
        };
        let Some(names) = required.as_texts() else {
            self.is_changed = true;
            take(fields, "required");
            return;
        };
        let declared: HashMap<&str, &Tree<'a>> = match get(fields, "properties") {
            Some(Tree::Object(properties)) => {
                let properties = properties.iter();
                properties.map(|(name, schema)| (&**name, schema)).collect()
            }
            Some(Tree::Array(_) | Tree::Scalar(_)) | None => HashMap::new(),
        };
        let (is_optional, current) = (self.is_optional, self.current);
        let mut seen = HashSet::new();
        let mut kept: Vec<Tree<'a>> = Vec::new();
        let mut others: Vec<String> = Vec::new();
        for name in names.iter().filter(|name| seen.insert(name.as_str())) {
            let is_kept = declared.get(name.as_str()).is_some_and(|schema| {
                is_optional || !self.definitions.has_strict_cycle(current, schema)
            });
            match is_kept {
                true => kept.push(Tree::text(name)),
                false => others.push(name.clone()),
            }
        }
        if kept.len() == names.len() {
            return;
        }
        self.is_changed = true;
        match kept.is_empty() {
            true => drop(take(fields, "required")),
            false => set(fields, "required", Tree::Array(kept)),
        }
        if !others.is_empty() {
            words::note(
                fields,
                &format!("Also required: {}.", words::names(&others)),
            );
        }
    }

    fn error(&self, problem: &'static str) -> SchemaError {
        SchemaError::new(&self.path, problem)
    }

    fn error_at(&mut self, step: &str, problem: &'static str) -> SchemaError {
        self.path.push(step.to_owned());
        self.error(problem)
    }
}

/// What becomes of a keyword.
enum Lowered<'a> {
    Kept(Tree<'a>),
    Said(String),
    Dropped,
}

fn described<'a>(description: &str) -> Tree<'a> {
    Tree::Object(vec![(
        Cow::Borrowed("description"),
        Tree::text(description),
    )])
}

/// Whether a schema accepts every value.
fn accepts_all(schema: &Tree<'_>) -> bool {
    match schema {
        Tree::Object(fields) => fields.is_empty(),
        Tree::Array(_) | Tree::Scalar(_) => schema.is("true"),
    }
}

/// Whether a schema does nothing but require properties.
fn only_requires(schema: &Tree<'_>) -> bool {
    match schema {
        Tree::Object(fields) => fields.iter().all(|(keyword, _)| keyword == "required"),
        Tree::Array(_) | Tree::Scalar(_) => false,
    }
}

/// Makes a schema accept what another accepts, too.
fn add_alternative<'a>(known: &mut Tree<'a>, other: Tree<'a>) {
    if let Tree::Object(fields) = known
        && let [(keyword, Tree::Array(branches))] = fields.as_mut_slice()
        && keyword == "anyOf"
    {
        if !branches.contains(&other) {
            branches.push(other);
        }
    } else if *known != other {
        let first = std::mem::replace(known, Tree::literal("null"));
        let branches = Tree::Array(vec![first, other]);
        *known = Tree::Object(vec![(Cow::Borrowed("anyOf"), branches)]);
    }
}
