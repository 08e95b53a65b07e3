//! Bad input gets one clear error and changes nothing.
