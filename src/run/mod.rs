//! Carrying a timeline out: the executor, its clients and probes, and the record of all they saw.

pub mod event;
pub mod operation;
pub mod record;
pub mod request;
pub mod resolve;
pub mod resp;
pub mod task;
pub mod tell;
pub mod view;
pub mod world;
