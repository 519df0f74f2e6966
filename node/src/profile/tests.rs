use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn options(data_dir: &Path) -> ProfileOptions {
    ProfileOptions {
        data_dir: data_dir.to_owned(),
        name: DEFAULT_PROFILE.to_owned(),
        ephemeral: false,
        passphrase: None,
    }
}

fn folder_of(data_dir: &Path) -> PathBuf {
    data_dir.join("profiles").join(DEFAULT_PROFILE)
}

/// Every file below, with its content: what "untouched" means.
fn snapshot(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.push((path.clone(), Vec::new()));
            found.extend(snapshot(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn place() -> Place {
    Place::server(&crate::rendezvous::ServerUrl::parse("https://snug.example.org").unwrap())
}

fn room(id: &str) -> RoomId {
    RoomId::parse(id).unwrap()
}

const GENESIS: GenesisHash = GenesisHash::from_bytes([1; 32]);
const OTHER_GENESIS: GenesisHash = GenesisHash::from_bytes([2; 32]);
const ADMIN: AdminPublicKey = AdminPublicKey::from_bytes([3; 32]);

#[test]
fn the_identity_stays_from_one_run_to_the_next_and_only_its_owner_can_read_it() {
    let data = tempfile::tempdir().unwrap();
    let first = Profile::open(options(data.path())).unwrap().identity().key();
    let second = Profile::open(options(data.path())).unwrap();
    assert_eq!(second.identity().key(), first);
    assert!(!second.is_ephemeral());

    let other = ProfileOptions {
        name: "other".to_owned(),
        ..options(data.path())
    };
    assert_ne!(Profile::open(other).unwrap().identity().key(), first);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = folder_of(data.path());
        assert_eq!(mode(&folder), 0o700);
        for file in ["vault", "profile.1", "state.1", "version", "lock"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
    }
}

#[test]
fn an_ephemeral_profile_touches_no_disk() {
    let data = tempfile::tempdir().unwrap();
    let ephemeral = || ProfileOptions {
        ephemeral: true,
        ..options(data.path())
    };
    let mut first = Profile::open(ephemeral()).unwrap();
    let second = Profile::open(ephemeral()).unwrap();
    assert!(first.is_ephemeral());
    assert_ne!(first.identity().key(), second.identity().key());

    first.pin(&place(), &room("den"), GENESIS, ADMIN).unwrap();
    assert!(matches!(
        first.pin(&place(), &room("den"), OTHER_GENESIS, ADMIN),
        Err(PinError::Changed { .. })
    ));
    assert!(snapshot(data.path()).is_empty());
}

#[test]
fn a_second_process_on_a_profile_is_refused_until_the_first_is_done() {
    let data = tempfile::tempdir().unwrap();
    let first = Profile::open(options(data.path())).unwrap();
    let error = Profile::open(options(data.path())).unwrap_err();
    assert!(matches!(error, ProfileError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("--profile"));
    drop(first);
    Profile::open(options(data.path())).unwrap();
}

#[test]
fn a_folder_of_another_version_is_left_alone() {
    for (content, is_newer) in [
        ("3\n", true),
        ("4294967295", true),
        ("0\n", false),
        ("", false),
        ("1 \n", false),
        ("-1", false),
        ("\n\n", false),
        ("99999999999999999999", false),
        ("\u{fffd}", false),
    ] {
        let data = tempfile::tempdir().unwrap();
        let folder = folder_of(data.path());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("version"), content).unwrap();
        fs::write(folder.join("identity"), "not ours to touch").unwrap();
        let before = snapshot(data.path());
        match Profile::open(options(data.path())).unwrap_err() {
            ProfileError::Newer { supported: 2, .. } => assert!(is_newer, "{content:?}"),
            ProfileError::Damaged { .. } => assert!(!is_newer, "{content:?}"),
            other => panic!("{content:?}: {other}"),
        }
        assert_eq!(snapshot(data.path()), before, "{content:?}");
    }
}

/// A folder as format 1 had it: an identity, and the rooms that were entered.
fn of_format_1(data_dir: &Path) -> Identity {
    let folder = folder_of(data_dir);
    fs::create_dir_all(&folder).unwrap();
    let identity = Identity::generate(&mut UnwrapErr(SysRng));
    fs::write(folder.join("version"), "1\n").unwrap();
    fs::write(folder.join("identity"), identity::encode(&identity)).unwrap();
    let (genesis, admin) = ("01".repeat(32), "03".repeat(32));
    let server = "https://snug.example.org";
    let rooms = format!(r#"[{{"server":"{server}","room":"den","genesis":"{genesis}","admin":"{admin}"}}]"#);
    fs::write(folder.join("rooms"), rooms).unwrap();
    #[cfg(unix)]
    for file in ["identity", "rooms"] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    identity
}

#[test]
fn a_folder_of_format_1_is_taken_over_and_its_files_go() {
    for passphrase in [None, Some(Passphrase::parse("hunter2").unwrap())] {
        let data = tempfile::tempdir().unwrap();
        let identity = of_format_1(data.path());
        let open = || {
            Profile::open(ProfileOptions {
                passphrase: passphrase.clone(),
                ..options(data.path())
            })
        };
        for _ in 0..2 {
            let profile = open().unwrap();
            assert_eq!(profile.identity().key(), identity.key());
            assert_eq!(profile.pinned(&place(), &room("den")).unwrap().genesis, GENESIS);
            let folder = folder_of(data.path());
            assert!(!folder.join("identity").exists() && !folder.join("rooms").exists());
            assert_eq!(fs::read(folder.join("version")).unwrap(), b"2\n");
        }
        let seed = *identity.to_seed().expose();
        let hex = data_encoding::HEXLOWER.encode(&seed);
        for (path, bytes) in snapshot(data.path()) {
            let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(
                !holds(&seed) && !holds(hex.as_bytes()) && !holds(b"den"),
                "{}",
                path.display()
            );
        }
        // A crash between the vault and the old files' end: they go the next time.
        fs::write(folder_of(data.path()).join("identity"), identity::encode(&identity)).unwrap();
        fs::write(folder_of(data.path()).join("version"), "1\n").unwrap();
        assert_eq!(open().unwrap().identity().key(), identity.key());
        assert!(!folder_of(data.path()).join("identity").exists());
    }
}

#[test]
fn only_the_passphrase_opens_a_profile_and_it_can_be_changed() {
    let data = tempfile::tempdir().unwrap();
    let with = |text: &str| {
        Profile::open(ProfileOptions {
            passphrase: Some(Passphrase::parse(text).unwrap()),
            ..options(data.path())
        })
    };
    let profile = with("first").unwrap();
    assert!(!profile.was_made_without_passphrase());
    let key = profile.identity().key();
    drop(profile);
    let before = snapshot(data.path());
    assert!(matches!(
        Profile::open(options(data.path())),
        Err(ProfileError::Locked { .. })
    ));
    assert!(matches!(with("second"), Err(ProfileError::WrongPassphrase { .. })));
    assert!(matches!(with(""), Err(ProfileError::WrongPassphrase { .. })));
    assert_eq!(snapshot(data.path()), before, "a wrong passphrase changes nothing");

    let profile = with("first").unwrap();
    let second = Passphrase::parse("second").unwrap();
    profile.vault().unwrap().change_passphrase(&second).unwrap();
    drop(profile);
    assert!(matches!(with("first"), Err(ProfileError::WrongPassphrase { .. })));
    let profile = with("second").unwrap();
    assert_eq!(profile.identity().key(), key);
    profile.vault().unwrap().change_passphrase(&Passphrase::none()).unwrap();
    drop(profile);
    let profile = Profile::open(options(data.path())).unwrap();
    assert_eq!(profile.identity().key(), key);
}

#[test]
fn an_import_makes_a_profile_and_never_replaces_one() {
    let data = tempfile::tempdir().unwrap();
    let identity = || Identity::from_seed(&[7; 32]);
    let profile = Profile::import(options(data.path()), identity()).unwrap();
    assert_eq!(profile.identity().key(), identity().key());
    drop(profile);
    let other = Identity::from_seed(&[8; 32]);
    let error = Profile::import(options(data.path()), other).unwrap_err();
    assert!(matches!(error, ProfileError::HasIdentity { .. }), "{error}");
    assert_eq!(
        Profile::open(options(data.path())).unwrap().identity().key(),
        identity().key()
    );
}

#[test]
fn an_identity_without_a_version_is_never_taken_over() {
    let data = tempfile::tempdir().unwrap();
    Profile::open(options(data.path())).unwrap();
    fs::remove_file(folder_of(data.path()).join("version")).unwrap();
    let before = snapshot(data.path());
    let error = Profile::open(options(data.path())).unwrap_err();
    assert!(matches!(error, ProfileError::Damaged { .. }), "{error}");
    assert_eq!(snapshot(data.path()), before);
}

#[test]
fn a_damaged_identity_is_refused_and_kept() {
    let data = tempfile::tempdir().unwrap();
    of_format_1(data.path());
    let path = folder_of(data.path()).join("identity");
    let good = fs::read(&path).unwrap();
    let half = good.len() / 2;
    let mut variants = vec![Vec::new(), good[..half].to_vec(), b"garbage".to_vec(), vec![0xff; 4096]];
    variants.push([good.as_slice(), b"\n"].concat());
    // One digit off anywhere: seed and key no longer belong together.
    for position in [20, 22, half, 95, 100, good.len() - 2] {
        let mut flipped = good.clone();
        flipped[position] ^= 1;
        variants.push(flipped);
    }
    for bad in variants {
        fs::write(&path, &bad).unwrap();
        let error = Profile::open(options(data.path())).unwrap_err();
        assert!(matches!(error, ProfileError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    fs::write(&path, good).unwrap();
    Profile::open(options(data.path())).unwrap();
}

#[cfg(unix)]
#[test]
fn an_identity_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    of_format_1(data.path());
    let path = folder_of(data.path()).join("identity");
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Profile::open(options(data.path())).unwrap_err();
        assert!(matches!(error, ProfileError::Exposed { .. }), "{error}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = Profile::open(options(&file)).unwrap_err();
    assert!(matches!(error, ProfileError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("--data-dir"));
    assert_eq!(fs::read(&file).unwrap(), b"in the way");
}

/// `/dev/full` takes no byte: the write fails like a full disk's.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let folder = Folder::open(data.path(), DEFAULT_PROFILE).unwrap();
    folder.replace("rooms", b"old").unwrap();
    let temporary = folder.file(".rooms.new");
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    // A leftover of any kind is replaced, never written through.
    folder.replace("rooms", b"new").unwrap();
    assert_eq!(fs::read(folder.file("rooms")).unwrap(), b"new");

    let error = ProfileError::io("write", &folder.file("rooms"), std::io::ErrorKind::StorageFull.into());
    assert!(matches!(error, ProfileError::DiskFull { .. }), "{error}");
    // A folder in the way of the temporary file: nothing can be written, the old content stands.
    fs::create_dir(&temporary).unwrap();
    folder.replace("rooms", b"newer").unwrap_err();
    assert_eq!(fs::read(folder.file("rooms")).unwrap(), b"new");
}

#[test]
fn a_vault_that_lost_its_head_is_never_written_over() {
    let data = tempfile::tempdir().unwrap();
    drop(Profile::open(options(data.path())).unwrap());
    let (head, kept) = (folder_of(data.path()).join("vault"), data.path().join("kept"));
    fs::rename(&head, &kept).unwrap();
    let before = snapshot(&folder_of(data.path()));
    let error = Profile::open(options(data.path())).unwrap_err().to_string();
    assert!(
        error.contains(head.to_str().unwrap()) && error.contains("missing"),
        "{error}"
    );
    let identity = Identity::generate(&mut UnwrapErr(SysRng));
    assert!(matches!(
        Profile::import(options(data.path()), identity),
        Err(ProfileError::Damaged { .. })
    ));
    assert_eq!(snapshot(&folder_of(data.path())), before);
    fs::rename(&kept, &head).unwrap();
    Profile::open(options(data.path())).unwrap();
}

#[test]
fn a_vault_that_was_never_finished_is_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let folder = folder_of(data.path());
    drop(Profile::open(options(data.path())).unwrap());
    // What a crash leaves before the head is there.
    fs::remove_file(folder.join("vault")).unwrap();
    fs::write(folder.join(".making"), "").unwrap();
    let made = Profile::open(options(data.path())).unwrap().identity().key();
    assert!(!folder.join(".making").exists());
    assert_eq!(Profile::open(options(data.path())).unwrap().identity().key(), made);
}

#[test]
fn a_damaged_profile_is_named_and_kept_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    drop(Profile::open(options(data.path())).unwrap());
    let path = folder_of(data.path()).join("profile.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = Profile::open(options(data.path())).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn names_that_could_be_paths_are_refused() {
    let data = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "../x", "a/b", "a\\b", "a b", "ä", "x\0", &"n".repeat(33)] {
        let error = Profile::open(ProfileOptions {
            name: name.to_owned(),
            ..options(data.path())
        })
        .unwrap_err();
        assert!(matches!(error, ProfileError::BadName), "{name:?}");
    }
    assert!(snapshot(data.path()).is_empty());
}

#[test]
fn a_room_is_pinned_on_first_use_and_another_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let den = room("den");
    {
        let mut profile = Profile::open(options(data.path())).unwrap();
        profile.pin(&place(), &den, GENESIS, ADMIN).unwrap();
        profile
            .pin(&place(), &room("café \"7\"\n".trim()), OTHER_GENESIS, ADMIN)
            .unwrap();
    }
    let mut profile = Profile::open(options(data.path())).unwrap();
    profile.pin(&place(), &den, GENESIS, ADMIN).unwrap();
    let error = profile.pin(&place(), &den, OTHER_GENESIS, ADMIN).unwrap_err();
    assert!(
        matches!(
            error,
            PinError::Changed {
                pinned: GENESIS,
                found: OTHER_GENESIS
            }
        ),
        "{error}"
    );
    assert_eq!(profile.pinned(&place(), &den).unwrap().genesis, GENESIS);
    // The same id elsewhere is another room.
    profile.pin(&Place::serverless(), &den, OTHER_GENESIS, ADMIN).unwrap();

    profile.forget(&place(), &den).unwrap();
    drop(profile);
    let mut profile = Profile::open(options(data.path())).unwrap();
    assert_eq!(profile.pinned(&place(), &den), None);
    profile.pin(&place(), &den, OTHER_GENESIS, ADMIN).unwrap();
}

#[test]
fn a_damaged_list_of_rooms_is_refused_and_kept() {
    let data = tempfile::tempdir().unwrap();
    of_format_1(data.path());
    let path = folder_of(data.path()).join("rooms");
    for bad in [
        "",
        "[",
        "{}",
        "[{}]",
        r#"[{"server":"","room":"den","genesis":"00","admin":"00"}]"#,
    ] {
        fs::write(&path, bad).unwrap();
        let error = Profile::open(options(data.path())).unwrap_err();
        assert!(matches!(error, ProfileError::Damaged { .. }), "{bad}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bad.as_bytes());
    }
}
