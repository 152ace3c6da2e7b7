//! Who is it, and what may they see.

use crate::client::*;
use simulator::Call;
use simulator::bitbucket::{ApplinksWhoami, DeadToken, RateLimit, RestFault, Username};

#[tokio::test]
async fn the_header_names_the_token_s_owner_url_encoded() {
    let bitbucket = bitbucket().await;
    let token = bitbucket.issue_token("jurgen");
    let answer = whoami(&bitbucket, &token).await;
    assert_eq!(answer.header("x-ausername"), Some("j%C3%BCrgen"));
    assert_eq!(answer.header("x-auserid"), Some("105"));
    // The name is not the slug.
    assert_eq!(rest(&bitbucket, "users/j%C3%BCrgen", &token).await.status, 404);
    let found = rest(&bitbucket, "users?filter=J%C3%9CRGEN", &token).await.json();
    assert_eq!(found["values"][0]["slug"], "jurgen");

    for (username, expected) in [
        (Username::Missing, None),
        (Username::Anonymous, Some("anonymous")),
        (Username::Other("asmith".into()), Some("asmith")),
    ] {
        bitbucket.faults(|faults| faults.username = username);
        assert_eq!(whoami(&bitbucket, &token).await.header("x-ausername"), expected);
    }
}

#[tokio::test]
async fn a_dead_token_is_refused_or_taken_for_nobody() {
    let bitbucket = bitbucket().await;
    let token = bitbucket.issue_token("jcitizen");
    bitbucket.expire_access_tokens();
    let refused = whoami(&bitbucket, &token).await;
    assert_eq!((refused.status.as_u16(), refused.header("x-ausername")), (401, None));
    assert!(refused.json()["errors"][0]["message"].is_string());
    bitbucket.faults(|faults| faults.dead_token = DeadToken::Anonymous);
    let anonymous = whoami(&bitbucket, &token).await;
    assert_eq!((anonymous.status.as_u16(), anonymous.header("x-ausername")), (200, None));
    assert_eq!(rest(&bitbucket, "projects/OPEN", &token).await.status, 200);
    assert_eq!(rest(&bitbucket, "users/jcitizen", &token).await.status, 401);
}

#[tokio::test]
async fn lists_come_in_pages_and_filters_are_substrings() {
    let bitbucket = bitbucket().await;
    let token = bitbucket.issue_token("asmith");
    let first = rest(&bitbucket, "users?filter=jcit&limit=1", &token).await.json();
    assert_eq!((&first["isLastPage"], &first["nextPageStart"]), (&false.into(), &1.into()));
    let second = rest(&bitbucket, "users?filter=jcit&limit=1&start=1", &token).await.json();
    assert_eq!(second["isLastPage"], true);
    let name = |page: &serde_json::Value| page["values"][0]["name"].clone();
    assert_eq!([name(&first), name(&second)], ["jcitizen", "jcit"]);
    let group = rest(&bitbucket, "users?group=codescan-admins", &token).await.json();
    assert_eq!((&group["size"], name(&group)), (&1.into(), "asmith".into()));
    let members = "admin/groups/more-members?context=salesforce-team&filter=jcitizen";
    assert_eq!(rest(&bitbucket, members, &token).await.json()["size"], 1);
}

#[tokio::test]
async fn not_allowed_is_a_401_that_names_the_person() {
    let bitbucket = bitbucket().await;
    let (jane, jo) = (bitbucket.issue_token("jcitizen"), bitbucket.issue_token("jcit"));
    assert_eq!(rest(&bitbucket, "projects/CORE/repos/billing", &jane).await.status, 200);
    assert_eq!(rest(&bitbucket, "projects/CORE/repos/none", &jane).await.status, 404);
    let refused = rest(&bitbucket, "projects/CORE", &jo).await;
    assert_eq!((refused.status.as_u16(), refused.header("x-ausername")), (401, Some("jcit")));
    let admin = "repos?projectkey=CORE&permission=REPO_ADMIN&limit=1";
    assert_eq!(rest(&bitbucket, admin, &jane).await.json()["size"], 0);
    let alex = bitbucket.issue_token("asmith");
    assert_eq!(rest(&bitbucket, admin, &alex).await.json()["size"], 1);
}

#[tokio::test]
async fn faults_limits_and_misdeeds() {
    let bitbucket = bitbucket().await;
    let token = bitbucket.issue_token("jcitizen");
    for (fault, status) in [
        (RestFault::Status(503), 503),
        (RestFault::TooManyRequests(None), 429),
        (RestFault::LoginRedirect, 302),
        (RestFault::Html200, 200),
    ] {
        bitbucket.faults(|faults| faults.users = fault);
        assert_eq!(rest(&bitbucket, "users/jcitizen", &token).await.status, status);
    }
    bitbucket.faults(|faults| {
        faults.rate_limit = Some(RateLimit { capacity: 1, per_second: 0, retry_after: Some(3) });
    });
    assert_eq!(whoami(&bitbucket, &token).await.status, 200);
    assert_eq!(whoami(&bitbucket, &token).await.header("retry-after"), Some("3"));
    let url = format!("{}/rest/api/1.0/application-properties", bitbucket.url());
    get(&url, &[("cookie", "BITBUCKETSESSIONID=x")]).await;
    assert_eq!((bitbucket.count(Call::CookieAtRest), bitbucket.count(Call::RateLimited)), (1, 1));
}

#[tokio::test]
async fn probes_of_the_installation() {
    let bitbucket = bitbucket().await;
    let base = bitbucket.url();
    assert_eq!(get(&format!("{base}/rest/oauth2/1.0/client"), &[]).await.status, 401);
    let outside = base.replace("/bitbucket", "/rest/oauth2/1.0/client");
    assert_eq!(get(&outside, &[]).await.status, 404);
    assert_eq!(get(&format!("{base}/status"), &[]).await.text(), r#"{"state":"RUNNING"}"#);
    let whoami = format!("{base}/plugins/servlet/applinks/whoami");
    let bearer = format!("Bearer {}", bitbucket.issue_token("jcitizen"));
    let bearer = [("authorization", bearer.as_str())];
    assert_eq!(get(&whoami, &bearer).await.status, 302);
    bitbucket.faults(|faults| faults.applinks_whoami = ApplinksWhoami::Plain);
    assert_eq!(get(&whoami, &bearer).await.text(), "jcitizen");
}
