use proptest::prelude::*;

use super::*;

fn typed(text: &str) -> Composer {
    let mut composer = Composer::default();
    composer.insert(text);
    composer
}

#[test]
fn the_cursor_moves_by_what_people_see() {
    let mut composer = typed("a👩\u{200d}👧日e\u{301}");
    composer.left();
    composer.left();
    assert_eq!(
        composer.layout(20),
        Layout {
            rows: vec![composer.text().to_owned()],
            row: 0,
            column: 3
        }
    );
    composer.backspace();
    assert_eq!(composer.text(), "a日e\u{301}");
    composer.delete();
    assert_eq!(composer.text(), "ae\u{301}");
    composer.home();
    composer.right();
    composer.right();
    composer.backspace();
    assert_eq!(composer.text(), "a");
}

#[test]
fn words_and_lines_can_be_walked_and_deleted() {
    let mut composer = typed("one two\nthree");
    composer.up();
    assert_eq!(composer.layout(20).row, 0);
    assert_eq!(composer.layout(20).column, 5);
    composer.word_left();
    composer.delete_to_end();
    assert_eq!(composer.text(), "one \nthree");
    composer.down();
    composer.delete_to_start();
    assert_eq!(composer.text(), "e");
    let mut composer = typed("one two  ");
    composer.delete_word();
    assert_eq!(composer.text(), "one ");
}

#[test]
fn rows_break_at_cells() {
    let composer = typed("日本語x");
    assert_eq!(
        composer.layout(5),
        Layout {
            rows: vec!["日本".into(), "語x".into()],
            row: 1,
            column: 3
        }
    );
    assert_eq!(
        typed("abcde").layout(5),
        Layout {
            rows: vec!["abcde".into(), String::new()],
            row: 1,
            column: 0
        }
    );
    assert_eq!(typed("a\n").layout(5).row, 1);
}

#[test]
fn what_was_said_comes_back_and_the_draft_too() {
    let mut composer = typed("first");
    composer.take();
    composer.insert("second");
    composer.take();
    composer.insert("dra");
    composer.up();
    assert_eq!(composer.text(), "second");
    composer.up();
    composer.up();
    assert_eq!(composer.text(), "first");
    composer.down();
    composer.down();
    assert_eq!(composer.text(), "dra");
}

#[test]
fn what_is_made_of_several_keys_can_be_typed() {
    for text in ["👩\u{200d}👩\u{200d}👧", "e\u{301}", "می\u{200c}خواهم", "क्\u{200d}ष"] {
        let mut composer = Composer::default();
        text.chars().for_each(|c| composer.insert_key(c));
        assert_eq!(composer.text(), text);
    }
    let mut composer = Composer::default();
    "a\u{1b}\u{9b}\u{202e}b".chars().for_each(|c| composer.insert_key(c));
    (0..100).for_each(|_| composer.insert_key('\u{301}'));
    assert_eq!(composer.text().chars().count(), 1 + MAX_CLUSTER);
    assert!(composer.text().starts_with("ab\u{301}"));
}

#[test]
fn a_paste_is_cleaned_and_bounded() {
    let mut composer = typed("a\u{1b}[31m\r\nb\t\u{202e}c");
    assert_eq!(composer.text(), "a\u{fffd}[31m\nb c");
    assert!(!composer.insert(&"日".repeat(MAX_TEXT_BYTES)));
    assert!(composer.text().len() <= MAX_TEXT_BYTES);
}

proptest! {
    #[test]
    fn no_edit_breaks_the_text(edits in proptest::collection::vec((0u8..15, "\\PC{0,3}|[ \n日👩\u{200d}\u{301}🇩]{0,4}"), 0..60), cells in 1usize..12) {
        let mut composer = Composer::default();
        for (edit, text) in edits {
            match edit {
                0 => composer.left(),
                1 => composer.right(),
                2 => composer.word_left(),
                3 => composer.word_right(),
                4 => composer.home(),
                5 => composer.end(),
                6 => composer.backspace(),
                7 => composer.delete(),
                8 => composer.delete_word(),
                9 => composer.up(),
                10 => composer.down(),
                11 => drop(composer.take()),
                12 => composer.delete_to_end(),
                13 => text.chars().for_each(|c| composer.insert_key(c)),
                _ => drop(composer.insert(&text)),
            }
            let layout = composer.layout(cells);
            prop_assert!(layout.row < layout.rows.len());
            prop_assert!(layout.column <= cells.max(2));
            prop_assert_eq!(layout.rows.concat(), composer.text().replace('\n', ""));
        }
    }
}
