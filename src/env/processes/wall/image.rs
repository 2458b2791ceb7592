//! The vDSO's image: which functions it offers, and where there is room behind them.
//!
//! It is an ELF file of 64 bits as the kernel maps it (`vdso(7)`). Programs find its functions by name, at their
//! start: to change an address in its table of symbols before that is to change what they call.

/// An address in the table of symbols, which is to be written over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    /// Where in the image the address stands.
    pub entry: usize,
    /// What it says: where in the image the function begins.
    pub value: u64,
}

const DYNSYM: u32 = 11;
/// An entry of the table of symbols.
const SYMBOL_BYTES: usize = 24;
const FUNCTION: u8 = 2;

/// A number of so many bytes; none beyond the end.
fn number(image: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let slice = image.get(at..at.checked_add(bytes)?)?;
    Some(slice.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Where something lies in the image: addresses in it count from its beginning, as do offsets.
fn place(image: &[u8], at: usize) -> Option<usize> {
    usize::try_from(number(image, at, 8)?).ok()
}

/// The functions that the image offers.
pub fn functions(image: &[u8]) -> Result<Vec<Symbol>, String> {
    // Class 64, little endian, x86-64.
    if image.get(..6) != Some(b"\x7fELF\x02\x01") || number(image, 18, 2) != Some(62) {
        return Err("its vDSO is not one of x86-64".into());
    }
    sections(image).ok_or_else(|| "its vDSO has no table of symbols".into())
}

fn sections(image: &[u8]) -> Option<Vec<Symbol>> {
    let (first, size, count) =
        (place(image, 40)?, number(image, 58, 2)? as usize, number(image, 60, 2)? as usize);
    let header = |index: usize| first.checked_add(index.checked_mul(size)?);
    let kind = |at: usize| number(image, at + 4, 4).map(|kind| kind as u32);
    let table = (0..count).filter_map(header).find(|at| kind(*at) == Some(DYNSYM))?;
    let (symbols, bytes) = (place(image, table + 24)?, place(image, table + 32)?);
    let names = place(image, header(number(image, table + 40, 4)? as usize)? + 24)?;
    let symbol = |entry: usize| {
        let name = names.checked_add(number(image, entry, 4)? as usize)?;
        let text = image.get(name..)?.split(|byte| *byte == 0).next()?;
        let value = number(image, entry + 8, 8)?;
        let is_function = image.get(entry + 4)? & 0xf == FUNCTION;
        is_function.then(|| Symbol {
            name: String::from_utf8_lossy(text).into_owned(),
            entry: entry + 8,
            value,
        })
    };
    Some((0..bytes / SYMBOL_BYTES).filter_map(|index| symbol(symbols + index * SYMBOL_BYTES)).collect())
}

/// Room for so many bytes behind all that the image uses: its last page is filled with zeros.
pub fn room(image: &[u8], bytes: usize) -> Option<usize> {
    let used = image.iter().rposition(|byte| *byte != 0)? + 1;
    // Behind a table of sections or a function that ends in zeros.
    let at = (used + 64).next_multiple_of(64);
    (at + bytes <= image.len()).then_some(at)
}

/// Where the image has the machine's instruction for a system call.
pub fn system_call(image: &[u8]) -> Option<usize> {
    image.windows(2).position(|two| two == [0x0f, 0x05])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    /// The vDSO of this process, which nobody has changed.
    fn own() -> Vec<u8> {
        let maps = fs::read_to_string("/proc/self/maps").expect("readable");
        let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("the kernel maps one");
        let (base, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let address = |text| u64::from_str_radix(text, 16).expect("a number");
        let mut image = vec![0; (address(end) - address(base)) as usize];
        let memory = File::open("/proc/self/mem").expect("our own");
        memory.read_exact_at(&mut image, address(base)).expect("mapped");
        image
    }

    #[test]
    fn the_functions_and_the_room_behind_them_are_found() {
        let image = own();
        let functions = functions(&image).expect("one of x86-64");
        for name in ["clock_gettime", "gettimeofday", "time"] {
            let values: Vec<u64> = functions
                .iter()
                .filter(|symbol| symbol.name == name || symbol.name == format!("__vdso_{name}"))
                .map(|symbol| symbol.value)
                .collect();
            assert!(values.len() == 2 && values[0] == values[1], "{name}: {functions:?}");
        }
        let room = room(&image, 512).expect("the last page is not full");
        assert!(
            functions.iter().all(|symbol| symbol.value < room as u64 && symbol.entry < room),
            "{functions:?}"
        );
        assert!(image[room..].iter().all(|byte| *byte == 0));
        assert!(system_call(&image).is_some());
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let image = own();
        for part in [0, 3, 17, 40, 63] {
            assert!(functions(&image[..part]).is_err(), "{part} bytes");
        }
        // Of another machine, and of 32 bits.
        for (place, byte) in [(18, 183), (4, 1)] {
            let mut other = image.clone();
            other[place] = byte;
            assert!(functions(&other).is_err());
        }
        assert_eq!(room(&image, image.len()), None);
    }
}
