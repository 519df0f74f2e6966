//! `snug id verify`: safety numbers of whom the profile knows.

use std::io::IsTerminal as _;

use serde_json::{Value, json};
use snug::contacts::{Contact, Contacts};
use snug::profile::Profile;
use snug::text::Untrusted;
use snug_crypto::ids::IdentityKey;
use snug_crypto::safety::SafetyNumber;

use super::{App, print, print_json, profile};
use crate::cli::IdVerifyArgs;
use crate::failure::Failure;
use crate::handout;
use crate::secrets::Prompter;

/// Digits of a fingerprint that are enough to name somebody.
const MIN_PREFIX: usize = 8;

/// Lists, shows, compares, takes back.
pub fn run(app: &App, args: &IdVerifyArgs) -> Result<u8, Failure> {
    app.log(None)?;
    let (_, profile) = profile::open(app, &args.profile, false, &Prompter::new(args.json))?;
    let mut contacts = profile.contacts()?;
    let Some(who) = &args.who else {
        return list(&contacts, args.json);
    };
    let identity = find(&contacts, who)?;
    let number = SafetyNumber::of(&profile.identity().key(), &identity);
    if let Some(typed) = &args.number {
        if !number.matches(typed) {
            return Err(Failure::failed("the safety numbers differ; nothing was changed")
                .help("compare again: if they do differ, somebody speaks for one of you"));
        }
        contacts.verify(&identity, true, now());
    } else if args.undo {
        contacts.verify(&identity, false, now());
    } else if args.accept && !contacts.accept(&identity) {
        return Err(Failure::failed("that key has not changed; nothing to accept"));
    }
    profile.keep_contacts(&contacts.take_changes())?;
    show(app, &profile, &contacts, &identity, args)
}

fn show(
    app: &App,
    profile: &Profile,
    contacts: &Contacts,
    identity: &IdentityKey,
    args: &IdVerifyArgs,
) -> Result<u8, Failure> {
    let number = SafetyNumber::of(&profile.identity().key(), identity);
    let contact = contacts
        .all()
        .find(|(known, _)| *known == identity)
        .map(|(_, contact)| contact);
    let contact = contact.cloned().unwrap_or_default();
    if args.json {
        let mut card = in_json(identity, &contact);
        card["number"] = json!(number.to_string());
        card["qr"] = json!(number.scanned());
        print_json(&card)?;
        return Ok(0);
    }
    let mut lines = vec![
        format!("Safety number with {}:", described(identity, &contact)),
        number.to_string(),
        if contact.verified_at_ms.is_some() {
            "You verified it.".to_owned()
        } else {
            "Compare it with theirs, in person or on the phone; if it is the same, run this again with --number."
                .to_owned()
        },
    ];
    if contact.is_alarming() {
        lines.push(
            "Somebody else was known by that name before. If you are sure of them, run this again with --accept."
                .to_owned(),
        );
    }
    if std::io::stdout().is_terminal() {
        lines.extend(handout::qr(&number.scanned(), app.color()));
    }
    print(lines)?;
    Ok(0)
}

fn list(contacts: &Contacts, as_json: bool) -> Result<u8, Failure> {
    let mut all: Vec<_> = contacts.all().collect();
    all.sort_by_key(|(identity, contact)| {
        let name = contact.names().first().map(|name| name.exact().to_lowercase());
        (contact.verified_at_ms.is_none(), name, identity.fingerprint())
    });
    if as_json {
        let all: Vec<_> = all
            .iter()
            .map(|(identity, contact)| in_json(identity, contact))
            .collect();
        print_json(&json!({"contacts": all}))?;
    } else if all.is_empty() {
        print(["You have not met anybody in this profile yet.".to_owned()])?;
    } else {
        print(all.iter().map(|(identity, contact)| described(identity, contact)))?;
    }
    Ok(0)
}

/// Somebody by fingerprint, by its first digits, or by a name that nobody else goes by.
fn find(contacts: &Contacts, who: &str) -> Result<IdentityKey, Failure> {
    let who = who.trim();
    let digits = who.rsplit('#').next().unwrap_or_default().to_lowercase();
    let is_prefix = digits.len() >= MIN_PREFIX && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let matches = |(identity, contact): &(&IdentityKey, &Contact)| {
        let by_digits = is_prefix && identity.fingerprint().to_string().starts_with(&digits);
        by_digits
            || contact
                .names()
                .iter()
                .any(|name| name.exact() == who || name.name() == who)
    };
    let mut found = contacts.all().filter(matches).map(|(identity, _)| *identity);
    match (found.next(), found.next()) {
        (Some(identity), None) => Ok(identity),
        (None, _) => {
            Err(Failure::usage("you know nobody of that name or fingerprint")
                .help("snug id verify lists whom you know"))
        }
        (Some(_), Some(_)) => {
            Err(Failure::usage("several go by that name")
                .help("name one by its fingerprint: snug id verify lists them"))
        }
    }
}

fn described(identity: &IdentityKey, contact: &Contact) -> String {
    let names: Vec<String> = contact.names().iter().map(Untrusted::name).collect();
    let mut words = vec![if names.is_empty() {
        "nameless".to_owned()
    } else {
        names.join(" or ")
    }];
    if contact.verified_at_ms.is_some() {
        words.push("verified".to_owned());
    }
    if contact.is_alarming() {
        words.push("KEY CHANGED".to_owned());
    }
    words.push(identity.fingerprint().to_string());
    words.join(", ")
}

fn in_json(identity: &IdentityKey, contact: &Contact) -> Value {
    json!({
        "names": contact.names(),
        "fingerprint": identity.fingerprint().to_string(),
        "verified": contact.verified_at_ms.is_some(),
        "key_changed": contact.is_alarming(),
    })
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
