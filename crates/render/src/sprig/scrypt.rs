//! scrypt (RFC 7914) with the parameters of the Master Password algorithm: N 32768, r 8, p 2, 64 bytes.

use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;

const N: usize = 32_768;
const R: usize = 8;
const P: usize = 2;
/// Words in a block of 128 × r bytes.
const WORDS: usize = 32 * R;

/// Derives a key.
pub(super) fn derive(password: &[u8], salt: &[u8]) -> [u8; 64] {
    let mut blocks = vec![0; P * WORDS * 4];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::MIN,
        salt,
        password,
        &mut blocks,
    );
    for block in blocks.chunks_exact_mut(WORDS * 4) {
        mix(block);
    }
    let mut key = [0; 64];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::MIN,
        &blocks,
        password,
        &mut key,
    );
    key
}

/// scryptROMix.
fn mix(block: &mut [u8]) {
    let mut x: Vec<u32> = block
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let mut memory = vec![0u32; N * WORDS];
    let mut scratch = vec![0u32; WORDS];
    for row in memory.chunks_exact_mut(WORDS) {
        row.copy_from_slice(&x);
        block_mix(&mut x, &mut scratch);
    }
    for _ in 0..N {
        let row = x[WORDS - 16] as usize % N;
        for (word, old) in x.iter_mut().zip(&memory[row * WORDS..]) {
            *word ^= old;
        }
        block_mix(&mut x, &mut scratch);
    }
    for (bytes, word) in block.chunks_exact_mut(4).zip(&x) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// scryptBlockMix: even parts to the front, odd parts to the back.
fn block_mix(x: &mut [u32], scratch: &mut [u32]) {
    let mut state = [0u32; 16];
    state.copy_from_slice(&x[WORDS - 16..]);
    for (i, part) in x.chunks_exact(16).enumerate() {
        for (word, new) in state.iter_mut().zip(part) {
            *word ^= new;
        }
        salsa8(&mut state);
        let to = (i / 2 + i % 2 * R) * 16;
        scratch[to..to + 16].copy_from_slice(&state);
    }
    x.copy_from_slice(scratch);
}

/// Salsa20/8.
fn salsa8(state: &mut [u32; 16]) {
    const ROUNDS: [[usize; 4]; 8] = [
        [4, 0, 12, 8],
        [9, 5, 1, 13],
        [14, 10, 6, 2],
        [3, 15, 11, 7],
        [1, 0, 3, 2],
        [6, 5, 4, 7],
        [11, 10, 9, 8],
        [12, 15, 14, 13],
    ];
    let mut x = *state;
    for _ in 0..4 {
        // Columns, then rows: each quarter's words in the order in which they change.
        for [b, a, d, c] in ROUNDS {
            x[b] ^= x[a].wrapping_add(x[d]).rotate_left(7);
            x[c] ^= x[b].wrapping_add(x[a]).rotate_left(9);
            x[d] ^= x[c].wrapping_add(x[b]).rotate_left(13);
            x[a] ^= x[d].wrapping_add(x[c]).rotate_left(18);
        }
    }
    for (word, new) in state.iter_mut().zip(x) {
        *word = word.wrapping_add(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salsa_of_the_rfc() {
        let read = |hex_text: &str| -> [u32; 16] {
            let bytes = hex::decode(hex_text).unwrap();
            std::array::from_fn(|i| u32::from_le_bytes(bytes[i * 4..i * 4 + 4].try_into().unwrap()))
        };
        let mut state = read(
            "7e879a214f3ec9867ca940e641718f26baee555b8c61c1b50df846116dcd3b1dee24f319df9b3d8514121e4b5ac5aa3276021d2909c74829edebc68db8b8c25e",
        );
        salsa8(&mut state);
        let want = read(
            "a41f859c6608cc993b81cacb020cef05044b2181a2fd337dfd7b1c6396682f29b4393168e3c9e6bcfe6bc5b7a06d96bae424cc102c91745c24ad673dc7618f81",
        );
        assert_eq!(state, want);
    }
}
