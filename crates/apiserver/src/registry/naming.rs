//! Where the uids and generated names of new objects come from.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// The characters of Kubernetes' random names: no vowels, nothing that looks alike.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// A generated name is the base, cut to this, and five random characters.
const MAX_GENERATED_BASE: usize = 58;

/// What is random about new objects. Nothing secret comes from here.
pub(crate) enum Naming {
    /// As random as the system can be.
    Random,
    /// What follows from a seed.
    Seeded(Box<Mutex<StdRng>>),
}

impl Naming {
    /// `seed` is that of the server, if it has one: its clusters have different names all the same.
    pub(crate) fn new(seed: Option<u64>, cluster: &str) -> Self {
        let Some(seed) = seed else {
            return Self::Random;
        };
        let mixed = cluster.bytes().fold(seed, |mixed, byte| {
            mixed.rotate_left(8).wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
        });
        Self::Seeded(Box::new(Mutex::new(StdRng::seed_from_u64(mixed))))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut dyn RngCore) -> T) -> T {
        match self {
            Self::Random => draw(&mut rand::rng()),
            Self::Seeded(rng) => draw(&mut *rng.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// A new uid.
    pub(super) fn uid(&self) -> String {
        let bytes = self.with(|rng| rng.random());
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }

    /// `base` and five random characters.
    pub(super) fn generate(&self, base: &str) -> String {
        let mut end = base.len().min(MAX_GENERATED_BASE);
        while !base.is_char_boundary(end) {
            end -= 1;
        }
        let mut name = base[..end].to_owned();
        self.with(|rng| {
            for _ in 0..5 {
                name.push(char::from(
                    NAME_ALPHABET[rng.random_range(0..NAME_ALPHABET.len())],
                ));
            }
        });
        name
    }

    /// A number of the range, its end excluded.
    pub(crate) fn between(&self, range: std::ops::Range<u64>) -> u64 {
        self.with(|rng| rng.random_range(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_all_names_and_no_seed_tells_none() {
        let draw = |seed, cluster| {
            let naming = Naming::new(seed, cluster);
            format!("{} {}", naming.uid(), naming.generate("web-"))
        };
        assert_eq!(draw(Some(7), "a"), draw(Some(7), "a"));
        assert_ne!(draw(Some(7), "a"), draw(Some(8), "a"));
        assert_ne!(draw(Some(7), "a"), draw(Some(7), "b"));
        assert_ne!(draw(None, "a"), draw(None, "a"));
    }

    #[test]
    fn uids_are_random_uuids() {
        for naming in [Naming::new(Some(7), "a"), Naming::new(None, "a")] {
            let uid: uuid::Uuid = naming.uid().parse().unwrap();
            assert_eq!(uid.get_version_num(), 4);
        }
    }
}
