/** Scales, ticks and numerals of the plots: numbers in, numbers and words out. */

/** @typedef {[number, number]} Range */

/**
 * Function from a domain to pixels.
 * @param {Range} domain
 * @param {Range} pixels
 * @returns {(value: number) => number}
 */
export function linear([low, high], [start, stop]) {
  const factor = (stop - start) / (high - low || 1);
  return (value) => start + (value - low) * factor;
}

/**
 * Smallest and largest finite value of several lists.
 * @param {Iterable<number>[]} lists
 * @returns {Range | null} null without a finite value
 */
export function extent(...lists) {
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) {
    for (const value of list) {
      if (value < low && value > -Infinity) low = value;
      if (value > high && value < Infinity) high = value;
    }
  }
  return low <= high ? [low, high] : null;
}

/**
 * A range with a margin, so that no point lies on the frame.
 * @param {Range | null} range
 * @param {number} [share]
 * @returns {Range}
 */
export function padded(range, share = 0.05) {
  if (range === null) return [0, 1];
  const width = range[1] - range[0] || Math.abs(range[0]) * 0.1 || 1;
  return [range[0] - share * width, range[1] + share * width];
}

/**
 * Round numbers within a domain, about as many as asked for.
 * @param {Range} domain
 * @param {number} [count]
 * @returns {number[]}
 */
export function ticks([start, end], count = 5) {
  const [low, high] = [Math.min(start, end), Math.max(start, end)];
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => (first + index) * step);
}

/**
 * A number in a few digits, with a minus sign.
 * @param {number} value
 * @param {number} [digits]
 * @returns {string}
 */
export function numeral(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "undefined";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size >= 1e6 || size < 1e-4)
      ? value.toExponential(digits - 1).replace("e+", "e")
      : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

/**
 * Quantiles of the finite ones among some values, with linear interpolation.
 * @param {ArrayLike<number>} values
 * @param {number[]} shares
 * @returns {number[]} NaN without a finite value
 */
export function quantiles(values, shares) {
  const ordered = Float64Array.from(Array.from(values).filter(Number.isFinite)).sort();
  return shares.map((share) => {
    if (!ordered.length) return NaN;
    const place = share * (ordered.length - 1);
    const low = Math.floor(place);
    const high = Math.min(low + 1, ordered.length - 1);
    return ordered[low] + (place - low) * (ordered[high] - ordered[low]);
  });
}
