// ⑤ Memory that several threads share, of which most is never written: such pages take no room.

/**
 * Zeros. Of a buffer that may grow, V8 asks the system for pages; others come from the allocator, which writes the zeros into those that it has
 * used before. This one is as large as it may become.
 */
export const lazyShared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes, { maxByteLength: bytes });
