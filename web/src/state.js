/**
 * State of the page: one object of strings, kept in the URL fragment.
 *
 * The fragment `#view=explore&text=12` is the state `{view: "explore", text: "12"}`. A fragment
 * without `=` names an element, `#C1`, and is the state `{at: "C1"}`. Views listen here and nowhere
 * else. Keys of the whole page: `view`, `at` (id of an element), `theme` (`light` or `dark`), `null`
 * (`off`: null models and controls are hidden).
 *
 * @typedef {Record<string, string>} Values
 * @typedef {(values: Values, changed: string[]) => void} Listener
 */

export class State {
  /** @param {string} fragment */
  constructor(fragment) {
    /** @type {Values} */
    this._values = parse(fragment);
    /** @type {{keys: string[], listener: Listener}[]} */
    this._listeners = [];
  }

  /**
   * Value of a key.
   * @param {string} key
   * @param {string} [otherwise] value where the state has none
   * @returns {string}
   */
  get(key, otherwise = "") {
    return this._values[key] ?? otherwise;
  }

  /** Every value. @returns {Values} */
  all() {
    return { ...this._values };
  }

  /**
   * Change values, then tell every listener of a key that changed, once.
   * @param {Record<string, string | number | null | undefined>} changes null or undefined removes
   */
  set(changes) {
    const next = { ...this._values };
    for (const [key, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") delete next[key];
      else next[key] = String(value);
    }
    this._replace(next);
  }

  /**
   * Take the state of another fragment, as after Back or an edited address.
   * @param {string} fragment
   */
  read(fragment) {
    this._replace(parse(fragment));
  }

  /**
   * Listen to keys.
   * @param {string[]} keys empty: every key
   * @param {Listener} listener
   * @returns {() => void} stops listening
   */
  on(keys, listener) {
    const entry = { keys, listener };
    this._listeners.push(entry);
    return () => {
      this._listeners = this._listeners.filter((other) => other !== entry);
    };
  }

  /** Fragment of the present state, with its `#`. @returns {string} */
  fragment() {
    const pairs = Object.entries(this._values).map(([key, value]) => `${code(key)}=${code(value)}`);
    return `#${pairs.join("&")}`;
  }

  /** @param {Values} next */
  _replace(next) {
    const keys = new Set([...Object.keys(this._values), ...Object.keys(next)]);
    const changed = [...keys].filter((key) => this._values[key] !== next[key]);
    this._values = next;
    if (!changed.length) return;
    for (const { keys: wanted, listener } of this._listeners) {
      if (!wanted.length || changed.some((key) => wanted.includes(key))) {
        listener(this.all(), changed);
      }
    }
  }
}

/**
 * State of this window, which follows its address and is followed by it.
 * @param {Window} window
 * @returns {State}
 */
export function stateOf(window) {
  const state = new State(window.location.hash);
  const write = () => {
    const fragment = state.fragment();
    if (fragment === window.location.hash) return;
    try {
      window.history.replaceState(null, "", fragment);
    } catch {
      // A page without an address of its own, as inside a notebook, keeps its state to itself.
    }
  };
  let isWaiting = false;
  // Browsers refuse more than a hundred changes of the address in half a minute or so.
  state.on([], () => {
    if (isWaiting) return;
    isWaiting = true;
    window.setTimeout(() => {
      isWaiting = false;
      write();
    }, WRITE_AFTER);
  });
  window.addEventListener("hashchange", () => state.read(window.location.hash));
  return state;
}

const WRITE_AFTER = 250;

/**
 * @param {string} fragment
 * @returns {Values}
 */
function parse(fragment) {
  const text = fragment.replace(/^#/, "");
  if (!text) return {};
  if (!text.includes("=")) return { at: decode(text) };
  /** @type {Values} */
  const values = {};
  for (const pair of text.split("&")) {
    const [key, ...rest] = pair.split("=");
    const value = decode(rest.join("="));
    if (key && value) values[decode(key)] = value;
  }
  return values;
}

/** @param {string} text */
function code(text) {
  return encodeURIComponent(text).replace(/%2C/g, ",");
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
