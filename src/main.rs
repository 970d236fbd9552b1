//! Arguments -> configuration -> app -> exit code, nothing else.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tailwater::failpoint::setup();
    std::panic::catch_unwind(|| tailwater::cli::main(std::env::args_os()))
        .unwrap_or(tailwater::exit::Code::Internal)
        .into()
}
