//! Attacks on JWTs, one test each. Where it can be, the same token without the attack is accepted in the same test, so
//! that nothing is refused by accident.

mod algorithm;
mod claims;
mod cve;
mod encoding;
mod fetch;
mod header;
mod id_token;
mod keys;
mod kind;
mod logout_token;
mod signature;
mod size;
mod time;
