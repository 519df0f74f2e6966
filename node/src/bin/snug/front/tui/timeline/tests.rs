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

#[test]
fn how_far_a_message_got_stands_behind_it_or_below_it() {
    let mut timeline = Timeline::new(false);
    let mine = |ticket| Entry {
        time: "14:03".into(),
        kind: Kind::Mine {
            name: "alice".into(),
            ticket,
            delivery: Delivery::Sent,
            receipt: None,
        },
        lines: vec!["is anyone in?".into()],
    };
    timeline.push(mine(1), true);
    timeline.push(mine(2), true);
    let (first, second, third) = (
        MessageId::from_bytes([1; 32]),
        MessageId::from_bytes([2; 32]),
        MessageId::from_bytes([3; 32]),
    );
    timeline.out(1, first);
    timeline.out(2, second);
    assert_eq!(shown(&mut timeline, 70, 10)[0], "14:03 alice: is anyone in?");
    timeline.resent(first, third);
    let far = |id| Receipt {
        id,
        held_by: 6,
        keepers: 0,
        delivered: 5,
        read: 2,
        of: 7,
    };
    timeline.receipt(far(third));
    // An id that nothing here has changes nothing.
    timeline.receipt(far(first));
    assert_eq!(
        shown(&mut timeline, 80, 10),
        [
            "14:03 alice: is anyone in?  (held by 6, delivered to 5 of 7, read by 2)",
            "14:03 alice: is anyone in?"
        ]
    );
    let rows = shown(&mut timeline, 50, 10);
    assert_eq!(rows[1], "        (held by 6, delivered to 5 of 7, read by …");
}
