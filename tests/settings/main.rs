//! Settings: where they come from, what they mean, and what is said when they are wrong.

mod combinations;
mod command_line;
mod example_file;
mod faults;
mod headers;
mod reference;
mod reload;
mod rules;
mod secrecy;
mod sources;
mod support;
mod values;
