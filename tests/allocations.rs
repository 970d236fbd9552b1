//! What must not cost memory. A binary of its own: the counter is a global allocator.

mod decode_allocations;
mod encode_allocations;
