//! The code that stands between a process and its vDSO: three functions that ask the kernel's own ones and then
//! move what they say.
//!
//! They are position independent and copied from here into the process, behind its vDSO's image. Three words at the
//! end say where the kernel's functions are and where the [`page`](super::page) is. Only the wall clock is moved
//! (`CLOCK_REALTIME` and its coarse form): every other clock is a jump to the kernel's function, as cheap as before.

// The wall clock of a moment, in nanoseconds, is `true + offset + (true - base) * lean / 100`, after the line that the
// page's first byte names: each is 32 bytes, the first at 64.
#[expect(unsafe_code, reason = "it is data here; it runs in other processes alone")]
mod code {
    std::arch::global_asm!(
        ".pushsection .rodata.seedfault_wall, \"a\"",
        ".balign 16",
        ".globl seedfault_wall_begin",
        ".hidden seedfault_wall_begin",
        ".globl seedfault_wall_clock_gettime",
        ".hidden seedfault_wall_clock_gettime",
        ".globl seedfault_wall_gettimeofday",
        ".hidden seedfault_wall_gettimeofday",
        ".globl seedfault_wall_time",
        ".hidden seedfault_wall_time",
        ".globl seedfault_wall_real_clock_gettime",
        ".hidden seedfault_wall_real_clock_gettime",
        ".globl seedfault_wall_end",
        ".hidden seedfault_wall_end",
        "seedfault_wall_begin:",
        // int clock_gettime(clockid_t edi, struct timespec *rsi)
        "seedfault_wall_clock_gettime:",
        "cmp edi, 0",
        "je 7f",
        "cmp edi, 5",
        "je 7f",
        "jmp [rip + seedfault_wall_real_clock_gettime]",
        "7: push rsi",
        "call [rip + seedfault_wall_real_clock_gettime]",
        "pop rsi",
        "test eax, eax",
        "jnz 2f",
        "mov rax, [rsi]",
        "imul rax, rax, 1000000000",
        "add rax, [rsi + 8]",
        "call 9f",
        "mov [rsi], rax",
        "mov [rsi + 8], rdx",
        "xor eax, eax",
        "2: ret",
        // int gettimeofday(struct timeval *rdi, struct timezone *rsi): the kernel's own may be asked for a time zone alone.
        ".balign 16",
        "seedfault_wall_gettimeofday:",
        "push rdi",
        "call [rip + seedfault_wall_real_gettimeofday]",
        "pop rdi",
        "test eax, eax",
        "jnz 3f",
        "test rdi, rdi",
        "jz 3f",
        "mov rax, [rdi]",
        "imul rax, rax, 1000000000",
        "imul rcx, [rdi + 8], 1000",
        "add rax, rcx",
        "call 9f",
        "mov [rdi], rax",
        "mov eax, edx",
        "xor edx, edx",
        "mov ecx, 1000",
        "div ecx",
        "mov [rdi + 8], rax",
        "xor eax, eax",
        "3: ret",
        // time_t time(time_t *rdi): the kernel's own has lost the fraction that decides when the second ends.
        ".balign 16",
        "seedfault_wall_time:",
        "push rdi",
        "sub rsp, 16",
        "mov edi, 5",
        "mov rsi, rsp",
        "call [rip + seedfault_wall_real_clock_gettime]",
        "mov rax, [rsp]",
        "imul rax, rax, 1000000000",
        "add rax, [rsp + 8]",
        "add rsp, 16",
        "pop rdi",
        "call 9f",
        "test rdi, rdi",
        "jz 4f",
        "mov [rdi], rax",
        "4: ret",
        // True nanoseconds in rax; seconds in rax and nanoseconds in rdx. Of the others, rcx, r8 and r9 are lost.
        ".balign 16",
        "9: mov r8, [rip + seedfault_wall_page]",
        "movzx ecx, byte ptr [r8]",
        "shl ecx, 5",
        "lea r8, [r8 + rcx + 64]",
        "mov r9, rax",
        "add r9, [r8 + 8]",
        "mov rcx, [r8 + 16]",
        "test rcx, rcx",
        "jz 5f",
        "sub rax, [r8]",
        "imul rcx",
        "mov ecx, 100",
        "idiv rcx",
        "add r9, rax",
        "5: mov rax, r9",
        "xor edx, edx",
        "test rax, rax",
        "cmovs rax, rdx",
        "mov ecx, 1000000000",
        "div rcx",
        "ret",
        ".balign 8",
        "seedfault_wall_real_clock_gettime: .quad 0",
        "seedfault_wall_real_gettimeofday: .quad 0",
        "seedfault_wall_page: .quad 0",
        "seedfault_wall_end:",
        ".popsection",
    );
}

#[expect(unsafe_code, reason = "labels of the code above; only their addresses are taken")]
unsafe extern "C" {
    static seedfault_wall_begin: u8;
    static seedfault_wall_clock_gettime: u8;
    static seedfault_wall_gettimeofday: u8;
    static seedfault_wall_time: u8;
    static seedfault_wall_real_clock_gettime: u8;
    static seedfault_wall_end: u8;
}

/// The code, and where its functions begin in it.
#[derive(Debug)]
pub struct Stub {
    pub code: Vec<u8>,
    pub clock_gettime: usize,
    pub gettimeofday: usize,
    pub time: usize,
}

/// The code for a process whose own functions and page lie at these addresses.
pub fn stub(clock_gettime: u64, gettimeofday: u64, page: u64) -> Stub {
    let begin = &raw const seedfault_wall_begin;
    let at = |label: *const u8| label as usize - begin as usize;
    let length = at(&raw const seedfault_wall_end);
    #[expect(
        unsafe_code,
        reason = "all that lies between the two labels is the code above, and nothing changes it"
    )]
    let mut code = unsafe { std::slice::from_raw_parts(begin, length) }.to_vec();
    let words = at(&raw const seedfault_wall_real_clock_gettime);
    for (place, word) in [clock_gettime, gettimeofday, page].into_iter().enumerate() {
        code[words + 8 * place..][..8].copy_from_slice(&word.to_le_bytes());
    }
    Stub {
        code,
        clock_gettime: at(&raw const seedfault_wall_clock_gettime),
        gettimeofday: at(&raw const seedfault_wall_gettimeofday),
        time: at(&raw const seedfault_wall_time),
    }
}
