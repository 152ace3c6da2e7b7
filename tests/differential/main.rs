//! Thousands of random exchanges, each made once with the upstream itself and once through the
//! proxy, and compared: bodies byte for byte, heads field by field against a model of the
//! contract's rules. And the client of our own towards `CodeScan` beside hyper's.
//!
//! `DIFFERENTIAL_SEED` repeats a run, `DIFFERENTIAL_EXCHANGES` says how many there are for each
//! pair of protocols.

#![allow(clippy::print_stdout, reason = "a seed is there to be seen")]

#[allow(dead_code, reason = "the harness is shared, and this is one of its users")]
#[path = "../front_door/harness/mod.rs"]
mod harness;

mod answers;
mod certificate;
mod compare;
mod generate;
mod http1;
mod http2;
mod message;
mod model;
mod model_trailers;
mod pairs;
mod upstream;

use fastrand::Rng;

use message::{Answer, Body, Fields, Framing, Request};
use pairs::{BACKS, Back, FRONTS, Front, Place};

/// Exchanges for each pair of protocols.
const EXCHANGES: u64 = 250;

/// Connections at a time.
const LANES: u64 = 4;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[tokio::test]
async fn through_the_proxy_is_as_without_but_for_the_contract() {
    let seed = setting("DIFFERENTIAL_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("DIFFERENTIAL_SEED={seed}");
    for back in BACKS {
        for encrypted in [false, true] {
            let place = Place::set(*back, encrypted).await;
            for front in FRONTS.iter().filter(|front| front.is_encrypted() == encrypted) {
                pair(&place, *front, *back, seed).await;
            }
        }
    }
}

async fn pair(place: &Place, front: Front, back: Back, seed: u64) {
    let count = setting("DIFFERENTIAL_EXCHANGES").unwrap_or(EXCHANGES);
    let lane = |number: u64| async move {
        let mut client = place.client(front).await;
        for exchange in (number..count).step_by(usize::try_from(LANES).expect("few")) {
            let mut random = Rng::with_seed(seed ^ (exchange << 8));
            let (request, answer) = generate::exchange(&mut random, front, back, exchange);
            if let Err(what) = compare::exchange(place, &mut client, front, &request, &answer).await
            {
                panic!(
                    "{front:?} to {back:?}, exchange {exchange} of DIFFERENTIAL_SEED={seed}: \
                     {what}\n{request:?}\n{answer:?}"
                );
            }
        }
    };
    futures_util::future::join_all((0..LANES).map(lane)).await;
}

/// Found by the exchanges above: hyper does not shut down a connection on which anybody asked for
/// an upgrade, and without TLS's own end a body until the end seems cut short.
#[tokio::test]
async fn a_refused_upgrade_does_not_spoil_the_end_of_its_connection() {
    let place = Place::set(Back::Http1, true).await;
    let mut client = place.client(Front::Http1Tls).await;
    let asked = Fields::from([("Upgrade".to_owned(), b"h2c".to_vec())]);
    let until_close = Framing::UntilClose;
    for (number, fields, is_old, framing) in
        [("1", asked, false, Framing::Length), ("2", Fields::new(), true, until_close)]
    {
        let request = Request { is_old, ..Request::get("/public/a", fields) }.in_exchange(number);
        let body = Body { bytes: b"all of it".to_vec(), framing, trailers: Fields::new() };
        let answer = Answer { status: 200, fields: Fields::new(), body, hints: false };
        let same = compare::exchange(&place, &mut client, Front::Http1Tls, &request, &answer).await;
        assert_eq!(same, Ok(()), "exchange {number}");
    }
}
