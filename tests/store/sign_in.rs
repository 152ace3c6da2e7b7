//! Who may use the store, and what is said where somebody may not.

use codescan_oauth_proxy::seal::Sealer;
use codescan_oauth_proxy::store::{
    Condition, Lock, LockToken, PersonKey, Store, StoreError, Trouble,
};

use crate::server;
use crate::stage::{Kind, LIVES, Stage, new_key, until, up};

/// What docs/store.md asks for.
const PERMISSIONS: &str = "~cop:* &cop:changes +@read +@write +@connection +@scripting +@pubsub \
                           -@dangerous +time +role";
const IN_A_CLUSTER: &str = "+cluster|slots";
const PASSWORD: &str = "hunter2planted";

fn with_user(stage: &Stage, name: &str, permissions: &str) {
    let password = format!(">{PASSWORD}");
    let mut words = vec!["ACL", "SETUSER", name, "on", &password];
    words.extend(permissions.split(' '));
    for server in &stage.servers {
        server.tell(&words);
    }
}

#[test]
fn the_page_for_operators_says_the_same() {
    let page = include_str!("../../docs/store.md");
    assert!(page.contains(PERMISSIONS) && page.contains(IN_A_CLUSTER));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_few_permissions_is_enough() {
    if server::is_missing() {
        return;
    }
    for (kind, more) in [(Kind::Single, ""), (Kind::Cluster, IN_A_CLUSTER)] {
        let stage = Stage::new(kind);
        with_user(&stage, "proxy", format!("{PERMISSIONS} {more}").trim());
        let store = stage.signed_in("proxy", PASSWORD);
        everything_is_permitted(&store).await;
    }
}

async fn everything_is_permitted(store: &Store) {
    up(store).await;
    let key = new_key();
    assert_eq!(store.create(&key, 1, b"value", LIVES).await, Ok(true));
    assert!(store.replace(&key, 2, b"value").await.is_ok());
    assert_eq!(store.note_use(key.name(), LIVES.idle, LIVES.idle).await, Ok(Some(2)));
    let token = LockToken::generate();
    assert_eq!(store.lock(key.name(), &token, LIVES.idle).await, Ok(Lock::Ours));
    let person = PersonKey::new(&Sealer::new(&[]), "somebody");
    assert_eq!(store.join_person(&person, key.name(), LIVES, 2).await, Ok(Vec::new()));
    assert!(store.count().await.is_ok());
    assert_eq!(store.remove(key.name()).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_not_shown() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    with_user(&stage, "proxy", PERMISSIONS);
    let store = stage.signed_in("proxy", "hunter2wrong");
    until("the sign-in is refused", || store.health().last_trouble == Some(Trouble::SignIn)).await;
    let error = store.remove(new_key().name()).await.expect_err("not signed in");
    assert_eq!(error, StoreError::Unavailable(Trouble::SignIn));
    let said = format!("{error} {error:?} {:?}", store.health());
    assert!(said.contains("session.store") && !said.contains("hunter2"), "{said}");
    assert_eq!(store.health().condition, Condition::Degraded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_told_with_what_is_needed() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    with_user(&stage, "proxy", "~other:* &cop:changes +@all");
    let store = stage.signed_in("proxy", PASSWORD);
    up(&store).await;
    let error = store.load(&new_key()).await.err().expect("not permitted");
    assert_eq!(error, StoreError::Unavailable(Trouble::NotPermitted));
    assert!(error.to_string().contains("~cop:*"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_is_told() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::new(Kind::Tls);
    stage.ca_file = None;
    let store = stage.opened();
    until("the certificate is refused", || {
        matches!(store.health().last_trouble, Some(Trouble::Tls(_)))
    })
    .await;
    let said = store.health().last_trouble.expect("trouble").to_string();
    assert!(said.contains("session.ca_file"), "{said}");
}

/// It is read at each connect, so that a file that comes late, or is renewed, is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_file_that_is_mended_needs_no_restart() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::new(Kind::Tls);
    let right = stage.ca_file.take().expect("a file");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    stage.ca_file = Some(file.clone());
    let store = stage.opened();
    until("the missing file is told", || {
        matches!(store.health().last_trouble, Some(Trouble::CaFile(_)))
    })
    .await;
    std::fs::copy(right, file).expect("copied");
    up(&store).await;
}
