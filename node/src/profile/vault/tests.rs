//! A vault under crashes, damage and full disks: what was committed holds, and nothing else ever did.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn folder(data: &TempDir) -> Arc<Folder> {
    Arc::new(Folder::open(data.path(), "default").unwrap())
}

fn put(key: &str, value: &[u8]) -> Entry {
    Entry {
        key: key.as_bytes().to_vec(),
        value: Some(RestBytes::new(value.to_vec())),
    }
}

fn forget(key: &str) -> Entry {
    Entry {
        key: key.as_bytes().to_vec(),
        value: None,
    }
}

fn new_vault() -> (TempDir, Vault) {
    let data = tempfile::tempdir().unwrap();
    let vault = Vault::create(folder(&data), &Passphrase::none(), vec![put("identity", b"me")]).unwrap();
    (data, vault)
}

fn open(data: &TempDir) -> Result<Vault, ProfileError> {
    Vault::open(folder(data), &Passphrase::none())
}

fn state(vault: &Vault) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = vault.scan(Purpose::State, b"").unwrap();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
        .into_iter()
        .map(|(key, value)| (String::from_utf8(key).unwrap(), value.to_vec()))
        .collect()
}

fn pair(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.to_owned(), value.as_bytes().to_vec())
}

/// The only file of a kind in the profile's folder.
fn file(data: &TempDir, purpose: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(data.path().join("profiles/default"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.strip_prefix(purpose)
                .is_some_and(|rest| rest.starts_with('.') && !rest.contains("damaged"))
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.pop().unwrap()
}

/// Where the lengths of a log's chunks stand.
fn length_fields(log: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut fields, mut at) = (Vec::new(), 0);
    while at < log.len() {
        fields.push(at..at + 4);
        at += 4 + u32::from_be_bytes(log[at..at + 4].try_into().unwrap()) as usize;
    }
    fields
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).unwrap();
        }
    }
}

#[test]
fn what_was_committed_last_of_each_key_comes_back() {
    let (data, vault) = new_vault();
    vault
        .commit(Purpose::State, vec![put("a", b"1"), put("b", b"2"), put("bc", b"3")])
        .unwrap();
    vault
        .commit(Purpose::State, vec![put("a", b"4"), put("d", b"")])
        .unwrap();
    vault
        .commit(Purpose::State, vec![forget("b"), put("bd", b"5")])
        .unwrap();
    let expected = [pair("a", "4"), pair("bd", "5"), pair("d", "")];
    assert_eq!(state(&vault), expected, "forgetting takes all keys that begin so");
    drop(vault);
    for _ in 0..3 {
        let vault = open(&data).unwrap();
        assert_eq!(state(&vault), expected);
        assert_eq!(
            vault.get(Purpose::Profile, b"identity").unwrap().unwrap().as_slice(),
            b"me"
        );
        assert!(vault.get(Purpose::State, b"b").unwrap().is_none());
    }
}

/// A crash can leave any beginning of the file, and behind it zeros where what was written was not yet on the disk.
#[test]
fn a_log_cut_anywhere_holds_whole_commits() {
    let (data, vault) = new_vault();
    let path = file(&data, "state");
    let mut ends = vec![fs::metadata(&path).unwrap().len() as usize];
    for n in 0..6 {
        let value = vec![b'0' + n; 40 * usize::from(n)];
        vault
            .commit(
                Purpose::State,
                vec![put("same", &value), put(&format!("key {n}"), &value)],
            )
            .unwrap();
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    drop(vault);
    let whole = fs::read(&path).unwrap();
    // Every place near the end of a commit, and some within.
    let telling = |cut: &usize| cut.is_multiple_of(11) || ends.iter().any(|end| cut.abs_diff(*end) <= 3);
    for cut in (0..=whole.len()).filter(telling) {
        for tail in [&b""[..], &[0; 50], &[0; 5_000]] {
            let copied = tempfile::tempdir().unwrap();
            copy(data.path(), copied.path());
            fs::write(file(&copied, "state"), [&whole[..cut], tail].concat()).unwrap();
            let vault = open(&copied).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert!(!vault.state_was_lost(), "cut at {cut}");
            let commits = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
            assert_eq!(
                state(&vault).len(),
                if commits == 0 { 0 } else { commits + 1 },
                "cut at {cut}"
            );
            // And it goes on from there.
            vault.commit(Purpose::State, vec![put("later", b"x")]).unwrap();
            drop(vault);
            let vault = open(&copied).unwrap();
            assert_eq!(vault.get(Purpose::State, b"later").unwrap().unwrap().as_slice(), b"x");
            if tail.is_empty() && cut % 16 != 0 {
                break;
            }
        }
    }
}

#[test]
fn damage_before_the_end_is_told_and_kept_and_costs_the_state_alone() {
    let (data, vault) = new_vault();
    for n in 0..4 {
        vault
            .commit(Purpose::State, vec![put(&format!("{n}"), &[n; 100])])
            .unwrap();
        vault
            .commit(Purpose::Profile, vec![put(&format!("room {n}"), &[n; 100])])
            .unwrap();
    }
    drop(vault);
    let lengths = length_fields(&fs::read(file(&data, "state")).unwrap());
    let size = fs::metadata(file(&data, "state")).unwrap().len() as usize;
    for at in (0..size).step_by(7) {
        let copied = tempfile::tempdir().unwrap();
        copy(data.path(), copied.path());
        let path = file(&copied, "state");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let vault = open(&copied).unwrap();
        if lengths.iter().any(|field| field.contains(&at)) {
            assert!(vault.unreadable().is_empty() && state(&vault).len() == 4, "byte {at}");
        } else {
            assert!(vault.state_was_lost() && state(&vault).is_empty(), "byte {at}");
            let aside = path.with_file_name(format!("{}.damaged", path.file_name().unwrap().to_str().unwrap()));
            assert_eq!(
                vault.unreadable(),
                [Unreadable::State {
                    kept: Some(aside.clone())
                }]
            );
            assert_eq!(fs::read(aside).unwrap(), bytes, "nothing is thrown away");
        }
        assert_eq!(
            vault.get(Purpose::Profile, b"room 3").unwrap().unwrap().as_slice(),
            [3; 100]
        );
        vault.commit(Purpose::State, vec![put("later", b"x")]).unwrap();
        drop(vault);
        let vault = open(&copied).unwrap();
        assert!(vault.unreadable().is_empty());
        assert!(vault.get(Purpose::State, b"later").unwrap().is_some());
    }
    // The state's log is gone altogether.
    let copied = tempfile::tempdir().unwrap();
    copy(data.path(), copied.path());
    fs::remove_file(file(&copied, "state")).unwrap();
    assert!(open(&copied).unwrap().state_was_lost());
    // The identity's log is another matter: nothing may take its place.
    let path = file(&data, "profile");
    let mut bytes = fs::read(&path).unwrap();
    bytes[90] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(open(&data), Err(ProfileError::Damaged { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_log_is_written_anew_before_it_is_mostly_waste_and_what_it_forgot_is_unreadable() {
    let (data, vault) = new_vault();
    let first = file(&data, "state");
    vault.commit(Purpose::State, vec![put("kept", &[1; 1000])]).unwrap();
    let value = vec![2; 256 * 1024];
    for _ in 0..64 {
        vault.commit(Purpose::State, vec![put("replaced", &value)]).unwrap();
        let (size, live) = vault.sizes(Purpose::State);
        assert!(
            size <= SMALL + value.len() as u64 + 1_000 || size <= WASTE * live,
            "{size} of {live}"
        );
    }
    assert_ne!(file(&data, "state"), first, "the old file is gone");
    assert_eq!(
        vault.get(Purpose::State, b"kept").unwrap().unwrap().as_slice(),
        [1; 1000]
    );
    drop(vault);

    // With the next run goes what the last one forgot, and the key that opened it.
    let before = file(&data, "state");
    let old = fs::read(&before).unwrap();
    let vault = open(&data).unwrap();
    let after = file(&data, "state");
    assert_ne!(after, before);
    drop(vault);
    fs::write(&after, old).unwrap();
    assert!(open(&data).unwrap().state_was_lost() || state(&open(&data).unwrap()).is_empty());
}

#[test]
fn a_crash_while_a_log_is_written_anew_leaves_one_of_the_two() {
    let (data, vault) = new_vault();
    vault.commit(Purpose::State, vec![put("a", b"1")]).unwrap();
    drop(vault);
    let stray = data.path().join("profiles/default/state.7");
    fs::write(&stray, b"half of it").unwrap();
    let unrelated = data.path().join("profiles/default/state.txt");
    fs::write(&unrelated, b"mine").unwrap();
    let vault = open(&data).unwrap();
    assert_eq!(state(&vault), [pair("a", "1")]);
    assert!(!stray.exists() && unrelated.exists());
}

#[test]
fn nothing_stands_in_the_folder_as_it_is() {
    let (data, vault) = new_vault();
    let canary = b"canary-of-a-message-0123456789";
    let key = "canary-of-a-key-0123456789";
    vault.commit(Purpose::State, vec![put(key, canary)]).unwrap();
    vault.commit(Purpose::Profile, vec![put(key, canary)]).unwrap();
    drop(vault);
    for path in fs::read_dir(data.path().join("profiles/default"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let bytes = fs::read(&path).unwrap();
        for needle in [&canary[..], key.as_bytes()] {
            assert!(
                !bytes.windows(needle.len()).any(|window| window == needle),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn a_newer_vault_is_left_alone() {
    let (data, vault) = new_vault();
    drop(vault);
    let path = data.path().join("profiles/default/vault");
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] = 2;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(open(&data), Err(ProfileError::NewerVault { .. })));
    bytes[0] = b'X';
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(open(&data), Err(ProfileError::Damaged { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Commits larger than a chunk hold together.
#[test]
fn a_large_commit_is_all_or_nothing() {
    let (data, vault) = new_vault();
    let many = || (0..40).map(|n| put(&format!("{n}"), &[n; 100_000])).collect::<Vec<_>>();
    vault.commit(Purpose::State, many()).unwrap();
    drop(vault);
    let path = file(&data, "state");
    let whole = fs::read(&path).unwrap();
    let vault = open(&data).unwrap();
    assert_eq!(state(&vault).len(), 40);
    drop(vault);
    for cut in [1, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(state(&open(&data).unwrap()).is_empty(), "cut at {cut}");
    }
}

/// Figures, not a test: `cargo test --workspace --lib what_a_commit_costs -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn what_a_commit_costs() {
    let (data, vault) = new_vault();
    let (mut written, mut synced) = (Vec::new(), Vec::new());
    for n in 0..1_000 {
        // What a message writes: the frame, a chain, the message until it was shown.
        let changes = vec![
            put(&format!("frame {n:064}"), &[1; 480]),
            put(&format!("chain {:064}", n % 10), &[2; 45]),
            put(&format!("pending {n:032}"), &[3; 300]),
        ];
        let start = Instant::now();
        vault.write(Purpose::State, changes).unwrap();
        written.push(start.elapsed());
        vault.sync(Purpose::State).unwrap();
        synced.push(start.elapsed());
    }
    written.sort();
    synced.sort();
    let (size, live) = vault.sizes(Purpose::State);
    drop(vault);
    let start = Instant::now();
    drop(open(&data).unwrap());
    println!(
        "a commit written: p50 {:?}, p99 {:?}; synced: p50 {:?}, p99 {:?}; {size} bytes for 1,000 messages, {live} of them hold; opened in {:?}",
        written[500],
        written[990],
        synced[500],
        synced[990],
        start.elapsed()
    );
}

#[test]
fn what_is_written_outlives_the_process_and_what_is_synced_is_on_disk() {
    let (data, vault) = new_vault();
    vault.write(Purpose::State, vec![put("a", b"1")]).unwrap();
    assert_eq!(state(&vault), [pair("a", "1")]);
    assert!(!vault.lock().state.log.is_synced());
    vault.sync(Purpose::State).unwrap();
    assert!(vault.lock().state.log.is_synced());
    vault.write(Purpose::State, vec![put("b", b"2"), forget("a")]).unwrap();
    drop(vault);
    assert_eq!(state(&open(&data).unwrap()), [pair("b", "2")]);
}

/// After a sync that failed the system may have dropped anything behind the last good one, and the next sync says nothing of it.
#[test]
fn a_sync_that_fails_loses_nothing_that_was_written() {
    let (data, vault) = new_vault();
    vault
        .commit(Purpose::State, vec![put("a", b"1"), put("gone", b"x")])
        .unwrap();
    let synced = fs::metadata(file(&data, "state")).unwrap().len();
    vault.write(Purpose::State, vec![put("b", b"2")]).unwrap();
    vault
        .write(Purpose::State, vec![put("a", b"3"), forget("gone")])
        .unwrap();
    {
        let mut inner = vault.lock();
        let syncing = inner.state.log.syncing();
        let failed = Err(std::io::Error::other("no disk"));
        assert!(inner.state.log.settle(&syncing, failed).is_err());
    }
    let path = file(&data, "state");
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(synced).unwrap()..].fill(0);
    fs::write(&path, bytes).unwrap();

    vault.sync(Purpose::State).unwrap();
    let expected = [pair("a", "3"), pair("b", "2")];
    assert_eq!(state(&vault), expected);
    vault.write(Purpose::State, vec![put("c", b"4")]).unwrap();
    drop(vault);
    let expected = [expected[0].clone(), expected[1].clone(), pair("c", "4")];
    assert_eq!(state(&open(&data).unwrap()), expected);
}

/// A power cut may leave out a block and keep one behind it.
#[test]
fn a_block_that_never_reached_the_disk_costs_what_was_written_since_and_nothing_before() {
    let (data, vault) = new_vault();
    vault.commit(Purpose::State, vec![put("a", b"1")]).unwrap();
    let from = usize::try_from(fs::metadata(file(&data, "state")).unwrap().len()).unwrap();
    let blob = vec![7; 12 * 1024];
    vault.write(Purpose::State, vec![put("big", &blob)]).unwrap();
    vault.write(Purpose::State, vec![put("b", b"2")]).unwrap();
    drop(vault);
    let path = file(&data, "state");
    let mut bytes = fs::read(&path).unwrap();
    let block = from.next_multiple_of(4_096);
    bytes[block..block + 4_096].fill(0);
    fs::write(&path, &bytes).unwrap();

    let vault = open(&data).unwrap();
    assert!(!vault.state_was_lost());
    // A disk that fails may leave the same.
    let kept = path.with_extension("1.damaged");
    assert_eq!(vault.unreadable(), [Unreadable::End { kept: kept.clone() }]);
    assert_eq!(fs::read(kept).unwrap(), bytes);
    assert_eq!(state(&vault), [pair("a", "1")]);
    vault.commit(Purpose::State, vec![put("c", b"3")]).unwrap();
    drop(vault);
    assert_eq!(state(&open(&data).unwrap()), [pair("a", "1"), pair("c", "3")]);
}

/// The seal doesn't cover a chunk's length; damaged alone, it costs nothing, wherever it leads.
#[test]
fn a_damaged_length_is_mended() {
    let (data, vault) = new_vault();
    for n in 0..3 {
        let value = [n; 300];
        vault
            .commit(Purpose::State, vec![put(&format!("{n}"), &value)])
            .unwrap();
        vault
            .commit(Purpose::Profile, vec![put(&format!("{n}"), &value)])
            .unwrap();
    }
    drop(vault);
    for (purpose, name) in [(Purpose::Profile, "profile"), (Purpose::State, "state")] {
        let whole = fs::read(file(&data, name)).unwrap();
        for field in length_fields(&whole) {
            for bit in [0, 1, 6, 8, 10, 15, 16, 21, 23, 24, 29, 31] {
                let copied = tempfile::tempdir().unwrap();
                copy(data.path(), copied.path());
                let path = file(&copied, name);
                let mut bytes = whole.clone();
                bytes[field.start + bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &bytes).unwrap();
                let vault = open(&copied).unwrap_or_else(|error| panic!("{name}, bit {bit} of {field:?}: {error}"));
                assert!(vault.unreadable().is_empty(), "{name}, bit {bit} of {field:?}");
                let found = vault.scan(purpose, b"").unwrap();
                let ours = found.iter().filter(|(_, value)| value.len() == 300).count();
                assert_eq!(ours, 3, "{name}, bit {bit} of {field:?}");
                drop(vault);
                assert_eq!(fs::read(&path).unwrap(), whole, "{name}, bit {bit} of {field:?}");
            }
        }
        // All four bytes of it.
        let fields = length_fields(&whole);
        let mut bytes = whole.clone();
        bytes[fields[1].clone()].fill(0xff);
        fs::write(file(&data, name), &bytes).unwrap();
        assert!(open(&data).unwrap().unreadable().is_empty());
    }
}

#[test]
fn a_state_that_is_gone_is_told_where_there_are_rooms() {
    let (data, vault) = new_vault();
    vault.commit(Purpose::State, vec![put("a", b"1")]).unwrap();
    vault.commit(Purpose::Profile, vec![put("room x", b"1")]).unwrap();
    drop(vault);
    let whole = fs::read(file(&data, "state")).unwrap();
    for left in [vec![], vec![0; whole.len()], vec![0; 7], whole[..40].to_vec()] {
        let copied = tempfile::tempdir().unwrap();
        copy(data.path(), copied.path());
        let path = file(&copied, "state");
        fs::write(&path, &left).unwrap();
        let vault = open(&copied).unwrap();
        let aside = path.with_file_name(format!("{}.damaged", path.file_name().unwrap().to_str().unwrap()));
        assert_eq!(
            vault.unreadable(),
            [Unreadable::State {
                kept: Some(aside.clone())
            }],
            "{} bytes",
            left.len()
        );
        assert_eq!(fs::read(aside).unwrap(), left);
        vault.commit(Purpose::State, vec![put("later", b"x")]).unwrap();
        drop(vault);
        assert_eq!(state(&open(&copied).unwrap()), [pair("later", "x")]);
    }
    // A crash right after it was made leaves its first commit.
    let first = length_fields(&whole)[1].start;
    for torn in [
        whole[..first].to_vec(),
        [&whole[..first], &[0; 30][..]].concat(),
        whole[..whole.len() - 1].to_vec(),
    ] {
        fs::write(file(&data, "state"), &torn).unwrap();
        let vault = open(&data).unwrap();
        assert!(vault.unreadable().is_empty() && state(&vault).is_empty());
    }
}

/// Nothing explains it, and nothing that could be read stands behind it.
#[test]
fn an_end_that_no_crash_leaves_is_kept_and_told() {
    let (data, vault) = new_vault();
    for n in 0..3 {
        for purpose in [Purpose::Profile, Purpose::State] {
            vault.commit(purpose, vec![put(&format!("{n}"), &[n; 300])]).unwrap();
        }
    }
    drop(vault);
    let flipped = |mut bytes: Vec<u8>| {
        let at = bytes.len() - 9;
        bytes[at] ^= 0x10;
        bytes
    };
    let foreign = |bytes: Vec<u8>| [bytes, vec![0xff; 700]].concat();
    for (what, left) in [("flipped", 2), ("foreign", 3)] {
        let damage = |bytes| if left == 2 { flipped(bytes) } else { foreign(bytes) };
        // The profile goes on with what it could read.
        let copied = tempfile::tempdir().unwrap();
        copy(data.path(), copied.path());
        let path = file(&copied, "profile");
        let bytes = damage(fs::read(&path).unwrap());
        for turn in 1..3 {
            fs::write(&path, &bytes).unwrap();
            let vault = open(&copied).unwrap_or_else(|error| panic!("{what}: {error}"));
            let end = if turn == 1 {
                "damaged".to_owned()
            } else {
                format!("damaged.{turn}")
            };
            let kept = path.with_file_name(format!("{}.{end}", path.file_name().unwrap().to_str().unwrap()));
            assert_eq!(vault.unreadable(), [Unreadable::End { kept: kept.clone() }], "{what}");
            assert_eq!(fs::read(kept).unwrap(), bytes, "{what}");
            // The identity is the one key more.
            assert_eq!(vault.scan(Purpose::Profile, b"").unwrap().len(), left + 1, "{what}");
            drop(vault);
            assert!(open(&copied).unwrap().unreadable().is_empty(), "{what}");
        }
        // An older state would say again what was said: it is joined anew.
        let path = file(&copied, "state");
        let bytes = damage(fs::read(&path).unwrap());
        fs::write(&path, &bytes).unwrap();
        let vault = open(&copied).unwrap();
        assert!(vault.state_was_lost() && state(&vault).is_empty(), "{what}");
    }
}
