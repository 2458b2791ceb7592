//! The guard of the environment `exact`: a program that gets at the real world around the shim ends with the name of
//! the call in its log, one that keeps to the C library's functions does not notice, and one that never gives its turn
//! back is told to hang, and where.
#![cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]

use seedfault::entropy::{Entropy, Seed};
use seedfault::env::exact::{ExactEnv, Options};
use seedfault::env::{ActorId, Effect, Env, Exit, Input, NodeAction, NodeId, NodeSpec, Observed, Trouble};
use seedfault::fault::restart::RestartData;
use seedfault::time::Micros;
use seedfault::timeline::Policy;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Does what its first argument says.
const PROGRAM: &str = r#"
use std::arch::asm;
unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
    fn getauxval(kind: u64) -> u64;
    fn dlsym(handle: *mut u8, name: *const u8) -> *mut u8;
    fn dlopen(name: *const u8, flags: i32) -> *mut u8;
    fn clock_gettime(clock: i32, out: *mut [i64; 2]) -> i32;
    fn getrandom(out: *mut u8, length: usize, flags: u32) -> isize;
    fn usleep(micros: u32) -> i32;
}
fn main() {
    let mut room = [0i64; 64];
    let mut now = [0i64; 2];
    unsafe {
        match std::env::args().nth(1).unwrap().as_str() {
            "well-behaved" => {
                clock_gettime(1, &mut now);
                usleep(1_000_000);
                let before = now;
                clock_gettime(1, &mut now);
                getrandom(room.as_mut_ptr().cast(), 8, 0);
                println!("slept {} drew {:x}", (now[0] - before[0]) * 1_000_000 + (now[1] - before[1]) / 1000, room[0]);
            }
            "libc" => { syscall(228, 1, &mut room); }
            "inline" => { asm!("syscall", inout("rax") 318i64 => _, in("rdi") &mut room, in("rsi") 8, in("rdx") 0,
                                out("rcx") _, out("r11") _); }
            "sleep" => { syscall(35, &[0i64, 1000], 0); }
            "connect" => { syscall(42, 0, 0, 0); }
            "vdso" => {
                // As the C library does it: by the function's place in the vdso.
                let begin = getauxval(33);
                let vdso = dlopen(b"linux-vdso.so.1\0".as_ptr(), 2);
                assert!(begin != 0 && !vdso.is_null());
                let time = dlsym(vdso, b"__vdso_clock_gettime\0".as_ptr());
                let time: extern "C" fn(i32, *mut [i64; 2]) -> i32 = std::mem::transmute(time);
                time(1, &mut now);
            }
            "rdtsc" => { let low: u32; asm!("rdtsc", out("eax") low, out("edx") _); println!("{low}"); }
            "spin" => { #[inline(never)] fn spins_for_ever() { loop { std::hint::black_box(()); } } spins_for_ever() }
            other => panic!("{other}"),
        }
    }
    println!("went through");
}
"#;

/// How a program ends that does this, and what it said.
fn end(program: &Path, folder: &Path, what: &str) -> (Exit, String, Option<Trouble>) {
    let options = Options {
        dir: folder.join(what).join("nodes"),
        server: program.into(),
        base_port: None,
        key: Entropy::root(Seed(1)),
        policy: Policy::Random,
        order: 0,
        keep_data: false,
        trace: None,
        pcap: None,
        pin: false,
        turn_max: Duration::from_millis(300),
        stop: None,
    };
    let mut env = ExactEnv::new(options).expect("memory and a folder can be had");
    let argv = vec![program.to_string_lossy().into_owned(), what.to_string()];
    let spec = NodeSpec { argv, ..NodeSpec::default() };
    let node = NodeId(0);
    env.submit(ActorId(1), Effect::Node(node, NodeAction::Create(spec)));
    env.submit(ActorId(1), Effect::Node(node, NodeAction::Start(RestartData::Kept)));
    let (mut out, mut said) = (Vec::new(), String::new());
    while env.now() < Micros(10_000_000) {
        env.step(Micros(10_000_000), &mut out);
        for (_, _, input) in out.drain(..) {
            match input {
                Input::Observed(Observed::Log { line, .. }) => said += &(line + "\n"),
                Input::Observed(Observed::Exited { exit, .. }) => {
                    return (exit, said, env.trouble().cloned());
                }
                _ => {}
            }
        }
    }
    panic!("{what}: it does not end; it said {said:?}");
}

#[test]
fn what_gets_at_the_real_world_around_the_shim_is_ended_by_name_and_what_hangs_by_its_stack() {
    let folder = std::env::temp_dir().join(format!("seedfault-guard-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("writable");
    let (source, program) = (folder.join("program.rs"), folder.join("program"));
    std::fs::write(&source, PROGRAM).expect("writable");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2021", "-o"])
        .arg(&program)
        .arg(&source)
        .output()
        .expect("the compiler that built this test is there");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let (exit, said, trouble) = end(&program, &folder, "well-behaved");
    assert_eq!(exit, Exit::Code(0), "{said}");
    assert_eq!(trouble, None);
    assert!(said.contains("slept 1000") && said.contains("went through"), "{said}");
    for (what, call) in [
        ("libc", "clock_gettime"),
        ("inline", "getrandom"),
        ("sleep", "nanosleep"),
        ("connect", "connect"),
        ("vdso", "clock_gettime"),
    ] {
        let (exit, said, trouble) = end(&program, &folder, what);
        assert_eq!(exit, Exit::Code(70), "{what}: {said}");
        assert!(said.contains(&format!("seedfault: the server called `{call}` around the shim")), "{said}");
        assert!(!said.contains("went through"), "{said}");
        assert!(matches!(trouble, Some(Trouble::Leak { node: NodeId(0), .. })), "{trouble:?}");
    }
    let (exit, said, _) = end(&program, &folder, "rdtsc");
    assert_eq!(exit, Exit::Signal(11), "{said}");

    let (exit, said, trouble) = end(&program, &folder, "spin");
    assert_eq!(exit, Exit::Signal(9), "{said}");
    let Some(Trouble::Hang { node: NodeId(0), why, stack }) = trouble else { panic!("{trouble:?}") };
    assert!(why.contains("works and does not come back"), "{why}");
    // Named where there is a debugger; without one the kernel says where the program is.
    let debugger = Command::new("gdb").arg("--version").output().is_ok();
    assert!(!debugger || why.contains("spins_for_ever"), "{why} {stack:#?}");
    assert!(!stack.is_empty());
    std::fs::remove_dir_all(folder).expect("it is ours");
}
