//! Two judges of the same transactions: the search for cycles finds nothing wrong where some order of the
//! transactions explains every read.
#![no_main]

use judge::generate::txn::from_bytes;
use judge::txn::brute::has_serial_order;
use judge::txn::mops::Mops;
use judge::{Answer, Budget, Options};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let history = from_bytes(bytes);
    let budget = Budget::default();
    let mops = Mops::read(&history, "append", &budget).expect("transactions");
    for (strict, claim) in [(false, "serializable"), (true, "strict-serializable")] {
        let options = Options { consistency_models: Some(vec![claim.into()]), ..Options::default() };
        let verdict = judge::txn::list_append(&history, &options, &budget).expect("it fits");
        let ordered = has_serial_order(&history, &mops, true, strict);
        assert!(!(verdict.answer == Answer::Bad && ordered), "{claim}: {verdict:#?}");
    }
});
