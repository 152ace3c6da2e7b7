//! The house is as the texts about it say: its arrows point one way, and what it is told by is
//! there.

mod arrows;
mod texts;
mod tree;
