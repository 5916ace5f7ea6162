//! Checks the Markdown files: links lead somewhere, the tests that the threat model names exist,
//! tables say what the code says, and the Chinese tables have the same rows as the English ones.

use gemini_keypool::gateway::ErrorCode;
use gemini_keypool::pool::{Blame, Cooling, CoolingScope, Extent, Length, Outcome, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Folders of the project that hold no files of it.
const IGNORED: [&str; 4] = ["target", "fuzz/target", ".git", ".spin"];
const THREAT_MODEL: &str = "docs/security.md";
/// Folders that are searched for the tests that the threat model names.
const SOURCES: [&str; 4] = ["src", "tests", "crates", "xtask"];
/// Documents in English and in Chinese.
const TRANSLATIONS: [(&str, &str); 3] = [
    ("README.md", "README.zh-CN.md"),
    ("docs/configuration.md", "docs/zh-CN/configuration.md"),
    ("docs/errors.md", "docs/zh-CN/errors.md"),
];
const TABLE_START: &str = "<!-- table: ";
const TABLE_END: &str = "<!-- end -->";

#[test]
fn relative_links_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    for file in files(Path::new(ROOT), "md") {
        for link in links(&read(&file)) {
            if let Err(reason) = resolve(&file, &link) {
                broken.push(format!("{}: {link}: {reason}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn tests_named_in_the_threat_model_exist() {
    let sources: String = SOURCES
        .iter()
        .flat_map(|folder| files(&Path::new(ROOT).join(folder), "rs"))
        .map(|file| read(&file))
        .collect();
    let table = read(&Path::new(ROOT).join(THREAT_MODEL));
    let names: BTreeSet<&str> = rows(&table)
        .filter_map(|row| row.last().copied())
        .flat_map(code_spans)
        .collect();
    assert!(!names.is_empty(), "{THREAT_MODEL} names no test");
    let missing: Vec<_> = names
        .into_iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(
        missing.is_empty(),
        "{THREAT_MODEL} names tests that do not exist: {missing:#?}"
    );
}

#[test]
fn pages_named_in_alerts_exist() {
    let root = Path::new(ROOT);
    let alerts = read(&root.join("examples/alerts.yml"));
    let links: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("docs: "))
        .collect();
    assert_eq!(links.len(), alerts.matches("- alert: ").count());
    for link in links {
        // Relative to the project.
        assert_eq!(resolve(&root.join("README.md"), link), Ok(()), "{link}");
    }
}

#[test]
fn chinese_tables_have_the_rows_of_the_english_ones() {
    for (english, chinese) in TRANSLATIONS {
        let [of_english, of_chinese] =
            [english, chinese].map(|name| read(&Path::new(ROOT).join(name)));
        let (expected, found) = (tables(&of_english), tables(&of_chinese));
        assert!(!expected.is_empty(), "{english} has no marked table");
        assert_eq!(expected, found, "{english} and {chinese}");
    }
}

#[test]
fn the_table_of_errors_is_that_of_the_code() {
    let text = read(&Path::new(ROOT).join("docs/errors.md"));
    let rows = marked_table(&text, "errors");
    let expected = ErrorCode::ALL.map(|code| format!("`{}`", code.name()));
    let found: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(found, expected);
    for (code, row) in ErrorCode::ALL.iter().zip(&rows) {
        assert!(row[1].contains(code.status().as_str()), "{row:?}");
    }
}

#[test]
fn the_table_of_outcomes_is_that_of_the_code() {
    let text = read(&Path::new(ROOT).join("docs/errors.md"));
    let rows = marked_table(&text, "outcomes");
    let expected: Vec<String> = Outcome::ALL.map(|o| format!("`{}`", o.name())).to_vec();
    let found: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(found, expected);
    for (outcome, row) in Outcome::ALL.iter().zip(&rows) {
        let rule = outcome.rule();
        match (rule.verdict, rule.cooling) {
            (Verdict::Unknown, Some(cooling)) => {
                assert!(row[2].starts_with(&cool_down(cooling)), "{row:?}");
            }
            (Verdict::Unknown, None) => {
                assert!(!row[2].contains('×'), "{row:?}");
            }
            // What cools then depends on other keys, and the state is told in words.
            (_, _) => {}
        }
    }
}

/// What cools down, as the table says it.
fn cool_down(cooling: Cooling) -> String {
    let minutes = |ms: i64| match ms {
        ms if ms >= 3_600_000 => format!("{} h", ms / 3_600_000),
        60_000 if matches!(cooling.length, Length::Doubling { first_ms, .. } if first_ms < 60_000) => {
            "60 s".to_owned()
        }
        ms if ms >= 60_000 => format!("{} min", ms / 60_000),
        ms => format!("{} s", ms / 1_000),
    };
    let scope = match cooling.scope {
        CoolingScope::Key => "Key",
        CoolingScope::Project => "Project",
    };
    let extent = match cooling.extent {
        Extent::AllModels => ", all models",
        Extent::Model => " × model",
        Extent::ModelAndTool => " × model × tool",
    };
    let length = match cooling.length {
        Length::AsAsked => "as long as Google says, at most 60 s".to_owned(),
        Length::UntilNextDay { .. } => "until midnight in Los Angeles".to_owned(),
        Length::Doubling {
            first_ms,
            longest_ms,
        } => format!("{} doubling to {}", minutes(first_ms), minutes(longest_ms)),
    };
    let blame = match cooling.blame {
        Blame::AtOnce => "",
        Blame::WhenAnotherServes => ", if another",
    };
    format!("{scope}{extent}, {length}{blame}")
}

/// The files below a folder with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_ignored = IGNORED
            .iter()
            .any(|folder| path == Path::new(ROOT).join(folder));
        if path.is_dir() && !path.is_symlink() && !is_ignored {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The lines outside fenced code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of inline links, outside code. A link may be broken over two lines.
fn links(text: &str) -> Vec<String> {
    let text = prose(text).collect::<Vec<_>>().join("\n");
    let outside_code = text.split('`').step_by(2).collect::<String>();
    outside_code
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// Whether a link's target exists. Links to other hosts are not followed.
fn resolve(from: &Path, link: &str) -> Result<(), String> {
    if link.contains("://") {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => from.to_owned(),
        path => from.with_file_name(path),
    };
    if !target.exists() {
        return Err("no such file".to_owned());
    }
    if anchor.is_empty() || anchors(&read(&target)).contains(anchor) {
        return Ok(());
    }
    Err("no such heading".to_owned())
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::new();
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|heading| {
            let slug: String = heading
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let count = seen.entry(slug.clone()).or_insert(0);
            *count += 1;
            match *count {
                1 => slug,
                n => format!("{slug}-{}", n - 1),
            }
        })
        .collect()
}

/// The marked tables of a document: their names, and of each row what is code in its first cell.
fn tables(text: &str) -> BTreeMap<&str, Vec<Vec<&str>>> {
    text.split(TABLE_START)
        .skip(1)
        .map(|from_name| {
            let (name, rest) = from_name.split_once(" -->").unwrap_or((from_name, ""));
            let (table, _) = rest.split_once(TABLE_END).unwrap_or_else(|| {
                panic!("the table `{name}` has no `{TABLE_END}`");
            });
            (name, first_cells(table))
        })
        .collect()
}

/// The rows of a document's table with this name.
fn marked_table<'a>(text: &'a str, name: &str) -> Vec<Vec<&'a str>> {
    let (_, rest) = text
        .split_once(&format!("{TABLE_START}{name} -->"))
        .unwrap_or_else(|| panic!("there is no table `{name}`"));
    let (table, _) = rest.split_once(TABLE_END).unwrap_or((rest, ""));
    rows(table).collect()
}

fn first_cells(table: &str) -> Vec<Vec<&str>> {
    rows(table)
        .filter_map(|row| row.first().map(|cell| code_spans(cell).collect()))
        .collect()
}

/// The cells of a table's rows, without its head.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    lines
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

fn code_spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
