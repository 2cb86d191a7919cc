/** Explicit resource management: `using` and `await using`. */

/**
 * Has something called at the end of a `using` or `await using` block, where this Node has the symbols.
 *
 * @param now ends one without waiting; null where that cannot be.
 * @param later ends one; as `now` unless said.
 */
export function disposable<T extends object>(
  type: { prototype: T },
  now: ((one: T) => void) | null,
  later: (one: T) => void | Promise<void> = now ?? (() => {}),
): void {
  const add = (symbol: symbol | undefined, value: (this: T) => unknown): void => {
    if (symbol) Object.defineProperty(type.prototype, symbol, { value, configurable: true, writable: true });
  };
  if (now) {
    add(Symbol.dispose, function () {
      now(this);
    });
  }
  add(Symbol.asyncDispose, async function () {
    await later(this);
  });
}
