//! Public keys of the right form that protect nothing.

/// Primes, and the order of 65537 modulo each where that is less than all. The ROCA keys' primes are powers of 65537 plus
/// multiples of these (CVE-2017-15361), so the modulus is a power of 65537 modulo each of them.
const ROCA: [(u32, u32); 17] = [
    (11, 2),
    (13, 6),
    (17, 8),
    (19, 9),
    (37, 3),
    (53, 26),
    (61, 20),
    (71, 35),
    (73, 24),
    (79, 13),
    (97, 6),
    (103, 51),
    (107, 53),
    (109, 54),
    (127, 42),
    (151, 50),
    (157, 78),
];

/// Whether the modulus is that of a key whose primes can be found (CVE-2017-15361). Of other keys one in 2^27 is taken
/// for one.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    ROCA.iter().all(|&(prime, order)| {
        let rest = modulus.iter().fold(0, |rest, octet| (rest << 8 | u32::from(*octet)) % prime);
        // A cyclic group: exactly the powers of 65537 become 1.
        (0..order).fold(1, |power, _| power * rest % prime) == 1
    })
}

/// y of the Ed25519 points whose order divides 8, little-endian, also where it is not reduced modulo 2^255 - 19.
const SMALL_ORDER: [[u8; 32]; 7] = [
    near(0, 0, 0),
    near(1, 0, 0),
    near(0xec, 0xff, 0x7f),
    near(0xed, 0xff, 0x7f),
    near(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn near(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut octets = [middle; 32];
    octets[0] = first;
    octets[31] = last;
    octets
}

/// Whether this Ed25519 public key has a small order: then there is a signature that fits every message or every eighth.
pub(super) fn is_small_order(public: &[u8]) -> bool {
    // The last bit is the sign of x.
    let same = |y: &[u8; 32]| public.len() == 32 && public[..31] == y[..31] && public[31] & 0x7f == y[31];
    SMALL_ORDER.iter().any(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_orders() {
        assert!(is_small_order(&near(1, 0, 0x80)) && is_small_order(&near(0xec, 0xff, 0xff)));
        assert!(!is_small_order(&near(2, 0, 0)) && !is_small_order(&near(1, 1, 0)) && !is_small_order(&[0; 31]));
    }

    /// 65537 itself is a power of 65537; three times it is none.
    #[test]
    fn roca() {
        assert!(is_roca(&[1, 0, 1]) && is_roca(&[1]));
        assert!(!is_roca(&[3, 0, 3]) && !is_roca(&[0]) && !is_roca(&[]));
    }
}
