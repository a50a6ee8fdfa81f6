export const hex = (number: number, length: number): string => number.toString(16).padStart(length, "0");

// 62 bits of chance, as the end of a UUID: this way also on pages without TLS, which have no crypto.randomUUID.
const TAIL = URL.createObjectURL(new Blob()).slice(-17);

/** Return a UUIDv7 of this moment and this page, which `counter` tells from others of the same millisecond. */
export const uuid = (counter: number): string =>
  hex(Date.now(), 12).replace(/.{8}/, "$&-") + "-7" + hex(counter % 4096, 3) + "-" + TAIL;
