//! Transactions of writes to and reads of registers, claimed to be isolated: `[["w", "x", 1], ["r", "x", 1]]`.
//!
//! Defined by Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB
//! 2020), section 5, with the options of the public repository jepsen-io/elle for what may be inferred of the order
//! of versions. Values are unique per key, keys begin as nil. The claim is `strict-serializable` unless another is
//! named.

use super::Model;

pub const MODEL: Model = Model {
    name: "rw-register",
    claim: "transactions of register writes and reads are isolated as the claimed consistency model says",
    judge: crate::txn::rw_register,
};
