//! Inputs made of a corpus: bytes changed, dropped, doubled, and parts of two put together.

use fastrand::Rng;

/// Bytes that parsers look for.
const TELLING: &[u8] = b"\r\n\t \0:;,=%/\\?#\"[].-_0159afAFxX\x7f\x80\xff";

/// Bytes of an input, about.
const LONGEST: usize = 4096;

pub struct Mutator {
    random: Rng,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self { random: Rng::with_seed(seed), corpus }
    }

    pub fn mutate(&mut self) -> Vec<u8> {
        let mut input = self.any();
        for _ in 0..self.random.usize(1..=4) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn any(&mut self) -> Vec<u8> {
        self.corpus[self.random.usize(..self.corpus.len())].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(..=input.len());
        let end = self.random.usize(at..=input.len());
        match self.random.u8(..7) {
            0 => input.insert(at, self.telling()),
            1 if at < input.len() => input[at] = self.telling(),
            2 if at < input.len() => input[at] ^= 1 << self.random.u8(..8),
            3 => drop(input.drain(at..end)),
            4 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            5 => input.truncate(at),
            _ => {
                let other = self.any();
                let from = self.random.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }

    fn telling(&mut self) -> u8 {
        TELLING[self.random.usize(..TELLING.len())]
    }
}
