//! `fuzz schema`: the JSON schema of the scenario language, as `dsl/schema.json` holds it.

use super::console::print;
use super::exit::Code;

pub fn main() -> super::Done {
    print(&format!("{:#}\n", crate::spec::schema::schema()));
    Ok(Code::Passed)
}
