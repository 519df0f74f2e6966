//! docs/PROTOCOL.md can't drift from the code: its tables of labels and bounds are compared with label.rs and bounds.rs.

use snug_crypto::{bounds, label};

const PROTOCOL: &str = include_str!("../../../docs/PROTOCOL.md");

/// The rows of the table between two marks, each as its trimmed cells.
fn table(name: &str) -> Vec<Vec<String>> {
    let begin = format!("<!-- {name} begin -->");
    let end = format!("<!-- {name} end -->");
    let from = PROTOCOL.find(&begin).unwrap() + begin.len();
    let to = PROTOCOL.find(&end).unwrap();
    let rows = PROTOCOL[from..to].lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    })
    .collect()
}

#[test]
fn every_label_stands_in_the_document_as_in_the_code() {
    let code: Vec<Vec<String>> = label::ALL
        .iter()
        .map(|(label, usage, fields)| {
            vec![
                format!("`{}`", label.as_str()),
                format!("{usage:?}"),
                (*fields).to_owned(),
            ]
        })
        .collect();
    assert_eq!(table("labels"), code, "expected:\n{}", rows(&code));
}

#[test]
fn every_bound_stands_in_the_document_as_in_the_code() {
    let code: Vec<Vec<String>> = bounds::ALL
        .iter()
        .map(|(name, value, unit)| vec![format!("`{name}`"), value.to_string(), (*unit).to_owned()])
        .collect();
    let document: Vec<Vec<String>> = table("bounds").into_iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(document, code, "expected:\n{}", rows(&code));
}

#[test]
fn every_vector_file_stands_in_the_document() {
    for name in crate::vectors::NAMES {
        assert!(PROTOCOL.contains(&format!("`{name}.json`")), "{name}");
    }
}

fn rows(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect()
}
