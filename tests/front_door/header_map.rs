//! `[codescan.headers]`: what is told of the person, and how.

use crate::harness::{Settings, Stage};
use simulator::Received;
use simulator::codescan::Login;

async fn told(slug: &str, change: impl FnOnce(&mut Settings)) -> (Stage, Received) {
    let stage = Stage::with(change).await;
    let session = stage.session_of(slug).await;
    session.get("/api/x").await;
    let received = stage.received("/api/x");
    (stage, received)
}

#[tokio::test]
async fn every_placeholder_has_its_value() {
    let (stage, received) = told("jcitizen", |settings| {
        settings.header("X-Token", "{access_token}");
        settings.header("X-User", "{user}");
        settings.header("X-Id", "id-{user_id}");
        settings.header("X-Name", "{display_name} ({user})");
        settings.header("X-Email", "{email}");
        settings.header("X-Hash", "{session_id_hash}");
        settings.header("X-Fixed", "words only");
    })
    .await;
    let person = stage.bitbucket.person("jcitizen").expect("a person");
    let token = received.header("x-token").expect("a token");
    assert!(stage.bitbucket.person_of(token).is_some());
    assert_eq!(received.header("x-user"), Some("jcitizen"));
    assert_eq!(received.header("x-id"), Some(format!("id-{}", person.id).as_str()));
    let name = format!("{} (jcitizen)", person.display_name);
    assert_eq!(received.header("x-name"), Some(name.as_str()));
    assert_eq!(received.header("x-email"), person.email.as_deref());
    assert!(received.header("x-hash").is_some_and(|hash| hash.len() >= 22));
    assert_eq!(received.header("x-fixed"), Some("words only"));
    assert_eq!(received.header("authorization"), None, "a map that is set replaces the default");
}

#[tokio::test]
async fn a_missing_value_drops_the_whole_field() {
    let (stage, received) = told("nlevi", |settings| {
        settings.header("X-User", "{user}");
        settings.header("X-Email", "mailto:{email}");
    })
    .await;
    assert_eq!(stage.bitbucket.person("nlevi").expect("a person").email, None);
    assert_eq!(received.header("x-user"), Some("nlevi"));
    assert_eq!(received.header("x-email"), None);
}

#[tokio::test]
async fn what_a_header_cannot_carry_is_percent_encoded() {
    let stage = Stage::with(|settings| {
        settings.header("X-User", "{user}");
        settings.header("X-Name", "{display_name}");
    })
    .await;
    stage.bitbucket.people(|people| {
        let one = people.iter_mut().find(|person| person.slug == "jurgen").expect("a person");
        one.display_name = "Jürgen 100% \u{1F642}".to_owned();
    });
    stage.session_of("jurgen").await.get("/api/x").await;
    let received = stage.received("/api/x");
    assert_eq!(received.header("x-user"), Some("j%C3%BCrgen"));
    assert_eq!(received.header("x-name"), Some("J%C3%BCrgen 100%25 %F0%9F%99%82"));
}

#[tokio::test]
async fn the_hash_of_a_session_is_its_own_and_stays() {
    let stage = Stage::with(|settings| {
        settings.header("X-Hash", "{session_id_hash}");
    })
    .await;
    let mut hashes = Vec::new();
    for session in [stage.session_of("jcitizen").await, stage.session_of("jcitizen").await] {
        for _ in 0..2 {
            session.get("/api/x").await;
            let received = stage.received("/api/x");
            hashes.push(received.header("x-hash").expect("a hash").to_owned());
            assert!(!session.lines().contains(&hashes[0]), "not the cookie's value");
        }
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[2], hashes[3]);
    assert_ne!(hashes[0], hashes[2]);
}

#[tokio::test]
async fn sonarqubes_header_login_works_and_cannot_be_spoofed() {
    let stage = Stage::with(|settings| {
        settings.header("X-Forwarded-Login", "{user}");
        settings.header("X-Forwarded-Name", "{display_name}");
        settings.header("X-Forwarded-Email", "{email}");
    })
    .await;
    stage.codescan.faults(|faults| faults.login = Login::Headers);
    let session = stage.session_of("jcitizen").await;
    let lines =
        format!("{}X-Forwarded-Login: admin\r\nX_Forwarded_Login: admin\r\n", session.lines());
    session.open().await.get("/api/x", &lines).await;
    let received = stage.received("/api/x");
    assert_eq!(received.all("x-forwarded-login").collect::<Vec<_>>(), ["jcitizen"]);
    assert_eq!(received.all("x-forwarded-groups").count(), 0);
    assert_eq!(received.header("authorization"), None);
    assert!(received.headers.iter().all(|(_, value)| value != "admin"));
}
