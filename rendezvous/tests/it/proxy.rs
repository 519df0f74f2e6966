//! Behind a proxy, over plain http from elsewhere, and limits that hold for whom the proxy names.

use snug_rendezvous::settings::Given;
use snug_rendezvous::{Config, Limits, Registration, Server};
use snug_rendezvous_api::{Credential, ProblemType, Registered};
use tokio::sync::oneshot;

use crate::support::{Client, KEY, PASSWORD, Running, handle, path_handle};

/// A server whose configuration is changed before it starts.
struct Behind {
    client: Client,
    _stop: oneshot::Sender<()>,
    _folder: tempfile::TempDir,
}

async fn behind(change: impl FnOnce(&mut Config)) -> Behind {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    change(&mut config);
    let server = Server::bind(config).await.unwrap();
    let client = Client {
        address: server.local_addr(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Behind {
        client,
        _stop: stop,
        _folder: folder,
    }
}

fn trusting(proxies: &str) -> Config {
    let at = snug_rendezvous::settings::Setting::all()
        .iter()
        .position(|setting| setting.key == "trusted_proxies");
    let given = Given {
        file: None,
        flags: vec![(at.unwrap(), proxies.into())],
    };
    given
        .resolve(|_| Some("/tmp".into()).filter(|_: &std::ffi::OsString| false))
        .map_or_else(|_| panic!("{proxies}"), |resolved| resolved.config)
}

async fn ask(client: &Client, headers: &str) -> u16 {
    client.send("GET", "/x", headers, b"").await.status
}

#[tokio::test]
async fn limits_hold_for_the_address_that_a_trusted_proxy_names() {
    let limits = Limits {
        requests_per_second: 1,
        request_burst: 3,
        ..Limits::default()
    };
    let server = behind(|config| {
        config.limits = limits.clone();
        config.trusted_proxies = trusting("127.0.0.0/8").trusted_proxies;
    })
    .await;
    let client = server.client;
    let of = |address: &str| format!("x-forwarded-for: {address}\r\n");
    for _ in 0..3 {
        assert_eq!(ask(&client, &of("198.51.100.1")).await, 404);
    }
    assert_eq!(ask(&client, &of("198.51.100.1")).await, 429);
    // What it makes up before the proxy's own word changes nothing; somebody else is somebody else; an IPv6 /64 is one.
    assert_eq!(ask(&client, &of("203.0.113.7, 198.51.100.1")).await, 429);
    assert_eq!(ask(&client, &of("198.51.100.2")).await, 404);
    for n in 0..4 {
        let expected = if n < 3 { 404 } else { 429 };
        assert_eq!(ask(&client, &of(&format!("2001:db8:0:1::{n}"))).await, expected);
    }
    // Without trust the header is nobody's word: all of it is this machine's.
    let open = behind(|config| config.limits = limits.clone()).await;
    for _ in 0..9 {
        assert_eq!(ask(&open.client, &of("198.51.100.1")).await, 404);
    }
}

#[tokio::test]
async fn rooms_are_not_registered_over_plain_http_from_elsewhere() {
    let proxies = trusting("127.0.0.1").trusted_proxies;
    for (forwarded, insecure, refused) in [
        ("", false, false),
        ("x-forwarded-for: 198.51.100.1\r\n", false, true),
        (
            "x-forwarded-for: 198.51.100.1\r\nx-forwarded-proto: http\r\n",
            false,
            true,
        ),
        (
            "x-forwarded-for: 198.51.100.1\r\nx-forwarded-proto: https\r\n",
            false,
            false,
        ),
        ("x-forwarded-for: 198.51.100.1\r\n", true, false),
    ] {
        let server = behind(|config| {
            config.trusted_proxies = proxies.clone();
            config.insecure_registration = insecure;
        })
        .await;
        for path in [
            snug_rendezvous_api::register_start(&path_handle(&handle("den"))),
            snug_rendezvous_api::register_finish(&path_handle(&handle("den"))),
        ] {
            let headers = format!("content-type: application/json\r\n{forwarded}");
            let reply = server.client.send("POST", &path, &headers, b"{}").await;
            reply.refused(if refused {
                ProblemType::PlainHttp
            } else {
                ProblemType::BadRequest
            });
        }
        // Logins are safe over it.
        let headers = format!("content-type: application/json\r\n{forwarded}");
        let start = snug_rendezvous_api::login_start(&path_handle(&handle("den")));
        server
            .client
            .send("POST", &start, &headers, b"{}")
            .await
            .refused(ProblemType::BadRequest);
    }
}

#[tokio::test]
async fn guesses_at_registration_tokens_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = behind(|config| {
        config.registration = Registration::Token { file };
        config.limits.limit_loopback = true;
        config.limits.registrations_per_hour = 3;
    })
    .await;
    let path = snug_rendezvous_api::register_finish(&path_handle(&handle("den")));
    let guess = async |token: &str| {
        let headers = format!("content-type: application/json\r\nsnug-registration-token: {token}\r\n");
        server.client.send("POST", &path, &headers, b"{}").await
    };
    for n in 0..3 {
        guess(&format!("0123456789abcde{n}"))
            .await
            .refused(ProblemType::RegistrationToken);
    }
    guess("0123456789abcde4").await.refused(ProblemType::TooManyRooms);
}

#[tokio::test]
async fn a_rooms_members_share_a_budget_that_nobody_else_can_use_up() {
    let limits = Limits {
        room_requests_per_second: 1,
        room_request_burst: 5,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let client = server.client();
    let (den, other) = (handle("den"), handle("other"));
    client.register(&den).await;
    client.register(&other).await;
    let (member, elsewhere) = (client.member(&den).await, client.member(&other).await);
    // Strangers ask without end.
    for _ in 0..20 {
        client.get(&den, &elsewhere).await.refused(ProblemType::TokenRefused);
    }
    for _ in 0..5 {
        assert_eq!(client.get(&den, &member).await.status, 200);
    }
    client.get(&den, &member).await.refused(ProblemType::TooManyRequests);
    assert_eq!(client.get(&other, &elsewhere).await.status, 200);
}

#[tokio::test]
async fn rooms_that_nobody_enters_are_removed_only_if_the_policy_says_so() {
    use crate::support::DAY_MS;

    let folder = tempfile::tempdir().unwrap();
    let now = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(crate::support::real_now_ms()));
    let run = async |days: u32| {
        let mut config = Config::new(folder.path());
        let clock = std::sync::Arc::clone(&now);
        config.clock = snug_rendezvous::Clock::new(move || clock.load(std::sync::atomic::Ordering::SeqCst));
        config.idle_room_days = days;
        config.idle_first = std::time::Duration::ZERO;
        let server = Server::bind(config).await.unwrap();
        let client = Client {
            address: server.local_addr(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        (client, stop, task)
    };
    let state = async |client: &Client, name: &str| {
        let room = handle(name);
        let started = client.start(&room, Credential::Room, KEY, None).await.unwrap();
        let done = started
            .login
            .finish(&mut crate::support::rng(), started.started.ke2.as_bytes())
            .unwrap();
        let body = snug_rendezvous_api::LoginFinish {
            credential: Credential::Room,
            ke3: snug_rendezvous_api::Exact::new(done.ke3),
            state: started.started.state,
        };
        client.finish(&room, &body).await.status
    };
    // Years pass, and nothing is removed while the policy is off.
    let (client, stop, task) = run(0).await;
    for name in ["busy", "idle"] {
        let (reply, _) = client.try_register(&handle(name), KEY, PASSWORD).await;
        let _: Registered = reply.expect(201);
    }
    now.fetch_add(1000 * DAY_MS, std::sync::atomic::Ordering::SeqCst);
    drop(stop);
    task.await.unwrap();
    // Switched on, all count as used today; the search runs at each start.
    for (pass, expected) in [(0, [200, 200]), (20, [200, 0]), (20, [200, 410])] {
        now.fetch_add(pass * DAY_MS, std::sync::atomic::Ordering::SeqCst);
        let (_, stop, task) = run(30).await;
        // Stopping waits for the first search.
        drop(stop);
        task.await.unwrap();
        let (client, stop, task) = run(30).await;
        for (name, expected) in ["busy", "idle"].into_iter().zip(expected) {
            if expected != 0 {
                assert_eq!(state(&client, name).await, expected, "{name} after {pass} days");
            }
        }
        drop(stop);
        task.await.unwrap();
    }
    // Switched off for a while, and on again: what was noted before says nothing of the time between.
    for (pass, days) in [(10, 0), (100, 30)] {
        now.fetch_add(pass * DAY_MS, std::sync::atomic::Ordering::SeqCst);
        let (client, stop, task) = run(days).await;
        assert_eq!(state(&client, "busy").await, 200, "{days} days, {pass} later");
        drop(stop);
        task.await.unwrap();
    }
}
