//! Whoever reads the store, all of it and all that was ever written to it, learns nothing.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use codescan_oauth_proxy::config::settings::CookieSecret;
use codescan_oauth_proxy::seal::{Sealer, random};
use codescan_oauth_proxy::store::{LockToken, PersonKey, RecordKey, Store};

use crate::server;
use crate::stage::{Kind, LIVES, Stage};

const USER: &str = "melissa.planted@example.com";
const TOKEN: &str = "eyJ0eXAiOiJKV1Qplanted-access-token";
const REFRESH: &str = "planted-refresh-token-0123456789";

async fn a_day(store: &Store, id: &[u8; 32]) {
    let key = RecordKey::of_id(id);
    let person = PersonKey::new(&Sealer::new(&[CookieSecret::new([7; 32])]), USER);
    let value = format!("{USER} {TOKEN} {REFRESH}");
    let token = LockToken::generate();
    store.create(&key, 1, value.as_bytes(), LIVES).await.expect("up");
    store.join_person(&person, key.name(), LIVES, 50).await.expect("up");
    store.lock(key.name(), &token, LIVES.idle).await.expect("up");
    store.note_attempt(key.name(), 1).await.expect("up");
    store.replace(&key, 2, value.as_bytes()).await.expect("up");
    store.note_use(key.name(), LIVES.idle / 2, LIVES.idle).await.expect("up");
    store.note_person_use(&person, key.name(), LIVES.idle / 2).await.expect("up");
}

/// Everything below the server's folder: its log, its dump, and each write since it began.
fn written(stage: &Stage) -> Vec<u8> {
    fn read(folder: &std::path::Path, into: &mut Vec<u8>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, into);
            } else {
                into.extend(std::fs::read(path).expect("a file"));
            }
        }
    }
    let mut all = Vec::new();
    stage.servers[0].tell(&["SAVE"]);
    read(stage.servers[0].folder(), &mut all);
    all
}

fn holds(all: &[u8], what: &[u8]) -> bool {
    all.windows(what.len()).any(|window| window == what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_and_a_log_of_all_writes_hold_no_token_id_or_name() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::with(Kind::Single, &["appendonly yes", "rdbcompression no"]);
    let store = stage.replica().await;
    let ids: [[u8; 32]; 20] = [(); 20].map(|()| random());
    for id in &ids {
        a_day(&store, id).await;
    }
    let all = written(&stage);
    let key = stage.servers[0].tell(&["KEYS", "cop:r:*"]);
    let key = key.lines().next().expect("a record");
    assert!(holds(&all, key.as_bytes()), "a search that finds nothing at all");
    for word in [USER, TOKEN, REFRESH, "melissa", "planted"] {
        assert!(!holds(&all, word.as_bytes()), "{word}");
        assert!(!holds(&all, URL_SAFE_NO_PAD.encode(word).as_bytes()), "{word} in base64");
    }
    for id in ids {
        let hex = id.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let forms = [hex.clone(), hex.to_uppercase(), URL_SAFE_NO_PAD.encode(id)];
        assert!(!holds(&all, &id));
        assert!(!forms.iter().any(|form| holds(&all, form.as_bytes())));
        assert!(!holds(&all, STANDARD_NO_PAD.encode(id).as_bytes()));
    }
}
