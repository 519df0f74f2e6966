//! The configuration file: TOML, of which every wrong key and every value of the wrong kind is told with its line.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Kind, Mistake, Setting};

/// Largest file, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// Settings by their place in the table, with their values as text and their line.
pub(super) type Found = Vec<(usize, Vec<String>, usize)>;

pub(super) fn read(path: &Path) -> Result<Found, Vec<Mistake>> {
    let unreadable = |reason: std::io::Error| {
        let what = format!("the configuration file can't be read: {reason}");
        vec![Mistake::new(path.display().to_string(), what)]
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(unreadable(std::io::Error::other("it is over 256 KiB")));
    }
    parse(&text, &path.display().to_string())
}

pub(super) fn parse(text: &str, name: &str) -> Result<Found, Vec<Mistake>> {
    let line = |span: &Range<usize>| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        // Without the excerpt of the file, which may hold a secret.
        let what = error.message().lines().next().unwrap_or_default().to_owned();
        let at = error.span().map_or(1, |span| line(&span));
        vec![Mistake::new(format!("{name}:{at}"), what)]
    })?;
    let mut reader = Reader {
        name,
        line: &line,
        found: Vec::new(),
        mistakes: Vec::new(),
    };
    reader.table("", table.get_ref());
    if reader.mistakes.is_empty() {
        Ok(reader.found)
    } else {
        Err(reader.mistakes)
    }
}

struct Reader<'a> {
    name: &'a str,
    line: &'a dyn Fn(&Range<usize>) -> usize,
    found: Found,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = match section {
                "" => name.get_ref().to_string(),
                section => format!("{section}.{}", name.get_ref()),
            };
            let at = (self.line)(&name.span());
            let known = Setting::all().iter().position(|setting| setting.key == key);
            match (known, value.get_ref()) {
                (Some(place), _) => match values(Setting::all()[place].kind, value) {
                    Ok(values) => self.found.push((place, values, at)),
                    Err(what) => self.mistake(at, &key, what),
                },
                (None, DeValue::Table(inner)) if section.is_empty() && is_section(&key) => self.table(&key, inner),
                (None, _) => {
                    let what = match nearest(&key) {
                        Some(near) => format!("there is no such setting; is {near} meant?"),
                        None => "there is no such setting".to_owned(),
                    };
                    self.mistake(at, &key, what);
                }
            }
        }
    }

    fn mistake(&mut self, line: usize, key: &str, what: String) {
        // The key comes from the file, and goes to a terminal.
        let key: String = key.chars().filter(|c| !c.is_control()).take(60).collect();
        self.mistakes
            .push(Mistake::new(format!("{}:{line}: {key}", self.name), what));
    }
}

fn is_section(key: &str) -> bool {
    Setting::all().iter().any(|setting| setting.section() == key)
}

fn values(kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    let value = value.get_ref();
    match (kind, value) {
        (Kind::Text, DeValue::String(text)) => Ok(vec![text.to_string()]),
        (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => Ok(vec![number.as_str().replace('_', "")]),
        (Kind::Switch, DeValue::Boolean(on)) => Ok(vec![on.to_string()]),
        (Kind::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err("the list holds something that is no text in quotes".to_owned()),
            })
            .collect(),
        (kind, _) => Err(match kind {
            Kind::Text => "a text in quotes belongs here".to_owned(),
            Kind::Number => "a whole number without quotes belongs here".to_owned(),
            Kind::Switch => "true or false, without quotes, belongs here".to_owned(),
            Kind::List => "a list of texts belongs here, like [\"one\", \"two\"]".to_owned(),
        }),
    }
}

/// The setting that the key most looks like, if it looks like any.
fn nearest(key: &str) -> Option<&'static str> {
    let plain = |key: &str| key.replace(['-', '.'], "_").to_ascii_lowercase();
    let wanted = plain(key);
    let last = |key: &str| plain(key.rsplit('.').next().unwrap_or_default());
    let scored = Setting::all().iter().map(|setting| {
        let distance = distance(&wanted, &plain(setting.key));
        let same_name = last(key) == last(setting.key);
        (if same_name { 0 } else { distance }, setting.key)
    });
    let (distance, near) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 3).then_some(near)
}

/// Levenshtein's distance, of short texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(80).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
