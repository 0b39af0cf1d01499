//! Templates that try to hang, to fill the memory or to overflow the stack.
