use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn options(data_dir: &Path) -> ProfileOptions {
    ProfileOptions {
        data_dir: data_dir.to_owned(),
        name: DEFAULT_PROFILE.to_owned(),
        ephemeral: false,
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
        for file in ["identity", "version", "lock"] {
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
        ("2\n", true),
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
            ProfileError::Newer { supported: 1, .. } => assert!(is_newer, "{content:?}"),
            ProfileError::Damaged { .. } => assert!(!is_newer, "{content:?}"),
            other => panic!("{content:?}: {other}"),
        }
        assert_eq!(snapshot(data.path()), before, "{content:?}");
    }
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
    Profile::open(options(data.path())).unwrap();
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
    Profile::open(options(data.path())).unwrap();
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
    Profile::open(options(data.path())).unwrap();
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
