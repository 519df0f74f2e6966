use super::*;
use crate::config::{Limits, Registration, StoreSpec};

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn at(key: &str) -> usize {
    Setting::all().iter().position(|setting| setting.key == key).unwrap()
}

fn with_file(text: &str) -> (tempfile::TempDir, Given) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snug.toml");
    std::fs::write(&file, format!("data_dir = \"data\"\n{text}")).unwrap();
    let given = Given {
        file: Some(file),
        flags: Vec::new(),
    };
    (folder, given)
}

#[track_caller]
fn mistakes(given: &Given) -> String {
    let mistakes = given.resolve(nothing).err().expect("it is refused");
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

#[test]
fn flags_win_over_the_environment_that_over_the_file_that_over_the_defaults() {
    let (_folder, mut given) = with_file("[limits]\nrequests_per_second = 1\nrequest_burst = 2\nlogin_burst = 3\n");
    let environment = |name: &str| {
        let value = match name {
            "SNUG_RENDEZVOUS_LIMITS_REQUESTS_PER_SECOND" => "10",
            "SNUG_RENDEZVOUS_LIMITS_REQUEST_BURST" => "20",
            "SNUG_RENDEZVOUS_LIMITS_LOGIN_BURST" => "",
            _ => return None,
        };
        Some(value.into())
    };
    given.flags.push((at("limits.requests_per_second"), "100".into()));
    let resolved = given.resolve(environment).ok().unwrap();
    let limits = resolved.config.limits.clone();
    assert_eq!(
        (limits.requests_per_second, limits.request_burst, limits.login_burst),
        (100, 20, 3)
    );
    assert_eq!(limits.connections, Limits::default().connections);
    let shown = resolved.show();
    for (line, source) in [
        ("requests_per_second = 100", "# --limits-requests-per-second"),
        ("request_burst = 20", "# SNUG_RENDEZVOUS_LIMITS_REQUEST_BURST"),
        ("login_burst = 3", "snug.toml:5"),
        ("connections = 8192", "# default"),
    ] {
        let found = shown.lines().find(|shown| shown.starts_with(line)).unwrap();
        assert!(found.ends_with(source) || found.contains(source), "{found}");
    }
}

#[test]
fn the_example_file_parses_and_equals_the_defaults() {
    let committed = include_str!("../../../packaging/snug-rendezvous.toml");
    assert_eq!(committed, example(), "write it anew: snug-rendezvous config example");
    let defaults = Given::default().resolve(|name| (name == "SNUG_RENDEZVOUS_DATA_DIR").then(|| "data".into()));
    let defaults = defaults.ok().unwrap();
    let values = |text: &str| -> Vec<(usize, Vec<String>)> {
        let found = file::parse(text, "example").unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        found.into_iter().map(|(at, values, _)| (at, values)).collect()
    };
    assert!(values(committed).is_empty(), "as it is, it sets nothing");
    // Each commented default, taken at its word, changes nothing.
    let uncommented: String = committed
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && !setting.is_empty() => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let found = values(&uncommented);
    assert!(found.len() > 20);
    let mut draft = Draft::default();
    for (at, values) in &found {
        let setting = &Setting::all()[*at];
        // Naming a domain is what switches ACME on; an empty list must not.
        if !setting.key.starts_with("acme.") {
            (setting.set)(&mut draft, values, Path::new("")).unwrap();
        }
        assert_eq!(
            Some(setting.written(values)),
            setting.default_value(),
            "{}",
            setting.key
        );
    }
    draft.data_dir = Some("data".into());
    let config = draft.finish().unwrap().0;
    assert_eq!(format!("{config:?}"), format!("{:?}", defaults.config));
    // And each example is one that is taken.
    for setting in Setting::all().iter().filter(|setting| !setting.example.is_empty()) {
        let (section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        let text = match section {
            "" => format!("{name} = {}", setting.example),
            _ => format!("[{section}]\n{name} = {}", setting.example),
        };
        let (at, values) = values(&text).remove(0);
        (Setting::all()[at].set)(&mut Draft::default(), &values, Path::new("")).unwrap();
    }
}

#[test]
fn every_key_is_one_of_a_kind_and_explained() {
    let mut keys: Vec<_> = Setting::all().iter().map(|setting| setting.key).collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count);
    for setting in Setting::all() {
        assert!(!setting.help.is_empty(), "{}", setting.key);
        let has_value = setting.default_value().is_some();
        assert!(
            has_value == setting.default.is_empty(),
            "{}: a default, in words or as a value",
            setting.key
        );
        assert!(has_value || !setting.example.is_empty(), "{}: an example", setting.key);
    }
}

#[test]
fn unknown_keys_and_bad_values_are_told_with_file_and_line() {
    let (_folder, given) = with_file(
        "lisen = \"127.0.0.1:1\"\nregistration = \"maybe\"\n[limits]\nconections = 5\nheader_timeout = 10\nlogin_burst = 0\n\
         [limit]\nconnections = 5\n",
    );
    let text = mistakes(&given);
    for expected in [
        "snug.toml:2: lisen: there is no such setting; is listen meant?",
        "snug.toml:5: limits.conections: there is no such setting; is limits.connections meant?",
        "snug.toml:6: limits.header_timeout: a text in quotes belongs here",
        "snug.toml:8: limit: there is no such setting",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let (_folder, given) = with_file("registration = \"maybe\"\n[limits]\nlogin_burst = 0\nheader_timeout = \"10\"\n");
    let text = mistakes(&given);
    for expected in [
        "snug.toml:2: registration: \"maybe\" is none of",
        "snug.toml:4: limits.login_burst: \"0\" is no number from 1",
        "snug.toml:5: limits.header_timeout: \"10\" is no time",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let (_folder, given) = with_file("store = \"mongodb://u:hunter2@db\nlisten = 3\n");
    let text = mistakes(&given);
    assert!(text.contains("snug.toml:2") && !text.contains("hunter2"), "{text}");
    let missing = Given {
        file: Some("/nowhere/snug.toml".into()),
        flags: Vec::new(),
    };
    assert!(mistakes(&missing).contains("can't be read"));
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (text, expected) in [
        ("registration = \"token\"", "needs registration_token_file"),
        ("registration_token_file = \"x\"", "needs registration = \"token\""),
        ("[tls]\nkey_file = \"x\"", "needs tls.certificate_file"),
        ("[tls]\ncertificate_file = \"x\"", "needs tls.key_file"),
        ("[acme]\ncontact = \"a@b\"", "name at least one domain"),
        ("[acme]\ndomains = [\"*.a.example\"]", "no domain name"),
        (
            "[tls]\ncertificate_file = \"x\"\nkey_file = \"y\"\n[acme]\ndomains = [\"a.example\"]",
            "not from both",
        ),
        ("idle_room_days = 3", "7 days at least"),
        ("admin_listen = \"0.0.0.0:1\"", "no loopback address"),
        ("trusted_proxies = [\"nginx\"]", "neither an address nor a network"),
    ] {
        let (_folder, given) = with_file(text);
        let told = mistakes(&given);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn paths_are_the_files_neighbours_and_passwords_are_not_shown() {
    let (folder, given) =
        with_file("store = \"redb:rooms\"\nregistration = \"token\"\nregistration_token_file = \"tokens\"\n");
    let config = given.resolve(nothing).ok().unwrap().config;
    // Who closes it in a hurry may leave the file named.
    let (_closed, closed) = with_file("registration = \"closed\"\nregistration_token_file = \"tokens\"\n");
    assert_eq!(
        closed.resolve(nothing).ok().unwrap().config.registration,
        Registration::Closed
    );
    assert_eq!(config.data_dir, folder.path().join("data"));
    assert_eq!(config.store, Some(StoreSpec::Redb(folder.path().join("rooms"))));
    assert_eq!(
        config.registration,
        Registration::Token {
            file: folder.path().join("tokens")
        }
    );
    let (_folder, given) = with_file("store = \"mongodb://u:hunter2@db/x\"\n");
    let shown = given.resolve(nothing).ok().unwrap().show();
    assert!(
        shown.contains("mongodb://u:(redacted)@db/x") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn a_change_says_what_needs_a_new_start() {
    let (_a, before) = with_file("listen = \"127.0.0.1:1\"\n[limits]\nlogin_burst = 1\n");
    let (_b, after) = with_file("listen = \"127.0.0.1:2\"\n[limits]\nlogin_burst = 2\n");
    let resolve = |mut given: Given| {
        given.flags.push((at("data_dir"), "/x".into()));
        given.resolve(nothing).ok().unwrap()
    };
    assert_eq!(resolve(after).needs_restart(&resolve(before)), ["listen"]);
}

#[test]
fn plain_http_for_others_warns() {
    for (text, warns) in [
        ("", false),
        ("listen = \"0.0.0.0:7070\"", true),
        ("listen = \"[::]:7070\"", true),
        ("listen = \"[::]:7070\"\n[acme]\ndomains = [\"a.example\"]", false),
    ] {
        let (_folder, given) = with_file(text);
        assert_eq!(
            !given.resolve(nothing).ok().unwrap().warnings.is_empty(),
            warns,
            "{text}"
        );
    }
}
