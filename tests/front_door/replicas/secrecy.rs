//! What the store holds is of no use to who reads it.
#![allow(clippy::print_stdout, reason = "the figures are for whoever asks for them")]

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

/// In each form in which it could stand there.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    forms.push(STANDARD.encode(secret).into_bytes());
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(secret) {
        forms.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into());
        forms.push(bytes);
    }
    forms
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[tokio::test]
async fn a_dump_holds_no_token_no_id_and_no_name() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let mut names = vec!["jcitizen".to_owned(), "Jane".to_owned(), "codescan_session".to_owned()];
    let mut ids = Vec::new();
    for slug in ["jcitizen", "asmith", "jcitizen"] {
        let browser = pair.with_an_expired_token(slug).await;
        for client in pair.machines(&browser) {
            assert_eq!(client.get("/project").await.status, StatusCode::OK);
        }
        ids.push(browser.cookie("codescan_session").expect("a session").to_owned());
        let person = pair.stage.bitbucket.person(slug).expect("a person");
        names.extend([person.name, person.display_name]);
        names.extend(person.email);
    }
    names.retain(|name| name.len() > 3);
    pair.redis.tell(&["SAVE"]);
    let dump = fs::read(pair.redis.folder().join("dump.rdb")).expect("a dump");
    let keys = pair.redis.tell(&["KEYS", "*"]);
    assert!(holds(&dump, b"cop:r:"), "there are sessions in it");
    let secrets = pair.stage.bitbucket.issued_secrets();
    let secrets: Vec<String> = secrets.into_iter().chain(ids).chain(names).collect();
    for secret in &secrets {
        for form in forms(secret) {
            assert!(!holds(&dump, &form), "{secret} is in the dump");
            assert!(!holds(keys.as_bytes(), &form), "{secret} is a key");
        }
    }
    println!("a dump of {} bytes holds none of {} secrets and names", dump.len(), secrets.len());
}
