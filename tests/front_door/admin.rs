//! The admin listener, and `healthcheck`, which asks it.

use http::{Method, StatusCode};

use crate::harness::command::run_alone;
use crate::harness::{Answer, Client, Stage, wait_until};

async fn wait_for_ready(stage: &Stage, status: StatusCode) -> Answer {
    let mut last = None;
    wait_until(&format!("/readyz says {status}"), async || {
        let answer = stage.admin("/readyz?verbose").await;
        let reached = answer.status == status;
        last = Some(answer);
        reached
    })
    .await;
    last.expect("asked above")
}

/// The value of a metric, with its labels as they stand in the text.
async fn metric(stage: &Stage, name: &str) -> f64 {
    let text = stage.admin("/metrics").await.text();
    let name = format!("codescan_oauth_proxy_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
}

#[tokio::test]
async fn alive_and_ready() {
    let stage = Stage::set().await;
    for path in ["/livez", "/healthz"] {
        let answer = stage.admin(path).await;
        assert_eq!((answer.status, answer.text().trim_end()), (StatusCode::OK, "ok"));
    }
    let verbose = wait_for_ready(&stage, StatusCode::OK).await.text();
    for word in ["codescan", "store"] {
        assert!(verbose.contains(word), "{verbose}");
    }
    wait_until("Bitbucket has been asked", async || {
        stage.admin("/readyz?verbose").await.text().contains("bitbucket")
    })
    .await;
    assert!(!verbose.contains("127.0.0.1") && !verbose.contains("localhost"), "{verbose}");
}

#[tokio::test]
async fn the_application_is_not_there_nor_health_at_the_front() {
    let stage = Stage::set().await;
    for path in ["/", "/api/system/status", "/_codescan/oauth2/userinfo"] {
        assert_eq!(stage.admin(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/livez", "/readyz", "/healthz", "/metrics"] {
        assert_eq!(stage.client().get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let admin = Client::new(&stage.proxy.admin_origin(), stage.evidence.clone());
    let posted = admin.send(Method::POST, "/readyz", &[], "").await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn codescan_down_is_unready_and_back_is_ready() {
    let stage = Stage::set().await;
    wait_for_ready(&stage, StatusCode::OK).await;
    stage.codescan.stop().await.expect("it stops");
    let down = wait_for_ready(&stage, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(down.text().contains("codescan"), "{}", down.text());
    assert_eq!(stage.admin("/livez").await.status, StatusCode::OK, "a restart would mend nothing");
    stage.codescan.resume().await.expect("it comes back");
    wait_for_ready(&stage, StatusCode::OK).await;
}

#[tokio::test]
async fn codescan_need_not_be_needed() {
    let stage = Stage::with(|settings| {
        settings.set("admin.ready_needs", "[]");
    })
    .await;
    stage.codescan.stop().await.expect("it stops");
    wait_until("the failure is seen", async || {
        stage.admin("/readyz?verbose").await.text().contains("no connection")
    })
    .await;
    assert_eq!(stage.admin("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn bitbucket_down_stays_ready() {
    let bitbucket = simulator::Bitbucket::start(simulator::BitbucketOptions::default());
    let gone = bitbucket.await.expect("the simulator starts");
    gone.stop().await.expect("it stops");
    let stage = Stage::with(|settings| {
        settings.text("bitbucket.url", &gone.url());
    })
    .await;
    wait_until("the failure is seen", async || {
        let verbose = stage.admin("/readyz?verbose").await.text();
        verbose.lines().any(|line| line.contains("bitbucket") && !line.contains("ok"))
    })
    .await;
    assert_eq!(wait_for_ready(&stage, StatusCode::OK).await.status, StatusCode::OK);
}

#[tokio::test]
async fn healthcheck_tells_by_its_exit_code() {
    let stage = Stage::set().await;
    wait_for_ready(&stage, StatusCode::OK).await;
    let file = stage.proxy.settings_file();
    let ask = || run_alone(&["healthcheck", "--config", file.to_str().expect("a path of text")]);
    let ended = ask();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "ready\n"), "{}", ended.stderr);
    stage.codescan.stop().await.expect("it stops");
    wait_for_ready(&stage, StatusCode::SERVICE_UNAVAILABLE).await;
    let ended = ask();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("codescan"), "{}", ended.stdout);
}

#[tokio::test]
async fn ten_logins_that_do_not_come_back_are_a_warning() {
    let stage = Stage::set().await;
    let warned = async || stage.admin("/readyz?verbose").await.text().contains("none came back");
    for _ in 0..10 {
        assert!(!warned().await);
        assert_eq!(stage.browser().get("/").await.status, StatusCode::FOUND);
    }
    assert!(warned().await);
    assert!(stage.admin("/readyz?verbose").await.text().contains("bitbucket.redirect_url"));
    assert_eq!(metric(&stage, "logins_started_total").await, 10.0);
    stage.logged_in("jcitizen").await;
    assert!(!warned().await);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for _ in 0..3 {
        session.get("/api/x").await;
    }
    session.get("/status/503").await;
    session.get("/_codescan/oauth2/userinfo").await;
    stage.client().get("/api/x").await;
    wait_until("the last request is counted", async || {
        metric(&stage, "requests_total{code_class=\"4xx\",route=\"app\"}").await >= 1.0
    })
    .await;
    for (name, value) in [
        // The page after the login is one of them.
        ("requests_total{code_class=\"2xx\",route=\"app\"}", 4.0),
        ("requests_total{code_class=\"5xx\",route=\"app\"}", 1.0),
        ("requests_total{code_class=\"4xx\",route=\"app\"}", 1.0),
        ("requests_total{code_class=\"2xx\",route=\"userinfo\"}", 1.0),
        ("requests_total{code_class=\"3xx\",route=\"authorize\"}", 1.0),
        ("requests_total{code_class=\"3xx\",route=\"logout\"}", 0.0),
        ("logins_started_total", 1.0),
        ("logins_total{result=\"success\"}", 1.0),
        ("active_requests", 0.0),
        ("upstream_connections{state=\"active\"}", 0.0),
        ("session_store_errors_total", 0.0),
        ("access_log_dropped_total", 0.0),
        ("upstream_connect_errors_total", 0.0),
    ] {
        assert_eq!(metric(&stage, name).await, value, "{name}");
    }
}

#[tokio::test]
async fn every_metric_that_is_promised_is_there() {
    let stage = Stage::set().await;
    stage.session_of("jcitizen").await.get("/api/x").await;
    let text = stage.admin("/metrics").await.text();
    for name in [
        "requests_total",
        "request_duration_seconds",
        "active_requests",
        "connections",
        "logins_total",
        "logins_started_total",
        "sessions",
        "session_store_errors_total",
        "bitbucket_request_duration_seconds",
        "access_log_dropped_total",
        "upstream_connect_errors_total",
        "upstream_connections",
        "build_info",
    ] {
        let kind = format!("# TYPE codescan_oauth_proxy_{name} ");
        assert!(text.contains(&kind), "{name} is missing in\n{text}");
    }
    for part in ["resident_memory_bytes", "cpu_seconds_total", "open_fds"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    for private in ["jcitizen", "/api/x"] {
        assert!(!text.contains(private), "{private} in\n{text}");
    }
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    assert!(samples.clone().count() > 50);
    for line in samples {
        assert!(
            line.starts_with("codescan_oauth_proxy_") || line.starts_with("process_"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn connections_to_codescan_and_clients_are_counted() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    wire.send(crate::harness::wire::get("/hang", &session.lines())).await;
    stage.codescan.wait_for(|request| request.path() == "/hang").await;
    assert_eq!(metric(&stage, "active_requests").await, 1.0);
    assert_eq!(metric(&stage, "upstream_connections{state=\"active\"}").await, 1.0);
    assert!(metric(&stage, "connections").await >= 1.0);
    drop(wire);
    wait_until("the request is over", async || metric(&stage, "active_requests").await == 0.0)
        .await;
    stage.codescan.stop().await.expect("it stops");
    session.get("/x").await;
    assert!(metric(&stage, "upstream_connect_errors_total").await >= 1.0);
}
