//! Carrying a timeline out: the executor, its clients and probes, and the record of all they saw.

pub mod event;
pub mod record;
pub mod request;
pub mod view;
