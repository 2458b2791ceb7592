//! Transactions of appends to and reads of lists, claimed to be isolated: `[["append", "x", 1], ["r", "x", [1]]]`.
//!
//! Defined by Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB
//! 2020); names of anomalies and models are those of the public repository jepsen-io/elle. Elements are unique per
//! key, keys begin empty. The claim is `strict-serializable` unless another is named.

use super::Model;

pub const MODEL: Model = Model {
    name: "list-append",
    claim: "transactions of list appends and reads are isolated as the claimed consistency model says",
    judge: crate::txn::list_append,
};
