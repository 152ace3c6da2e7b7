//! The corners of a refresh, and who meets in them.

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::*;
use crate::bitbucket::TokenSet;
use crate::bitbucket::testing::{Server, client, json, settings as link};
use crate::config::settings::Bitbucket;
use crate::secret::Secret;
use crate::session::Lifetimes;
use crate::session::id::SessionId;

fn session(refresh: Option<&str>) -> (Sessions, Arc<Session>, Instant) {
    let sessions = Sessions::in_memory(10, Box::new(|_| {}), Handle::current());
    let set = TokenSet {
        access_token: Secret::new("a"),
        refresh_token: refresh.map(Secret::new),
        expires_in: Duration::from_hours(1),
        scopes: Vec::new(),
    };
    let (id, now) = (SessionId::generate(), Instant::now());
    let session = Session::new(&id, None, Tokens::new(set, now), now, None);
    let session = sessions.held.insert(session);
    (sessions, session, now)
}

#[tokio::test]
async fn the_session_outlives_its_token_if_that_can_be_renewed() {
    let hours = Duration::from_hours;
    let lifetimes = Lifetimes { idle: hours(1), absolute: hours(8) };
    let almost = Duration::from_secs(3599);
    for (refresh, outlives) in [(Some("r"), true), (None, false)] {
        let (_sessions, session, now) = session(refresh);
        let after = now + Duration::from_hours(1);
        session.last_used.store(600, Ordering::Relaxed);
        assert!(session.has_good_token(now + almost) && !session.has_good_token(after));
        assert_eq!(session.is_live(lifetimes, after), outlives);
    }
}

#[tokio::test]
async fn after_a_sleep_tokens_are_older() {
    let (_sessions, session, now) = session(Some("r"));
    session.age(Duration::from_mins(50));
    assert!(session.has_good_token(now + Duration::from_secs(599)));
    assert!(!session.has_good_token(now + Duration::from_mins(10)));
    assert_eq!(session.tokens().generation, 0);
    session.age(Duration::from_hours(2));
    assert!(!session.has_good_token(now) && !session.has_ended());
}

#[tokio::test]
async fn an_older_pair_never_takes_a_newer_ones_place() {
    let (_sessions, session, now) = session(Some("r"));
    let set = |access: &str| TokenSet {
        access_token: Secret::new(access),
        refresh_token: Some(Secret::new("r")),
        expires_in: Duration::from_hours(1),
        scopes: Vec::new(),
    };
    let old = Arc::clone(&session.tokens());
    let first = old.followed_by(set("first"), now);
    session.store(first.followed_by(set("second"), now));
    session.store(first);
    session.store(old.followed_by(set("late"), now));
    assert_eq!(session.tokens().access.expose(), "second");
}

/// Hands out the pairs a1 and r1, a2 and r2 and so on, whoever asks.
async fn bitbucket(pairs: usize) -> Server {
    Server::start((1..=pairs).map(|number| {
        let pair = format!(r#"{{"access_token":"a{number}","refresh_token":"r{number}"}}"#);
        json(200, "", &pair)
    }))
    .await
}

fn refresher(server: &Server, sessions: Sessions) -> Arc<Refresher> {
    let link = Bitbucket { whoami_url: None, ..link(&server.base()) };
    let bitbucket = client(&link);
    let terms = move || {
        let (timeout, refresh_before) = (Duration::from_secs(15), Duration::from_mins(5));
        Some(Terms { bitbucket: bitbucket.clone(), timeout, refresh_before })
    };
    let metrics = Arc::new(Metrics::new(1));
    Arc::new(Refresher::new(Arc::new(sessions), metrics, Box::new(terms)))
}

/// What was presented, in the order of arrival.
fn refresh_tokens(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let sent = requests.iter().filter_map(|request| request.split_once("&refresh_token="));
    sent.map(|(_, rest)| rest.split('&').next().unwrap_or_default().to_owned()).collect()
}

/// One step of somebody who uses the session; which, `dice` say.
async fn step(refresher: &Arc<Refresher>, session: &Arc<Session>, dice: &mut fastrand::Rng) {
    match dice.u8(..16) {
        0 => session.age(Duration::from_mins(61)),
        1 => session.age(Duration::from_mins(56)),
        2 | 3 => {
            let stale = session.tokens().generation;
            // In vain only if the refresh that brought just these is not quite over.
            refresher.renew(session, stale).await;
        }
        4 => session.settled().await,
        // Dropped half-way, as when a client leaves.
        5 | 6 => drop(timeout(Duration::ZERO, refresher.ready(session)).await),
        7..=10 => {
            let _waiting = refresher.request(session);
            tokio::task::yield_now().await;
        }
        _ => {
            refresher.ready(session).await.expect("a token");
            refresher.used(session);
        }
    }
}

/// Eight at a time, with the queue of those that come due beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_refresh_token_is_ever_sent_twice_whoever_asks_when() {
    const MOST: usize = 4000;
    let seed = fastrand::u64(..);
    let (sessions, session, _) = session(Some("r0"));
    let server = bitbucket(MOST).await;
    let refresher = refresher(&server, sessions);
    let ahead = tokio::spawn(Arc::clone(&refresher).keep_refreshing());
    let mut crowd = JoinSet::new();
    for number in 0..8 {
        let (refresher, session) = (Arc::clone(&refresher), Arc::clone(&session));
        crowd.spawn(async move {
            let mut dice = fastrand::Rng::with_seed(seed.wrapping_add(number));
            for _ in 0..300 {
                step(&refresher, &session, &mut dice).await;
            }
        });
    }
    crowd.join_all().await;
    ahead.abort();
    session.settled().await;
    let sent = refresh_tokens(&server);
    let expected: Vec<_> = (0..sent.len()).map(|number| format!("r{number}")).collect();
    assert_eq!(sent, expected, "seed {seed}");
    assert!((100..MOST).contains(&sent.len()), "{}", sent.len());
    assert_eq!(session.tokens().generation, sent.len() as u64);
    assert_eq!(session.in_flight.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn those_who_come_late_with_an_old_token_get_the_new_one() {
    let (sessions, session, _) = session(Some("r0"));
    let server = bitbucket(2).await;
    let refresher = refresher(&server, sessions);
    assert!(refresher.renew(&session, 0).await);
    assert!(refresher.renew(&session, 0).await, "it is there already");
    assert_eq!(refresh_tokens(&server), ["r0"]);
    assert!(refresher.renew(&session, 1).await);
    assert_eq!(refresh_tokens(&server), ["r0", "r1"]);
}

#[tokio::test]
async fn a_request_that_outlasts_the_refresh_it_held_back_begins_no_other() {
    let (sessions, session, _) = session(Some("r0"));
    let server = bitbucket(2).await;
    let refresher = refresher(&server, sessions);
    session.age(Duration::from_mins(56));
    let request = refresher.request(&session);
    assert!(refresher.renew(&session, 0).await);
    session.settled().await;
    // As if the queue had come to it while the refresh was under way.
    refresher.used(&session);
    session.awaited.store(1, Ordering::SeqCst);
    drop(request);
    session.settled().await;
    assert_eq!(refresh_tokens(&server), ["r0"]);
    assert_eq!(session.awaited.load(Ordering::SeqCst), 0);
}
