//! Carrying a timeline out: the executor, its clients and probes, and the record of all they saw.

#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod child;
pub mod client;
mod clocks;
mod damage;
pub mod event;
pub mod execute;
mod links;
pub mod load;
pub mod look;
pub mod marks;
pub mod operation;
pub mod plan;
pub mod probe;
pub mod record;
pub mod request;
pub mod resolve;
mod resources;
pub mod resp;
pub mod rest;
mod rhythm;
pub mod settle;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod stop;
pub mod strike;
mod strike_links;
pub mod task;
pub mod tell;
pub mod view;
pub mod workload;
pub mod world;
