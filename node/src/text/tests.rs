use proptest::prelude::*;
use unicode_properties::{GeneralCategory as G, UnicodeGeneralCategory as _};
use unicode_segmentation::UnicodeSegmentation as _;

use super::*;
use allow::{ZWJ, ZWNJ};

/// Independent of the allow-list under test: what no terminal may ever be sent.
fn is_harmful(c: char) -> bool {
    let joiner = matches!(c, '\u{200c}' | '\u{200d}');
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || (!joiner && c.general_category() == G::Format)
        || matches!(c.general_category(), G::PrivateUse | G::Unassigned)
        || ('\u{e0000}'..='\u{e0fff}').contains(&c)
}

fn assert_harmless(text: &str) {
    assert!(!text.contains(is_harmful), "{text:?}");
    for grapheme in text.graphemes(true) {
        let marks = grapheme
            .chars()
            .filter(|c| c.general_category() == G::NonspacingMark)
            .count();
        // A cluster of an Indic script may hold several letters, each with its marks.
        let letters = grapheme.chars().count() - marks;
        assert!(
            marks <= (clean::MAX_MARKS + clean::MAX_JOINERS) * letters.max(1),
            "{grapheme:?}"
        );
    }
}

/// Text made of what attacks are made of, as well as anything else.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(String::from),
        2 => "[a-zA-Z0-9 ]{1,8}",
        1 => Just("\u{1b}]52;c;aGk=\u{7}".to_owned()),
        1 => Just("\u{9b}2J\r\u{1b}[1;1H".to_owned()),
        1 => Just("\u{202e}\u{2066}\u{200f}\u{61c}\u{feff}".to_owned()),
        1 => Just("\u{301}".repeat(50)),
        1 => Just("\u{200d}\u{200c}\u{fe0f}\u{180b}\u{34f}\u{ad}".to_owned()),
        1 => Just("👩\u{200d}👩🏽\u{200d}".to_owned()),
        1 => Just("\u{1161}\u{11a8}\u{e0041}\u{e000}\u{fffe}\u{3164}".to_owned()),
        1 => Just("क्\u{200d}ष\r\n".to_owned()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_form_holds_a_control_or_format_character(text in hostile(), cells in 0usize..50, max in 0usize..5) {
        let untrusted = Untrusted::new(text.as_str());
        assert_harmless(&untrusted.line());
        assert_harmless(&untrusted.name());
        assert_harmless(&untrusted.title());
        let clipped = untrusted.line_within(cells);
        assert_harmless(&clipped);
        prop_assert!(width(&clipped) <= cells);
        let lines = untrusted.lines(max);
        prop_assert!(!lines.is_empty() && lines.len() <= max.max(1));
        lines.iter().for_each(|line| assert_harmless(line));
        compose(&text).split('\n').for_each(assert_harmless);
        prop_assert!(untrusted.log().chars().all(|c| (' '..='~').contains(&c)));
        prop_assert!(width(&untrusted.name()) > 0);
    }

    #[test]
    fn cleaning_twice_changes_nothing_more(text in hostile()) {
        let once = Untrusted::new(text).line();
        prop_assert_eq!(Untrusted::new(once.as_str()).line(), once);
    }

    #[test]
    fn json_is_exact_and_escaped(text in hostile()) {
        let line = json::line(&Untrusted::new(text.as_str())).unwrap();
        let joined = |c: char| matches!(c, ZWJ | ZWNJ);
        prop_assert!(!line.contains(|c: char| is_harmful(c) || joined(c)));
        prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn wrapped_lines_fit_and_lose_only_spaces(text in hostile(), cells in 1usize..40) {
        let line = Untrusted::new(text).line();
        let wrapped = wrap(&line, cells);
        for part in &wrapped {
            prop_assert!(width(part) <= cells || part.graphemes(true).count() == 1, "{part:?} in {cells}");
        }
        let bare = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
        prop_assert_eq!(bare(&wrapped.concat()), bare(&line));
    }
}

#[test]
fn living_scripts_and_emoji_survive() {
    for text in [
        "héllo, wörld — “quotes” … €5",
        "e\u{301}a\u{308}\u{304}",
        "你好，世界 こんにちは 안녕하세요",
        "ᄒ\u{1161}\u{11ab}",
        "שָׁלוֹם עֲלֵיכֶם",
        "می\u{200c}خواهم",
        "क्\u{200d}ष නිර්\u{200d}මාණය",
        "བསྒྲུབས་པ ཧཱུྃ",
        "สวัสดีครับ ที่นี่",
        "👩\u{200d}👩\u{200d}👧\u{200d}👦 👩🏽\u{200d}🚀 🏳\u{fe0f}\u{200d}🌈 ❤\u{fe0f}\u{200d}🔥 👨🏻\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}👨🏿",
        "1\u{fe0f}\u{20e3} 🇩🇪🇫🇷 👍🏿",
        "x = \\u1b[31m; rm -rf / && $(echo)",
    ] {
        assert_eq!(Untrusted::new(text).line(), text);
        assert_eq!(compose(text), text);
    }
}

#[test]
fn what_a_terminal_obeys_is_shown_as_refused() {
    assert_eq!(Untrusted::new("a\u{1b}[31mb").line(), "a\u{fffd}[31mb");
    assert_eq!(Untrusted::new("a\u{9b}31mb").line(), "a\u{fffd}31mb");
    assert_eq!(Untrusted::new("a\u{1b}\u{1b}\u{7f}\u{0}b").line(), "a\u{fffd}b");
    assert_eq!(Untrusted::new("over\u{202e}ride\u{200b}\u{ad}").line(), "override");
    assert_eq!(Untrusted::new("pri\u{e000}vate \u{e0041}").line(), "pri\u{fffd}vate ");
}

#[test]
fn line_breaks_of_every_kind_stay_in_their_sink() {
    let text = Untrusted::new("one\r\ntwo\rthree\u{2028}four\u{85}five\u{b}six");
    assert_eq!(text.line(), "one two three four five six");
    assert_eq!(text.lines(10), ["one", "two", "three", "four", "five", "six"]);
    assert_eq!(text.lines(3), ["one", "two", "… (4 more lines)"]);
    assert_eq!(compose("a\tb\r\nc"), "a b\nc");
}

#[test]
fn marks_are_bounded_and_never_land_on_our_text() {
    let zalgo = format!("Z{}a{}", "\u{301}".repeat(1_000), "\u{489}".repeat(1_000));
    assert_eq!(Untrusted::new(zalgo).line().chars().count(), 2 + 2 * clean::MAX_MARKS);
    assert_eq!(Untrusted::new("\u{301}x").line(), "\u{25cc}\u{301}x");
    assert_eq!(Untrusted::new("a\n\u{301}x").lines(9), ["a", "\u{25cc}\u{301}x"]);
    // What a title leaves out doesn't free the marks that stood on it.
    let title = Untrusted::new(format!("Z{0}|{0}|{0}", "\u{301}".repeat(clean::MAX_MARKS))).title();
    assert_eq!(title.chars().count(), 1 + clean::MAX_MARKS);
    // Vowels without a consonant pile up just as well.
    assert!(Untrusted::new("\u{1161}".repeat(500)).line().chars().count() <= 1 + clean::MAX_MARKS);
    // So do joined pictures, skin tones or not.
    for link in ["👩\u{200d}", "👩🏽\u{200d}"] {
        let longest = Untrusted::new(link.repeat(500)).line();
        assert!(
            longest
                .graphemes(true)
                .all(|g| g.chars().count() <= 4 * clean::MAX_JOINERS)
        );
    }
}

#[test]
fn joiners_pass_only_where_they_mean_something() {
    assert_eq!(Untrusted::new("ad\u{200d}min").line(), "admin");
    assert_eq!(Untrusted::new("a\u{fe0f}b\u{200c}c").line(), "abc");
    assert_eq!(Untrusted::new("👩\u{200d}\u{200d}\u{200d}").line(), "👩");
    assert_eq!(Untrusted::new("می\u{200c}\u{200c}\u{200c}خ").line(), "می\u{200c}خ");
}

#[test]
fn names_are_short_visible_and_speak_for_one() {
    assert_eq!(Untrusted::new("  alice \u{3000} b ").name(), "alice b");
    assert_eq!(Untrusted::new(" \u{200b}\u{3164}").name(), "(no name)");
    assert_eq!(Untrusted::new("bob: yes!\nalice").name(), "“bob: yes! alice”");
    assert_eq!(Untrusted::new("”x: “").name(), "“\"x: \"”");
    assert_eq!(width(&Untrusted::new("名".repeat(64)).name()), 39);
}

#[test]
fn names_that_could_pass_for_something_else_are_quoted() {
    let plain = [
        "alice",
        "Zoë O'Brien-Smith",
        "Åsa_2",
        "j.doe",
        "Алиса",
        "Αλίκη",
        "日本太郎 Taro",
        "أليس",
        "आलिस",
        "ada 🎉",
        "👩\u{1f3fd}\u{200d}🚀",
    ];
    for name in plain {
        assert_eq!(Untrusted::new(name).name(), name);
    }
    let odd = [
        "bob has left the room den. x",
        "* alice",
        "bob is offline",
        "carol HAS joined",
        "alice, admin",
        "bob.",
        "al\u{456}ce",
        "αlice",
        "ａｌｉｃｅ",
        "\u{1d41a}lice",
        "bob\u{2d0} yes",
        "bob ✔",
        "“bob”",
        "bob…",
    ];
    for name in odd {
        let shown = Untrusted::new(name).name();
        assert!(shown.starts_with('“') && shown.ends_with('”'), "{shown}");
    }
}

#[test]
fn cutting_and_wrapping_count_cells() {
    assert_eq!(clip("日本語", 6), "日本語");
    assert_eq!(clip("日本語", 5), "日本…");
    assert_eq!(clip("日本語", 4), "日…");
    assert_eq!(clip("日本語", 1), "…");
    assert_eq!(clip("日本語", 0), "");
    assert_eq!(clip("👩\u{200d}👩\u{200d}👧!", 2), "…");
    assert_eq!(wrap("the quick brown fox", 10), ["the quick ", "brown fox"]);
    assert_eq!(wrap("日本語 テキスト", 5), ["日本", "語 ", "テキ", "スト"]);
    assert_eq!(
        wrap_beside("the quick brown fox", 4, 10),
        ["the ", "quick ", "brown fox"]
    );
    assert_eq!(wrap("", 5), [""]);
    assert_eq!(wrap("日x", 1), ["日", "x"]);
}

#[test]
fn logs_and_debug_show_no_raw_text() {
    assert_eq!(Untrusted::new("né\u{1b}\n\"").log(), "\"n\\u{e9}\\u{1b}\\n\\\"\"");
    assert_eq!(Untrusted::new("x".repeat(300)).log().len(), 205);
    assert_eq!(format!("{:?}", Untrusted::new("secret")), "Untrusted(6 bytes)");
    assert_eq!(Untrusted::new("a`b`;$(c)\u{7}").title(), "ab(c)\u{fffd}");
}
