//! What goes wrong: one file per fault. The upper half of each is pure (fields, declaration, drawing); `effect`
//! says what the environment is asked to do and what undoes it. To heal is data: both are written to the run
//! folder before the fault is applied.

pub mod bit_flip;
pub mod clock_skew;
pub mod clock_strobe;
pub mod corrupt;
pub mod cpu_hog;
pub mod cpu_limit;
pub mod cut;
pub mod disk;
pub mod disk_error;
pub mod fd_limit;
pub mod flap;
pub mod full_disk;
pub mod garble;
pub mod half_open;
pub mod hold;
pub mod kill;
pub mod lossy;
pub mod memory_limit;
pub mod pause;
pub mod power_loss;
pub mod refuse;
pub mod reset;
pub mod resolve_fails;
pub mod resource;
pub mod restart;
pub mod slow;
pub mod slow_close;
pub mod slow_disk;
pub mod strike_at;
pub mod strike_link;
pub mod stutter;
pub mod throttle;
pub mod traffic;
pub mod use_up_connections;
