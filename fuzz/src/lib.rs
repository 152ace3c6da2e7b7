//! What must hold for each parser that is ours, whatever bytes it gets.
//!
//! Each target is a plain function that panics where something does not hold. libFuzzer calls
//! them (`fuzz_targets`), and `tests/fuzz_corpus` replays what was found in every ordinary run.

pub mod answers;
pub mod connections;
pub mod cookies;
pub mod fields;
pub mod places;
pub mod requests;
pub mod settings;

/// Takes bytes, and panics where something does not hold.
pub type Target = fn(&[u8]);

/// All targets by name; the corpus of each is in the folder of that name.
pub const TARGETS: [(&str, Target); 12] = [
    ("answer_head", answers::head),
    ("answer_framing", answers::framing),
    ("answer_chunks", answers::chunks),
    ("request_heads", requests::heads),
    ("proxy_header", connections::proxy_header),
    ("frames", connections::frames),
    ("cookies", cookies::cut_out),
    ("public_path", places::public_path),
    ("return_to", places::return_to),
    ("forwarded", fields::forwarded),
    ("accept", fields::accept),
    ("settings_values", settings::values),
];

/// The bytes in pieces; the first byte says of what size.
fn in_pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let size = data.first().map_or(1, |byte| usize::from(byte % 17) + 1);
    data.chunks(size)
}
