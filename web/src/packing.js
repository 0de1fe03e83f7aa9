/**
 * Compressed numbers and texts of the page, as `report/packing.py` writes them.
 *
 * @typedef {{dtype: string, shape: number[], data: string, error?: number}} PackedArray
 * @typedef {{text: string}} PackedText
 * @typedef {{values: Float32Array | Float64Array | Int8Array | Int16Array | Int32Array |
 *   Uint8Array | Uint16Array | Uint32Array, shape: number[], error: number}} Numbers
 *   Values in row-major order; `error` is the largest rounding error of float16, else 0.
 */

/** @type {Record<string, (buffer: ArrayBuffer) => Numbers["values"]>} */
const READERS = {
  f2: (buffer) => fromHalf(new Uint16Array(buffer)),
  f4: (buffer) => new Float32Array(buffer),
  f8: (buffer) => new Float64Array(buffer),
  u1: (buffer) => new Uint8Array(buffer),
  u2: (buffer) => new Uint16Array(buffer),
  u4: (buffer) => new Uint32Array(buffer),
  i1: (buffer) => new Int8Array(buffer),
  i2: (buffer) => new Int16Array(buffer),
  i4: (buffer) => new Int32Array(buffer),
};

/**
 * Read a packed array.
 * @param {PackedArray} packed
 * @returns {Promise<Numbers>}
 */
export async function unpackArray(packed) {
  const reader = READERS[packed.dtype];
  if (!reader) {
    throw new Error(`got dtype ${packed.dtype}; allowed: ${Object.keys(READERS).join(", ")}`);
  }
  const values = reader(await inflate(packed.data));
  return { values, shape: packed.shape, error: packed.error ?? 0 };
}

/**
 * Read a packed text.
 * @param {PackedText} packed
 * @returns {Promise<string>}
 */
export async function unpackText(packed) {
  return new TextDecoder().decode(await inflate(packed.text));
}

/**
 * Read a value in which packed arrays and texts stand at any depth.
 * @param {any} value
 * @returns {Promise<any>} the same value with `Numbers` and strings in their places
 */
export async function unpack(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return Promise.all(value.map(unpack));
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "text" && typeof value.text === "string") {
    return unpackText(value);
  }
  if (typeof value.data === "string" && typeof value.dtype === "string") return unpackArray(value);
  const entries = await Promise.all(keys.map(async (key) => [key, await unpack(value[key])]));
  return Object.fromEntries(entries);
}

/**
 * Names of the page's data islands that begin with a prefix.
 * @param {string} prefix
 * @returns {string[]}
 */
export function islandNames(prefix) {
  const found = document.querySelectorAll(`script[type="application/json"][id^="data-${prefix}"]`);
  return [...found].map((element) => element.id.slice("data-".length));
}

/**
 * Read the data island of a name, still packed.
 * @param {string} name
 * @returns {any} nothing where the page has no such island
 */
export function readIsland(name) {
  const element = document.getElementById(`data-${name}`);
  return element === null ? null : JSON.parse(element.textContent ?? "null");
}

/**
 * @param {string} base64
 * @returns {Promise<ArrayBuffer>}
 */
async function inflate(base64) {
  const characters = atob(base64);
  const bytes = new Uint8Array(characters.length);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = characters.charCodeAt(index);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).arrayBuffer();
}

/**
 * Numbers of float16, given as their bits.
 * @param {Uint16Array} bits
 * @returns {Float32Array}
 */
function fromHalf(bits) {
  const values = new Float32Array(bits.length);
  for (let index = 0; index < bits.length; index += 1) {
    const sign = bits[index] & 0x8000 ? -1 : 1;
    const exponent = (bits[index] >> 10) & 0x1f;
    const fraction = bits[index] & 0x3ff;
    if (exponent === 0) values[index] = sign * fraction * 2 ** -24;
    else if (exponent === 31) values[index] = fraction ? NaN : sign * Infinity;
    else values[index] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  return values;
}
