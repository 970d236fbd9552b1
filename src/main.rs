//! Arguments -> configuration -> app -> exit code, nothing else.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tailwater::failpoint::setup();
    let code = std::panic::catch_unwind(|| tailwater::cli::main(std::env::args_os()));
    if code.is_err() {
        tailwater::logs::finish();
    }
    code.unwrap_or(tailwater::exit::Code::Internal).into()
}
