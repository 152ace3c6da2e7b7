//! What the program tells about itself: metrics, log lines, signs of life.
//!
//! Everybody may use this room; it knows no other but the types of the settings.

pub mod access_log;
mod escape;
pub mod liveness;
mod log_queue;
pub mod login_watch;
pub mod logs;
pub mod metrics;
mod process;
mod timestamp;
pub mod worker_metrics;
