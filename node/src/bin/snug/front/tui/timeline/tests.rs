use super::*;

fn said(text: &str) -> Entry {
    let kind = Kind::Message {
        name: "alice".into(),
        hue: 0,
    };
    Entry {
        time: "14:02".into(),
        kind,
        lines: text.split('\n').map(str::to_owned).collect(),
    }
}

fn shown(timeline: &mut Timeline, columns: usize, height: usize) -> Vec<String> {
    timeline
        .rows(columns, height)
        .iter()
        .map(|row| row.to_string().trim_end().to_owned())
        .collect()
}

#[test]
fn long_and_several_lines_are_indented_below_the_name() {
    let mut timeline = Timeline::new(false);
    timeline.push(said("the quick brown fox jumps over the lazy dog\nbob: not me"), true);
    let rows = shown(&mut timeline, 30, 10);
    assert_eq!(
        rows,
        [
            "14:02 alice: the quick brown",
            "        fox jumps over the",
            "        lazy dog",
            "        bob: not me"
        ]
    );
    let rows = shown(&mut timeline, 12, 30);
    assert!(rows[1..].iter().all(|row| row.starts_with("  ")), "{rows:?}");
}

#[test]
fn no_row_is_wider_than_the_space() {
    let mut timeline = Timeline::new(true);
    timeline.push(
        said("日本語のとても長いメッセージです 👩\u{200d}👩\u{200d}👧 abcdefghijklmnopqrstuvwxyz"),
        true,
    );
    for columns in 12..60 {
        for row in timeline.rows(columns, 50) {
            assert!(width(&row.to_string()) <= columns, "{columns}: {row}");
        }
    }
}

#[test]
fn scrolling_holds_what_is_read_and_marks_what_is_new() {
    let mut timeline = Timeline::new(false);
    for number in 0..20 {
        timeline.push(said(&format!("message {number}")), true);
    }
    timeline.rows(40, 5);
    timeline.scroll(3);
    let before = shown(&mut timeline, 40, 5);
    assert!(before[4].ends_with("message 16"), "{before:?}");
    timeline.push(said("while away\nand more"), true);
    assert_eq!(shown(&mut timeline, 40, 5), before);
    assert_eq!(timeline.unread(), 1);
    timeline.go_to_bottom();
    let rows = shown(&mut timeline, 40, 5);
    assert!(rows[2].contains(" new "), "{rows:?}");
    timeline.look();
    timeline.push(said("away again"), false);
    let rows = shown(&mut timeline, 40, 5);
    assert!(rows[3].contains(" new ") && rows[4].ends_with("away again"), "{rows:?}");
    timeline.mark_read();
    assert!(!shown(&mut timeline, 40, 5).iter().any(|row| row.contains(" new ")));
    timeline.go_to_top();
    assert!(shown(&mut timeline, 40, 5)[0].ends_with("message 0"));
}

#[test]
fn memory_is_bounded() {
    let mut timeline = Timeline::new(false);
    for _ in 0..MAX_ENTRIES + 10 {
        timeline.push(said("x"), false);
    }
    assert_eq!(timeline.entries.len(), MAX_ENTRIES);
    assert_eq!(timeline.unread(), MAX_ENTRIES);
    for _ in 0..140 {
        timeline.push(said(&"y".repeat(32 * 1024)), false);
    }
    assert!(timeline.bytes <= MAX_BYTES);
}
