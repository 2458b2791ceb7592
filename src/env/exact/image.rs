//! What a run rests on beside its timeline and this tool: the server's file, the C library's, the kernel.

use crate::env::Image;
use std::fs;
use std::path::{Path, PathBuf};

/// Hexadecimal digits of a digest that are told.
const DIGITS: usize = 16;

/// Of this machine, for this server. What cannot be read is told as empty.
pub fn image(server: &Path) -> Image {
    Image {
        server: digest(server),
        libc: libc().map_or_else(String::new, |path| digest(&path)),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_string(),
    }
}

fn digest(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| blake3::hash(&bytes).to_hex()[..DIGITS].to_string())
}

/// The C library of this process, which the loader gives to a server too.
fn libc() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    path.into_iter().find(|path| path.ends_with("/libc.so.6")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_the_server_the_c_library_and_the_kernel() {
        let image = image(Path::new("/proc/self/exe"));
        assert_eq!((image.server.len(), image.libc.len()), (DIGITS, DIGITS), "{image:?}");
        assert!(!image.kernel.is_empty());
        assert_eq!(super::image(Path::new("/nonexistent")).server, "");
    }
}
