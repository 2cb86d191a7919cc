//! The gateway between real clients and real services, all on loopback.

mod bodies;
mod connections;
mod echo;
mod grpc;
mod hygiene;
mod routes;
mod tls;
mod trouble;
mod upgrades;
mod world;
