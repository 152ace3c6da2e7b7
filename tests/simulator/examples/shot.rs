//! temp
use simulator::*;
#[tokio::main]
async fn main() {
    let b = Bitbucket::start(BitbucketOptions {
        context_path: "/bitbucket".into(),
        port: 40777,
        client_id: Some("c".into()),
        redirect_urls: vec!["http://127.0.0.1:40778/_codescan/oauth2/authorize".into()],
        ..Default::default()
    })
    .await
    .unwrap();
    let _c = Codescan::start(CodescanOptions {
        port: 40778,
        bitbucket: Some(b.clone()),
        ..Default::default()
    })
    .await
    .unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(100)).await;
}
