//! A replica that dies or stands still in the middle of a refresh.

use super::*;

/// `bitbucket.timeout`, which is how long an answer to a replica that stands still may come.
const CALL: &str = "2s";

async fn pair() -> Option<Pair> {
    let pair = Pair::with(|settings| {
        settings.text("bitbucket.timeout", CALL);
    })
    .await?;
    pair.in_step().await;
    Some(pair)
}

/// The first replica has sent the refresh token; what Bitbucket does with it, `fault` says.
async fn first_asks(pair: &Pair, first: &Client, fault: TokenFault) {
    pair.stage.bitbucket.faults(|it| it.refresh = fault);
    let first = first.clone();
    tokio::spawn(async move { drop(first.try_get("/project").await) });
    pair.stage.bitbucket.wait_for(Call::Refresh, 1).await;
}

/// Asks until the request passes; while it does not, it is no logout.
async fn until_served(client: &Client) {
    wait_until("all is well", async || {
        let answer = client.get("/project").await;
        let is_well = answer.status == StatusCode::OK;
        assert!(is_well || answer.status.is_server_error(), "{} {}", answer.status, answer.text());
        is_well
    })
    .await;
}

#[tokio::test]
async fn new_tokens_are_stored_before_anything_else_is_asked() {
    let Some(mut pair) = pair().await else { return };
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    let asked_before = pair.stage.bitbucket.count(Call::Whoami);
    pair.stage.bitbucket.faults(|it| it.whoami = simulator::bitbucket::RestFault::Hang);
    first_asks(&pair, &first, TokenFault::None).await;
    pair.stage.bitbucket.wait_for(Call::Whoami, asked_before + 1).await;
    pair.stage.proxy.signal("KILL");
    pair.stage.proxy.ended().await;
    pair.stage.bitbucket.faults(|it| it.whoami = simulator::bitbucket::RestFault::None);
    until_served(&second).await;
    assert_eq!(pair.stage.bitbucket.count(Call::Refresh), 1, "the tokens were there");
}

#[tokio::test]
async fn one_that_dies_before_bitbucket_acted_is_replaced() {
    let Some(mut pair) = pair().await else { return };
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    first_asks(&pair, &first, TokenFault::Hang).await;
    pair.stage.proxy.signal("KILL");
    pair.stage.proxy.ended().await;
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    until_served(&second).await;
}

#[tokio::test]
async fn one_that_stands_still_with_the_only_live_tokens_can_still_store_them() {
    let Some(pair) = pair().await else { return };
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    first_asks(&pair, &first, TokenFault::HangAnswer).await;
    pair.stage.proxy.signal("STOP");
    // The answer waits for who stands still, and the other finds that the old tokens are dead.
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    let waiting = tokio::spawn(async move { second.get("/project").await });
    pair.stage.bitbucket.wait_for(Call::Refresh, 2).await;
    pair.stage.proxy.signal("CONT");
    let answer = waiting.await.expect("an answer");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(pair.stage.bitbucket.count(Call::Refresh), 2);
}

#[tokio::test]
async fn one_that_wakes_up_late_never_writes_old_tokens_over_new_ones() {
    let Some(pair) = pair().await else { return };
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    first_asks(&pair, &first, TokenFault::Hang).await;
    pair.stage.proxy.signal("STOP");
    // What it sent is lost: Bitbucket never acts on it.
    pair.stage.bitbucket.stop().await.expect("it stops");
    pair.stage.bitbucket.resume().await.expect("it is back");
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    until_served(&second).await;
    pair.stage.proxy.signal("CONT");
    until_served(&first).await;
    let token = pair.stage.received("/project");
    let token = token.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
    let person = token.and_then(|token| pair.stage.bitbucket.person_of(token));
    assert_eq!(person.map(|person| person.name).as_deref(), Some("jcitizen"));
}
