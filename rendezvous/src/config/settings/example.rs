//! The example file: every setting with its text and its default.

use super::Setting;

const HEAD: &str = "\
# Settings of snug-rendezvous. Everything here has a default: a file without a line is fine.
# Flags win over the environment, that over this file. `snug-rendezvous config check` tells what is wrong,
# `snug-rendezvous config show` what is in force and where it comes from. Paths are relative to this file's folder.
# What is marked (reload) is applied by SIGHUP (`systemctl reload`); the rest needs a new start.
";

const SECTIONS: &[(&str, &str)] = &[
    (
        "tls",
        "Serve https with a certificate from files. They are read again when they change.",
    ),
    (
        "acme",
        "Or have the server get its certificates itself, from Let's Encrypt or another ACME authority. The authority must \
              reach this server on port 443.",
    ),
    (
        "relay",
        "Members who can't reach each other meet at the relay. It carries what it can't read, and sees peer ids, addresses, volume and \
              times. Whoever finds it may use it, within these limits.",
    ),
    (
        "limits",
        "What a client may cost. Addresses are counted in memory, in each instance alone; an IPv6 address with its /64.",
    ),
    (
        "log",
        "The log goes to standard error, and holds no room, address or token.",
    ),
];

/// Width of its comments.
const WIDTH: usize = 110;

/// The commented example file.
#[must_use]
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for setting in Setting::all() {
        if setting.section() != section {
            section = setting.section();
            let about = SECTIONS
                .iter()
                .find(|(name, _)| *name == section)
                .map_or("", |(_, about)| about);
            text += "\n";
            comment(&mut text, about);
            text += &format!("[{section}]\n");
        }
        text += "\n";
        let mut help = setting.help.trim_end_matches('.').to_owned();
        if !setting.default.is_empty() {
            help += &format!(" (default: {})", setting.default);
        }
        help += if setting.reloads { ". (reload)" } else { "." };
        comment(&mut text, &help);
        let name = setting.key.rsplit('.').next().unwrap_or_default();
        match setting.default_value() {
            Some(value) => text += &format!("#{name} = {value}\n"),
            None => text += &format!("# for example: {name} = {}\n", setting.example),
        }
    }
    text
}

fn comment(text: &mut String, words: &str) {
    let mut line = "#".to_owned();
    for word in words.split_whitespace() {
        if line.chars().count() + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
