/** Orthographic projection of points in space, turned about two axes. */

/**
 * @typedef {{azimuth: number, elevation: number}} View angles in radians
 * @typedef {{low: number, high: number}} Span
 */

/** @type {View} */
export const FIRST_VIEW = { azimuth: 0.7, elevation: 0.45 };
// Short of straight up, where the azimuth would have no meaning.
const STEEPEST = 1.5;

/**
 * Point of the unit cube, from -1 to 1 along each axis, as seen on the screen.
 * @param {number[]} point
 * @param {View} view
 * @returns {{x: number, y: number, depth: number}} `y` grows upwards, `depth` away from the reader
 */
export function project([x, y, z], { azimuth, elevation }) {
  const [cosine, sine] = [Math.cos(azimuth), Math.sin(azimuth)];
  const across = x * cosine - y * sine;
  const along = x * sine + y * cosine;
  const [up, tilt] = [Math.cos(elevation), Math.sin(elevation)];
  return { x: across, y: z * up + along * tilt, depth: along * up - z * tilt };
}

/**
 * View after the pointer has moved by pixels.
 * @param {View} view
 * @param {number} right
 * @param {number} down
 * @returns {View}
 */
export function turned({ azimuth, elevation }, right, down) {
  const next = elevation + down * 0.01;
  return {
    azimuth: azimuth - right * 0.01,
    elevation: Math.max(-STEEPEST, Math.min(STEEPEST, next)),
  };
}

/**
 * Smallest and largest finite number.
 * @param {ArrayLike<number>[]} lists
 * @returns {Span}
 */
export function spanOf(lists) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (let index = 0; index < list.length; index += 1) {
      const value = list[index];
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return { low: -1, high: 1 };
  return low === high ? { low: low - 1, high: high + 1 } : { low, high };
}

/**
 * Position from -1 to 1 within a span.
 * @param {number} value
 * @param {Span} span
 */
export function scaled(value, { low, high }) {
  return (2 * (value - low)) / (high - low) - 1;
}

/**
 * Three or so round numbers within a span.
 * @param {Span} span
 * @returns {number[]}
 */
export function roundNumbers({ low, high }) {
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const first = Math.ceil(low / step);
  const numbers = [];
  for (let index = first; index * step <= high * (1 + 1e-12); index += 1) {
    numbers.push(Number((index * step).toPrecision(6)));
  }
  return numbers;
}
