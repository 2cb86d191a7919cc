//! Published vectors, all of each set: how many there are is asserted, so that none can go missing.

mod primitives;
mod rfc;
mod wycheproof_jwk;
mod wycheproof_jws;
