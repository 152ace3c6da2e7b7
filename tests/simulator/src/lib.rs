//! Doubles of the two servers that the proxy stands between.
