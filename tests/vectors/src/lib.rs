//! Tests of the verifier with everything that was published against JWT libraries: the vectors of the RFCs and of
//! Wycheproof (`vectors`), and the attacks, one test each (`attacks`). There is no code here but tests.
//!
//! `scripts/setup.sh` fetches Wycheproof's JSON Web vectors; without them their tests fail.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod signer;
#[cfg(test)]
mod vectors;
