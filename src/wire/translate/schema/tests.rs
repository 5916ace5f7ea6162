use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn lowered(json: &str, usage: Usage) -> String {
    lower(&raw(json), usage).unwrap().get().to_owned()
}

/// Checks schemas of answers: each is lowered as expected, and the result is accepted as it is.
fn check(cases: &[(&str, &str)]) {
    for (schema, expected) in cases {
        let result = lowered(schema, Usage::Answer);
        assert_eq!(result, *expected, "{schema}");
        check_stable(&result, Usage::Answer);
    }
}

fn check_stable(json: &str, usage: Usage) {
    let schema = raw(json);
    let again = lower(&schema, usage).unwrap();
    assert!(matches!(again, Cow::Borrowed(_)), "{json}\nbecomes {again}");
}

fn problem(json: &str, usage: Usage) -> String {
    lower(&raw(json), usage).unwrap_err().to_string()
}

#[test]
fn what_gemini_accepts_passes_unchanged() {
    for schema in [
        r#"{ "type":"object", "properties":{"b":{"type":"string"},"a":{"type":["integer","null"]}}, "required":["b"] }"#,
        r#"{"type":"object","properties":{},"additionalProperties":false}"#,
        r#"{"type":"object","properties":{"m":{"type":"object","additionalProperties":{"type":"number","minimum":1.50e0}}}}"#,
        r#"{"type":"object","properties":{"t":{"type":"array","prefixItems":[{"type":"number"}],"items":{"type":"string"},"minItems":1,"maxItems":9}}}"#,
        r#"{"type":"object","properties":{"k":{"type":"string","enum":["a","b"]},"n":{"type":"integer","enum":[1,2]},"d":{"type":"string","format":"date-time"}},"propertyOrdering":["n","k","d"]}"#,
        r##"{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]},"list":{"type":"array","items":{"$ref":"#/$defs/L"}}},"$defs":{"L":{"type":"string","description":"\u00fc"},"Unused":{"type":"null"}}}"##,
    ] {
        for usage in [Usage::Answer, Usage::Parameters] {
            check_stable(schema, usage);
        }
    }
    check_stable(r#"{"type":"string","title":"T"}"#, Usage::Answer);
    check_stable("{}", Usage::Answer);
}

#[test]
fn single_values_and_enumerations_have_a_type() {
    check(&[
        (r#"{"const":"x"}"#, r#"{"type":"string","enum":["x"]}"#),
        (
            r#"{"type":"number","const":1.0}"#,
            r#"{"type":"number","enum":[1.0]}"#,
        ),
        (r#"{"enum":[1,2.5]}"#, r#"{"type":"number","enum":[1,2.5]}"#),
        (r#"{"const":null}"#, r#"{"type":"null"}"#),
        (
            r#"{"const":true}"#,
            r#"{"type":"boolean","description":"One of: true."}"#,
        ),
        (r#"{"enum":[true,false]}"#, r#"{"type":"boolean"}"#),
        (
            r#"{"const":{"a":1}}"#,
            r#"{"type":"object","description":"One of: {\"a\":1}."}"#,
        ),
        (
            r#"{"type":"string","enum":["","a"]}"#,
            r#"{"type":"string","description":"One of: \"\", \"a\"."}"#,
        ),
        (
            r#"{"description":"d","enum":["a",1,null]}"#,
            r#"{"description":"d","anyOf":[{"type":"string","enum":["a"]},{"type":"integer","enum":[1]},{"type":"null"}]}"#,
        ),
        (
            r#"{"type":["string","null"],"enum":["a",null]}"#,
            r#"{"anyOf":[{"type":"string","enum":["a"]},{"type":"null"}]}"#,
        ),
        (
            r#"{"type":["string","null"],"enum":["a"]}"#,
            r#"{"type":"string","enum":["a"]}"#,
        ),
        (
            r#"{"type":"integer","enum":["1",2]}"#,
            r#"{"type":"integer","enum":[2]}"#,
        ),
    ]);
}

#[test]
fn types_are_spelled_as_in_the_standard() {
    check(&[
        (r#"{"type":"STRING"}"#, r#"{"type":"string"}"#),
        (r#"{"type":["string"]}"#, r#"{"type":"string"}"#),
        (r#"{"type":"any"}"#, r#"{"description":"type: \"any\""}"#),
        (
            r#"{"type":"string","nullable":true}"#,
            r#"{"type":["string","null"]}"#,
        ),
        (
            r#"{"type":["string","integer"],"minLength":2,"minimum":3}"#,
            r#"{"anyOf":[{"type":"string","description":"Minimum length: 2."},{"type":"integer","minimum":3}]}"#,
        ),
        (
            r#"{"type":["object","null"],"properties":{"a":{"type":"null"}},"required":["a"]}"#,
            r#"{"anyOf":[{"type":"object","properties":{"a":{"type":"null"}},"required":["a"]},{"type":"null"}]}"#,
        ),
        (
            r#"{"properties":{}}"#,
            r#"{"type":"object","properties":{}}"#,
        ),
    ]);
}

#[test]
fn exclusive_bounds_become_inclusive() {
    check(&[
        (
            r#"{"type":"integer","exclusiveMinimum":0}"#,
            r#"{"type":"integer","minimum":1}"#,
        ),
        (
            r#"{"type":"integer","exclusiveMaximum":2.5}"#,
            r#"{"type":"integer","maximum":2}"#,
        ),
        (
            r#"{"type":"number","exclusiveMinimum":1.50}"#,
            r#"{"type":"number","minimum":1.50,"description":"Greater than 1.50."}"#,
        ),
        (
            r#"{"type":"integer","minimum":5,"exclusiveMinimum":3}"#,
            r#"{"type":"integer","minimum":5}"#,
        ),
        (
            r#"{"type":"integer","maximum":5,"exclusiveMaximum":true}"#,
            r#"{"type":"integer","maximum":4}"#,
        ),
        (
            r#"{"type":"integer","minimum":5,"exclusiveMinimum":false}"#,
            r#"{"type":"integer","minimum":5}"#,
        ),
        (
            r#"{"type":"integer","exclusiveMinimum":9e99}"#,
            r#"{"type":"integer","minimum":9e99,"description":"Greater than 9e99."}"#,
        ),
    ]);
}

#[test]
fn arrays_have_items() {
    check(&[
        (r#"{"type":"array"}"#, r#"{"type":"array","items":{}}"#),
        (
            r#"{"type":"array","items":true}"#,
            r#"{"type":"array","items":{}}"#,
        ),
        (
            r#"{"items":[{"type":"string"}],"additionalItems":{"type":"null"}}"#,
            r#"{"type":"array","prefixItems":[{"type":"string"}],"items":{"type":"null"}}"#,
        ),
        (
            r#"{"type":"array","prefixItems":[{"type":"string"}],"items":false,"maxItems":7}"#,
            r#"{"type":"array","prefixItems":[{"type":"string"}],"maxItems":1}"#,
        ),
        (
            r#"{"type":"array","items":[{"type":"string"}],"additionalItems":false}"#,
            r#"{"type":"array","prefixItems":[{"type":"string"}],"maxItems":1}"#,
        ),
    ]);
}

#[test]
fn all_of_is_merged_and_one_of_renamed() {
    check(&[
        (
            r#"{"allOf":[{"const":1},{"anyOf":[{}]}]}"#,
            r#"{"type":"integer","enum":[1]}"#,
        ),
        (
            r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
        ),
        (
            r#"{"allOf":[{"type":"object","properties":{"b":{"type":"number","minimum":1}},"required":["b"]},{"properties":{"a":{"type":"null"},"b":{"type":"integer","minimum":0,"maximum":9}},"required":["a"]}]}"#,
            r#"{"type":"object","properties":{"b":{"type":"integer","minimum":1,"maximum":9},"a":{"type":"null"}},"required":["b","a"]}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"null"}},"anyOf":[{"properties":{"b":{"type":"null"}}},{"required":["a"]}]}"#,
            r#"{"anyOf":[{"properties":{"b":{"type":"null"},"a":{"type":"null"}},"type":"object"},{"required":["a"],"type":"object","properties":{"a":{"type":"null"}}}]}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"anyOf":[{"required":["a"]},{"required":["a","b"]}]}"#,
            r#"{"description":"At least one of these is required: `a`, `a` and `b`.","type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}}}"#,
        ),
    ]);
}

#[test]
fn what_has_no_equivalent_is_said_in_the_description() {
    check(&[
        (
            r#"{"type":"string","description":"Address","format":"email","maxLength":9,"pattern":"^a","default":"a@b"}"#,
            r#"{"type":"string","description":"Address. Format: email. Maximum length: 9. Matches the regular expression `^a`. Default: \"a@b\"."}"#,
        ),
        (
            r#"{"type":"number","multipleOf":0.10,"examples":[1,2],"not":{"const":3}}"#,
            r#"{"type":"number","description":"A multiple of 0.10. Examples: 1, 2. Must not match this schema: {\"const\":3}"}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"null"}},"if":{"required":["a"]},"then":{"minProperties":2},"dependentRequired":{"a":["b"]}}"#,
            r#"{"type":"object","properties":{"a":{"type":"null"}},"description":"If it matches this schema: {\"required\":[\"a\"]}. In that case, it also matches: {\"minProperties\":2}. If a property is given, this also applies (dependentRequired): {\"a\":[\"b\"]}"}"#,
        ),
        (
            r#"{"type":"object","patternProperties":{"^x":{"type":"string"}},"additionalProperties":false}"#,
            r#"{"type":"object","additionalProperties":{"type":"string"},"description":"Properties match these schemas, by the pattern of their names: {\"^x\":{\"type\":\"string\"}}"}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"null"}},"required":["a","a","b"]}"#,
            r#"{"type":"object","properties":{"a":{"type":"null"}},"required":["a"],"description":"Also required: `b`."}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":true,"b":false}}"#,
            r#"{"type":"object","properties":{"a":{},"b":{"description":"No value is valid here."}}}"#,
        ),
        (
            r#"{"$schema":"x","$comment":"y","x-order":1,"type":"null","readOnly":true}"#,
            r#"{"type":"null"}"#,
        ),
    ]);
}

#[test]
fn references_lead_to_definitions() {
    check(&[
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/definitions/A"}},"definitions":{"A":{"type":"null"},"B":{"type":"null"}}}"##,
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"null"}}}"##,
        ),
        (
            r##"{"type":"object","properties":{"a":{"type":"null"},"b":{"$ref":"#/properties/a"}}}"##,
            r##"{"type":"object","properties":{"a":{"type":"null"},"b":{"$ref":"#/$defs/properties_a"}},"$defs":{"properties_a":{"type":"null"}}}"##,
        ),
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A","description":"d"}},"$defs":{"A":{"type":"null"}}}"##,
            r##"{"type":"object","properties":{"a":{"description":"d","type":"null"}}}"##,
        ),
        (
            r##"{"type":"object","properties":{"a":{"allOf":[{"$ref":"#/$defs/A"}]}},"$defs":{"A":{"type":"null"}}}"##,
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"null"}}}"##,
        ),
        (
            r#"{"type":"object","properties":{"a":{"$ref":"https://example.com/a"}}}"#,
            r#"{"type":"object","properties":{"a":{"description":"As defined by `https://example.com/a`."}}}"#,
        ),
        (
            r##"{"$ref":"#/$defs/A","$defs":{"A":{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}}}}}"##,
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}}}}}"##,
        ),
    ]);
}

#[test]
fn cycles_pass_through_properties_that_are_not_required() {
    check(&[
        (
            r##"{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"]}"##,
            r##"{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"description":"Also required: `kids`."}"##,
        ),
        (
            r##"{"type":"object","properties":{"next":{"$ref":"#","description":"d"}}}"##,
            r##"{"type":"object","properties":{"next":{"description":"d","anyOf":[{"$ref":"#"}]}}}"##,
        ),
        (
            r##"{"type":"object","properties":{"j":{"$ref":"#/$defs/J"}},"$defs":{"J":{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/$defs/J"}}]}}}"##,
            r##"{"type":"object","properties":{"j":{"$ref":"#/$defs/J"}},"$defs":{"J":{"anyOf":[{"type":"null"},{"type":"array","items":{"description":"Recursive: as described by J."}}]}}}"##,
        ),
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],"$defs":{"A":{"type":"object","properties":{"b":{"$ref":"#/$defs/B"}},"required":["b"]},"B":{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}}}}}"##,
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],"$defs":{"A":{"type":"object","properties":{"b":{"$ref":"#/$defs/B"}},"required":["b"]},"B":{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}}}}}"##,
        ),
        (r##"{"$ref":"#"}"##, "{}"),
    ]);
}

#[test]
fn parameters_are_objects_without_titles() {
    for (schema, expected) in [
        ("{}", r#"{"type":"object","properties":{}}"#),
        ("true", r#"{"type":"object","properties":{}}"#),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{}}"#,
        ),
        (
            r#"{"title":"Search","type":"object","properties":{"max_count":{"title":"Max Count","type":"integer"},"title":{"type":"string"}}}"#,
            r#"{"type":"object","properties":{"max_count":{"type":"integer"},"title":{"type":"string"}},"description":"Search"}"#,
        ),
        (
            r#"{"anyOf":[{"type":"object","properties":{"a":{"const":1}},"required":["a"]},{"type":"object","properties":{"a":{"const":2},"b":{"type":"null"}}}]}"#,
            r#"{"description":"Matches at least one of these schemas: [{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1}},\"required\":[\"a\"]},{\"type\":\"object\",\"properties\":{\"a\":{\"const\":2},\"b\":{\"type\":\"null\"}}}]","properties":{"a":{"anyOf":[{"type":"integer","enum":[1]},{"type":"integer","enum":[2]}]},"b":{"type":"null"}},"type":"object"}"#,
        ),
    ] {
        let result = lowered(schema, Usage::Parameters);
        assert_eq!(result, expected, "{schema}");
        check_stable(&result, Usage::Parameters);
    }
    let array = r#"{"type":"array","items":{}}"#;
    assert_eq!(
        problem(array, Usage::Parameters),
        "the schema must describe an object"
    );
}

#[test]
fn the_last_of_two_members_with_one_name_counts() {
    check(&[(r#"{"type":"null","type":"string"}"#, r#"{"type":"string"}"#)]);
}

#[test]
fn errors_name_the_place() {
    for (schema, expected) in [
        ("[]", "the schema must be an object or a boolean"),
        (
            r#"{"type":"object","properties":{"a/b":7}}"#,
            "the schema at /properties/a~1b must be an object or a boolean",
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"object","properties":[]}}}"#,
            "the schema at /properties/a/properties is not of the type that the keyword takes",
        ),
        (
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":"array","items":3}}}"##,
            "the schema at /$defs/x/items must be an object or a boolean",
        ),
    ] {
        assert_eq!(problem(schema, Usage::Answer), expected, "{schema}");
    }
}

#[test]
fn deep_schemas_are_refused() {
    let nested = |levels: usize| {
        let open = r#"{"type":"array","items":"#.repeat(levels);
        format!(r#"{open}{{"type":"null"}}{}"#, "}".repeat(levels))
    };
    check_stable(&nested(99), Usage::Answer);
    for levels in [101, 100_000] {
        let problem = problem(&nested(levels), Usage::Answer);
        assert!(
            problem.ends_with("is nested too deeply: 100 levels are allowed"),
            "{problem}"
        );
    }
}

#[test]
fn large_schemas_are_refused() {
    let of_values = |values: usize| format!(r#"{{"enum":["a"{}]}}"#, r#","a""#.repeat(values - 3));
    assert!(lower(&raw(&of_values(10_000)), Usage::Answer).is_ok());
    let problem = problem(&of_values(10_001), Usage::Answer);
    assert!(
        problem.ends_with("is beyond the 10,000 values that a schema may have"),
        "{problem}"
    );
}

#[test]
fn descriptions_do_not_grow_without_bound() {
    let constraint = |index| format!(r#"{{"not":{{"const":{index}}}}}"#);
    let constraints: Vec<String> = (0..3_000).map(constraint).collect();
    let schema = format!(r#"{{"allOf":[{}]}}"#, constraints.join(","));
    let length = lowered(&schema, Usage::Answer).len();
    assert!((10_000..11_000).contains(&length), "{length}");
}

#[test]
fn copies_of_definitions_are_bounded() {
    // Each definition would copy the next one twice.
    let definitions: Vec<String> = (0..60)
        .map(|index| {
            let next = format!(r##"{{"$ref":"#/$defs/d{}","description":"n"}}"##, index + 1);
            format!(r#""d{index}":{{"type":"object","properties":{{"a":{next},"b":{next}}}}}"#)
        })
        .collect();
    let schema = format!(
        r##"{{"type":"object","properties":{{"x":{{"$ref":"#/$defs/d0","description":"x"}}}},"$defs":{{{},"d60":{{"type":"null"}}}}}}"##,
        definitions.join(",")
    );
    let schema = raw(&schema);
    let result = lower(&schema, Usage::Parameters);
    assert!(result.is_err() || result.is_ok_and(|lowered| lowered.get().len() < 2_000_000));
}

/// Parameters that need `d0`, each of whose definitions needs the next one.
fn chain(length: usize, last: &str) -> String {
    let needing =
        |next: &str| format!(r#"{{"type":"object","properties":{{"a":{next}}},"required":["a"]}}"#);
    let definitions: Vec<String> = (1..=length)
        .map(|next| match next == length {
            true => last.to_owned(),
            false => format!(r##"{{"$ref":"#/$defs/d{next}"}}"##),
        })
        .enumerate()
        .map(|(index, next)| format!(r#""d{index}":{}"#, needing(&next)))
        .collect();
    let root = needing(r##"{"$ref":"#/$defs/d0"}"##);
    let root = root.strip_suffix('}').unwrap();
    format!(r#"{root},"$defs":{{{}}}}}"#, definitions.join(","))
}

#[test]
fn long_cycles_are_found_once() {
    let closed = chain(1_000, r##"{"$ref":"#/$defs/d0"}"##);
    let result = lowered(&closed, Usage::Parameters);
    // The root is not on the cycle, and all definitions are.
    assert!(result.contains(r#""required":["a"]"#));
    assert_eq!(result.matches("Also required: `a`.").count(), 1_000);
    check_stable(&result, Usage::Parameters);
    check_stable(&chain(1_000, r#"{"type":"null"}"#), Usage::Parameters);
}

#[test]
fn a_large_definition_is_not_copied_for_each_reference() {
    let properties: Vec<String> = (0..3_001)
        .map(|index| format!(r#""p{index}":{{"type":"null"}}"#))
        .collect();
    let references: Vec<String> = (0..600)
        .map(|index| format!(r##""r{index}":{{"$ref":"#/$defs/big","description":"d"}}"##))
        .collect();
    let schema = format!(
        r#"{{"type":"object","properties":{{{}}},"$defs":{{"big":{{"type":"object","properties":{{{}}}}}}}}}"#,
        references.join(","),
        properties.join(",")
    );
    let result = lowered(&schema, Usage::Parameters);
    assert_eq!(result.matches(r#""p3000""#).count(), 1);
    assert_eq!(result.matches(r##""$ref":"#/$defs/big""##).count(), 600);
}

#[test]
fn one_place_becomes_one_definition() {
    let references: Vec<String> = (0..50)
        .map(|zeros| {
            let index = "0".repeat(zeros + 1);
            format!(r##""r{zeros}":{{"$ref":"#/properties/t/prefixItems/{index}"}}"##)
        })
        .collect();
    let schema = format!(
        r#"{{"type":"object","properties":{{"t":{{"type":"array","prefixItems":[{{"type":"null"}}]}},{}}}}}"#,
        references.join(",")
    );
    let result = lowered(&schema, Usage::Answer);
    assert!(result.ends_with(r#""$defs":{"properties_t_prefixItems_0":{"type":"null"}}}"#));
}

#[test]
fn definitions_of_one_name_are_numbered() {
    let references = ["definitions/a", "x/a", "x_a", "x/a_"];
    let properties: Vec<String> = references
        .iter()
        .enumerate()
        .map(|(index, place)| format!(r##""p{index}":{{"$ref":"#/{place}"}}"##))
        .collect();
    check(&[(
        &format!(
            r#"{{"type":"object","properties":{{{}}},"$defs":{{"a":{{}}}},"definitions":{{"a":{{}}}},"x":{{"a":{{}},"a_":{{}}}},"x_a":{{}}}}"#,
            properties.join(",")
        ),
        r##"{"type":"object","properties":{"p0":{"$ref":"#/$defs/a_"},"p1":{"$ref":"#/$defs/x_a"},"p2":{"$ref":"#/$defs/x_a_"},"p3":{"$ref":"#/$defs/x_a__"}},"$defs":{"a_":{},"x_a":{},"x_a_":{},"x_a__":{}}}"##,
    )]);
}

#[test]
fn large_schemas_keep_their_order() {
    let names: Vec<String> = (0..3000)
        .map(|index| format!("\"p{}\"", index * 7 % 3000))
        .collect();
    let properties: Vec<String> = names
        .iter()
        .map(|name| format!(r#"{name}:{{"const":1}}"#))
        .collect();
    let (properties, required) = (properties.join(","), names.join(","));
    let schema =
        format!(r#"{{"type":"object","properties":{{{properties}}},"required":[{required}]}}"#);
    let expected = schema.replace(r#""const":1"#, r#""type":"integer","enum":[1]"#);
    assert_eq!(lowered(&schema, Usage::Parameters), expected);
}

/// Whether a value is valid under a schema, as far as it uses the keywords of [`schemas`].
fn is_valid(root: &Value, schema: &Value, value: &Value, fuel: u32) -> bool {
    let Some(schema) = schema.as_object() else {
        return schema != &Value::Bool(false);
    };
    let Some(fuel) = fuel.checked_sub(1) else {
        return true;
    };
    let valid = |schema: &Value, value: &Value| is_valid(root, schema, value, fuel);
    let number = value.as_f64();
    schema
        .iter()
        .all(|(keyword, argument)| match keyword.as_str() {
            "type" => {
                let is_type = |name: &Value| match name.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => number.is_some_and(|number| number.fract() == 0.0),
                    "array" => value.is_array(),
                    _ => value.is_object(),
                };
                argument
                    .as_array()
                    .map_or_else(|| is_type(argument), |types| types.iter().any(is_type))
            }
            "enum" => argument.as_array().unwrap().contains(value),
            "const" => argument == value,
            "minimum" => number.is_none_or(|number| number >= argument.as_f64().unwrap()),
            "maximum" => number.is_none_or(|number| number <= argument.as_f64().unwrap()),
            "exclusiveMinimum" => number.is_none_or(|number| number > argument.as_f64().unwrap()),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= argument.as_u64().unwrap()),
            "maxItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 <= argument.as_u64().unwrap()),
            "anyOf" => argument
                .as_array()
                .unwrap()
                .iter()
                .any(|schema| valid(schema, value)),
            "oneOf" => {
                argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|schema| valid(schema, value))
                    .count()
                    == 1
            }
            "allOf" => argument
                .as_array()
                .unwrap()
                .iter()
                .all(|schema| valid(schema, value)),
            "not" => !valid(argument, value),
            "$ref" => {
                let pointer = argument.as_str().unwrap().trim_start_matches('#');
                valid(root.pointer(pointer).unwrap(), value)
            }
            "required" => value.as_object().is_none_or(|object| {
                argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|name| object.contains_key(name.as_str().unwrap()))
            }),
            "properties" => value.as_object().is_none_or(|object| {
                object.iter().all(|(name, value)| {
                    argument.get(name).is_none_or(|schema| valid(schema, value))
                })
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                let declared = |name: &str| {
                    schema
                        .get("properties")
                        .is_some_and(|properties| properties.get(name).is_some())
                };
                object
                    .iter()
                    .all(|(name, value)| declared(name) || valid(argument, value))
            }),
            "prefixItems" => value.as_array().is_none_or(|items| {
                items
                    .iter()
                    .zip(argument.as_array().unwrap())
                    .all(|(item, schema)| valid(schema, item))
            }),
            "items" => value.as_array().is_none_or(|items| {
                let prefix = schema
                    .get("prefixItems")
                    .map_or(0, |prefix| prefix.as_array().unwrap().len());
                items.iter().skip(prefix).all(|item| valid(argument, item))
            }),
            _ => true,
        })
}

/// Schemas of any shape that the rules distinguish. Those with `properties` or `items` name a type.
fn schemas() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("{}".to_owned()),
        Just(r##"{"$ref":"#/$defs/A"}"##.to_owned()),
        Just(r##"{"$ref":"#/$defs/B","minimum":1,"description":"d"}"##.to_owned()),
        Just(r##"{"$ref":"#","description":"d"}"##.to_owned()),
        Just(r#"{"type":["integer","null","object"],"exclusiveMinimum":0}"#.to_owned()),
        Just(r#"{"type":"number","minimum":1,"exclusiveMinimum":1}"#.to_owned()),
        Just(r#"{"type":["string","null"]}"#.to_owned()),
        Just(r#"{"const":1}"#.to_owned()),
        Just(r#"{"enum":["","s",1,null,true]}"#.to_owned()),
        Just(r#"{"enum":["s",2,[]]}"#.to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 0..3).prop_map(|some| some.join(","));
        let names = prop::sample::select(vec!["", r#""a""#, r#""b","a""#, r#""c""#]);
        let limits = prop::sample::select(vec!["", r#","additionalProperties":false"#, r#","minItems":1"#]);
        prop_oneof![
            (inner.clone(), inner.clone(), names, limits.clone()).prop_map(|(a, b, names, limits)| format!(
                r#"{{"type":"object","properties":{{"b":{b},"a":{a}}},"required":[{names}]{limits}}}"#
            )),
            (inner.clone(), inner.clone(), limits).prop_map(|(a, b, limits)| format!(
                r#"{{"type":["array","string"],"prefixItems":[{a}],"items":{b}{limits}}}"#
            )),
            (some.clone(), prop::sample::select(vec!["anyOf", "oneOf", "allOf"]), inner.clone())
                .prop_map(|(some, keyword, one)| {
                    let comma = if some.is_empty() { "" } else { "," };
                    format!(r#"{{"{keyword}":[{some}{comma}{one}]}}"#)
                }),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!(
                r#"{{"type":"object","additionalProperties":{a},"anyOf":[{b},{{"required":["a"]}}]}}"#
            )),
            inner.prop_map(|schema| format!(r#"{{"not":{schema}}}"#)),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        "null", "true", "0", "1", "2", "1.5", r#""""#, r#""s""#,
    ]);
    let leaf = leaf.prop_map(|json| serde_json::from_str::<Value>(json).unwrap());
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_makes_an_answer_stricter(
        a in schemas(), b in schemas(), root in schemas(),
        values in prop::collection::vec(values(), 60),
    ) {
        let schema = format!(
            r#"{{"type":["object","array","integer","string"],"allOf":[{root}],"$defs":{{"A":{a},"B":{b}}}}}"#
        );
        let before: Value = serde_json::from_str(&schema).unwrap();
        let result = lowered(&schema, Usage::Answer);
        check_stable(&result, Usage::Answer);
        let after: Value = serde_json::from_str(&result).unwrap();
        for value in values {
            prop_assert!(
                !is_valid(&before, &before, &value, 40) || is_valid(&after, &after, &value, 40),
                "{}\n{}\n{}", schema, result, value
            );
        }
    }

    #[test]
    fn parameters_of_any_shape_stay_parameters(root in schemas(), a in schemas()) {
        let schema = format!(r#"{{"properties":{{"x":{root}}},"$defs":{{"A":{a},"B":{{}}}}}}"#);
        let result = lowered(&schema, Usage::Parameters);
        check_stable(&result, Usage::Parameters);
        let after: Value = serde_json::from_str(&result).unwrap();
        prop_assert_eq!(&after["type"], "object");
    }

    #[test]
    fn never_panics(schema in "[\\[\\]{}\",:a-z0-9$# /]{0,60}") {
        if let Ok(schema) = RawValue::from_string(schema) {
            let _ = lower(&schema, Usage::Parameters);
            let _ = lower(&schema, Usage::Answer);
        }
    }
}
