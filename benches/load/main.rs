//! The load of `benches/compare` where wrk cannot make it: TLS, HTTP/2, a connection for each
//! request, bodies both ways, and a fixed rate.
//!
//! ```text
//! load origin=https://127.0.0.1:8443 path=/ cookies=FILE ca=FILE seconds=3 …
//! ```
//!
//! [`plan`] has the words it takes. It opens its connections, prints `ready`, waits for a line of
//! input, so that only the load itself is measured, and prints one line of JSON at the end. An
//! answer that is not a 2xx, or an error of a connection, ends it with exit code 1.
#![allow(clippy::print_stdout, reason = "its output is read by the script that starts it")]

mod dial;
mod drive;
mod http1;
mod http2;
mod lane;
mod plan;
mod tally;

use std::error::Error;
use std::io;
use std::sync::Arc;

use lane::Lane;
use plan::Plan;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.is_empty() {
        println!("this is started by benches/compare");
        return Ok(());
    }
    let plan = Arc::new(Plan::read(&words)?);
    let lanes = Lane::open_all(&plan).await?;
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    let tally = drive::run(&plan, lanes).await?;
    println!("{}", tally.json());
    Ok(())
}
